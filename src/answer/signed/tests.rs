//! Replies of signed zones against a plain reading of the standards over the list of all names.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use hickory_proto::dnssec::rdata::{DNSKEY as Dnskey, DNSSECRData};
use hickory_proto::dnssec::{PublicKeyBuf, Verifier};
use hickory_proto::op::{self, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::answer::{self, Client};
use crate::cookie::{Cookie, Cookies, Secret, Standing};
use crate::dnssec::cache::SignatureCache;
use crate::dnssec::key::{Algorithm, Key, Role};
use crate::dnssec::key_set::{KeySet, TimedKey, Timing};
use crate::dnssec::validity::Validity;
use crate::name::{Name, key_text};
use crate::snapshot::Settings;
use crate::virtual_zone::VirtualName;
use crate::wire::tests::packet;
use crate::zone::tests::dataset;
use crate::zone::{Delegation, EmptyNonTerminals, RangesOptions, Status, ZoneOptions};
use crate::zone_file::Kind;

const NOW: u32 = 1_800_000_000;
const DO: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";

static KEY: LazyLock<TimedKey> = LazyLock::new(|| {
    let key = Key::generate(Algorithm::Ed25519, Role::SecureEntry).unwrap();
    TimedKey { key: key.into(), timing: Timing::from(0, Role::SecureEntry) }
});

fn apex() -> Name {
    Name::from_text(b"bl.example").unwrap()
}

fn snapshot(datasets: &[(Kind, &str)], empty_non_terminals: EmptyNonTerminals) -> Snapshot {
    signed_by(signer(std::slice::from_ref(&*KEY)), datasets, empty_non_terminals, Vec::new())
}

fn signed_by(
    signer: Arc<ZoneSigner>,
    datasets: &[(Kind, &str)],
    empty_non_terminals: EmptyNonTerminals,
    delegations: Vec<Delegation>,
) -> Snapshot {
    let datasets = datasets.iter().map(|(kind, text)| dataset(*kind, text)).collect();
    let ranges = RangesOptions { block_bytes: 800, ttl: 60, clients: Vec::new() };
    let test_value = Some(Ipv4Addr::new(127, 0, 0, 2));
    let options = ZoneOptions { ranges: Some(ranges), test_value, delegations, ..ZoneOptions::default() };
    let zone = Zone::new(apex(), datasets, 0, Status::Serving, options, &mut Default::default());
    let by = SignedBy { signer, empty_non_terminals };
    let zone = zone.with_ranges(None, &mut Default::default()).with_signing(crate::zone::Signing::By(by));
    Snapshot::new(vec![Arc::new(zone)], Settings::default(), None)
}

fn signer(keys: &[TimedKey]) -> Arc<ZoneSigner> {
    let keys = KeySet::new(&apex(), keys, 3600).unwrap();
    let cache = SignatureCache::new(16 << 20).into();
    ZoneSigner::new(&apex(), keys, Validity::default(), cache).into()
}

/// A query for the name left of the apex that a key says, with DO.
fn ask(key: &[u8], wanted: u16) -> Vec<u8> {
    let question = [&key_wire(key, apex().wire())[..], &wanted.to_be_bytes(), &[0, 1]].concat();
    packet(0x0100, [1, 0, 0, 1], &[&question, DO])
}

fn respond(
    snapshot: &Snapshot,
    packet: &[u8],
    transport: Transport,
    effort: Effort,
) -> (answer::Outcome, Vec<u8>) {
    let client = Client { address: [192, 0, 2, 1].into(), transport };
    let mut reply = Vec::new();
    let outcome = answer::respond(snapshot, packet, client, Signing { now: NOW, effort }, &mut reply);
    (outcome, reply)
}

fn message(snapshot: &Snapshot, packet: &[u8]) -> op::Message {
    op::Message::from_vec(&respond(snapshot, packet, Transport::Tcp, Effort::Make).1).unwrap()
}

/// What a reply says: its code, the types in its answer, and the owner and next name of each NSEC record
/// that proves something.
type Said = (ResponseCode, BTreeSet<u16>, BTreeSet<(String, String)>);

/// What a server of the written zone would say (RFC 1034, section 4.3.2; RFC 4592; RFC 4035, section 3.1).
fn expected(names: &[VirtualName<'_>], key: &[u8], wanted: u16) -> Said {
    let exists = |key: &[u8]| names.iter().any(|name| name.key.starts_with(key));
    let types = |key: &[u8]| {
        let name = names.iter().find(|name| name.key == key);
        let mut types: BTreeSet<u16> =
            name.iter().flat_map(|name| name.records.iter().map(|set| set.record_type)).collect();
        if key.is_empty() {
            types.extend([48, 59, 60]);
        }
        types
    };
    let gap = |key: &[u8]| {
        let after = names.partition_point(|name| *name.key <= *key);
        let next = names.get(after).map_or(&[][..], |name| &name.key);
        (key_text(&names[after - 1].key), key_text(next))
    };
    let answer = |types: BTreeSet<u16>| -> BTreeSet<u16> {
        let own = if types.contains(&wanted) { wanted } else { 5 };
        types.into_iter().filter(|&kind| kind == own).collect()
    };
    if exists(key) {
        let answers = answer(types(key));
        let proofs = answers.is_empty().then(|| gap(key)).into_iter().collect();
        return (ResponseCode::NoError, answers, proofs);
    }
    let ends = (0..key.len()).rev().filter(|&end| end == 0 || key[end - 1] == 0);
    let encloser = ends.map(|end| &key[..end]).find(|key| exists(key)).unwrap();
    let wildcard = [encloser, ASTERISK].concat();
    let owned = types(&wildcard);
    if owned.is_empty() {
        return (ResponseCode::NXDomain, BTreeSet::new(), [gap(key), gap(&wildcard)].into());
    }
    // The NSEC record of the wildcard is needed where it has nothing of the type, and else given besides.
    (ResponseCode::NoError, answer(owned), [gap(key), gap(&wildcard)].into())
}

fn said(message: &op::Message) -> Said {
    let left = |name: &hickory_proto::rr::Name| {
        let text = name.to_lowercase().to_ascii();
        text.strip_suffix("bl.example.").unwrap().trim_end_matches('.').to_owned()
    };
    let is_data = |record: &&Record| record.record_type() != RecordType::RRSIG;
    let answers = message.answers.iter().filter(is_data).map(|record| record.record_type().into()).collect();
    let proofs = message.authorities.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => Some((left(&record.name), left(nsec.next_domain_name()))),
        _ => None,
    });
    (message.metadata.response_code, answers, proofs.collect())
}

/// Panics unless every set of the answer and the authority section has a good signature.
fn verify(message: &op::Message) {
    let public = PublicKeyBuf::new(KEY.key.public().to_vec(), hickory_proto::dnssec::Algorithm::ED25519);
    let dnskey = Dnskey::new(true, true, false, public);
    for section in [&message.answers, &message.authorities] {
        let signatures = section.iter().filter_map(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => Some((record, rrsig)),
            _ => None,
        });
        let data = section.iter().filter(|record| record.record_type() != RecordType::RRSIG);
        let mut unsigned: BTreeSet<_> =
            data.clone().map(|record| (record.name.to_string(), record.record_type())).collect();
        for (record, rrsig) in signatures {
            let covered = rrsig.input().type_covered;
            let set = data.clone().filter(|data| data.name == record.name && data.record_type() == covered);
            // Negative answers show a lower TTL than the one that is signed.
            let set: Vec<Record> = set
                .cloned()
                .map(|mut data| {
                    assert_eq!(data.ttl, record.ttl);
                    data.ttl = rrsig.input().original_ttl;
                    data
                })
                .collect();
            dnskey.verify_rrsig(&record.name, DNSClass::IN, rrsig, set.iter()).unwrap();
            assert!(unsigned.remove(&(record.name.to_string(), covered)));
        }
        assert!(unsigned.is_empty(), "{unsigned:?}");
    }
}

const LIST: &str = "$SOA 900 ns.bl.example host.bl.example 7 60 60 60 90\n$NS 900 ns.bl.example\n\
    2001:db8::/32 :2:see $\n!2001:db8:1::/48\n2001:db8:1:2::/66 :3:three\n2001:db9::1/128\n3000::/12\n";
const LIST_V4: &str = "192.0.2.0/24 :4:four\n!192.0.2.128/26\n1.2.3.0/24\n10.1.2.3\n2.0.0.1\n";
const NAMES: &str = "*.spam.example\n.bad.example\n!good.bad.example\n";
const GENERIC: &str = "@ A 192.0.2.53\nns A 192.0.2.53\nwww CNAME www.example.org.\nx.y.z TXT deep\n";

/// The rdata of a DS record.
const DIGEST: &[u8] = b"\x01\x02\x0d\x02digest";

/// A name where another zone begins.
fn cut(name: &str, signers: &[&[u8]]) -> Delegation {
    Delegation {
        name: Name::from_text(name.as_bytes()).unwrap(),
        name_servers: vec![Name::from_text(b"ns.elsewhere").unwrap()],
        signers: signers.iter().map(|&rdata| rdata.into()).collect(),
    }
}

/// Labels that meet names of the data, of addresses, and none.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let label = select(vec![
        "0", "1", "2", "3", "8", "b", "d", "9", "192", "10", "02", "128", "*", "_ranges", "www", "ns", "x",
        "y", "z", "spam", "example", "bad", "good", "test", "a0", "nope", "+",
    ]);
    let random = prop::collection::vec(label, 0..10).prop_map(|labels| labels.join("."));
    let near = select(vec![
        "8.b.d.0.1.0.0.2",
        "1.0.0.0.8.b.d.0.1.0.0.2",
        "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
        "9.b.d.0.1.0.0.2",
        "2.0.192",
        "130.2.0.192",
        "3.2.1",
        "7.3.2.1",
        "0.0.3",
        "1.0.0.2",
        "_ranges",
        "8.b.d.0.1.0.0.2._ranges",
    ]);
    let near = (prop::collection::vec(select(vec!["0", "7", "f", "77", "x"]), 0..22), near)
        .prop_map(|(labels, near)| labels.iter().map(|label| format!("{label}.")).collect::<String>() + near);
    prop_oneof![random, near].prop_map(|text| Name::from_text(text.as_bytes()).unwrap().key())
}

static ZONES: LazyLock<[Snapshot; 4]> = LazyLock::new(|| {
    let all =
        [(Kind::Ip6trie, LIST), (Kind::Ip4trie, LIST_V4), (Kind::Dnset, NAMES), (Kind::Generic, GENERIC)];
    let marker = EmptyNonTerminals::Marker;
    [
        snapshot(&all, marker),
        snapshot(&all, EmptyNonTerminals::Plain),
        snapshot(&all[..1], marker),
        snapshot(&[all[0], all[1], all[3]], EmptyNonTerminals::Plain),
    ]
});

/// A zone with sub-zones and with other zones inside it.
static OF_PARTS: LazyLock<Snapshot> = LazyLock::new(|| {
    let combined = "$DATASET ip x\n192.0.2.0/24 :5:\n2001:db8::/32 :5:\n$DATASET dnset x y.x\n*.spam\n";
    let all = [(Kind::Ip6trie, LIST), (Kind::Ip4trie, LIST_V4), (Kind::Combined, combined)];
    let cuts = ["3", "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2", "z.x"].map(|name| cut(name, &[DIGEST]));
    let cuts = cuts.into_iter().chain([cut("z", &[]), cut("128.2.0.192", &[])]).collect();
    signed_by(signer(std::slice::from_ref(&*KEY)), &all, EmptyNonTerminals::Marker, cuts)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Without DO the same, less the records of DNSSEC that nobody asked for.
    #[test]
    fn clients_without_do_are_answered_the_same(
        zone in 0..=ZONES.len(),
        key in key(),
        wanted in select(vec![1u16, 1, 16, 28, 2, 5, 6, 12, 17, 42, 43, 46, 47, 48, 59, 60, 255, 65280]),
        transport in select(vec![Transport::Udp, Transport::Tcp]),
    ) {
        let snapshot = ZONES.get(zone).unwrap_or_else(|| &OF_PARTS);
        let asked = ask(&key, wanted);
        let flags = asked.len() - 4;
        let mut plain = asked.clone();
        plain[flags] = 0;
        let replies = [asked, plain].map(|packet| respond(snapshot, &packet, transport, Effort::Make));
        let of_dnssec = [DS, RRSIG, NSEC].map(RecordType::from);
        let [signed, plain] = replies.map(|(outcome, reply)| {
            let message = op::Message::from_vec(&reply).unwrap();
            let shown = |records: &[Record], wanted: RecordType| -> Vec<String> {
                let is_shown = |record: &&Record| {
                    record.record_type() == wanted || !of_dnssec.contains(&record.record_type())
                };
                records.iter().filter(is_shown).map(Record::to_string).collect()
            };
            let sections =
                (shown(&message.answers, wanted.into()), shown(&message.authorities, RecordType::ZERO));
            (outcome.truncated, outcome.listed, message.metadata, sections)
        });
        prop_assert!(!plain.0);
        prop_assert_eq!((signed.1, signed.2.response_code), (plain.1, plain.2.response_code));
        prop_assert_eq!(signed.2.authoritative, plain.2.authoritative);
        if !signed.0 {
            prop_assert_eq!(signed.3, plain.3, "{} {}", key_text(&key), wanted);
        }
    }

    #[test]
    fn as_a_server_of_the_written_zone(
        zone in 0..ZONES.len(),
        key in key(),
        wanted in select(vec![1u16, 1, 16, 28, 2, 6, 17, 42, 43, 48, 65280]),
    ) {
        let snapshot = &ZONES[zone];
        let crate::zone::Signing::By(by) = snapshot.zones()[0].signing() else { panic!() };
        let names: Vec<_> = VirtualZone::new(&snapshot.zones()[0], by.empty_non_terminals).names().collect();
        let message = message(snapshot, &ask(&key, wanted));
        prop_assert_eq!(said(&message), expected(&names, &key, wanted), "{} {}", key_text(&key), wanted);
        verify(&message);
        prop_assert!(message.metadata.authoritative && !message.metadata.truncation);

        // Without DO the same, less the proofs; and then nothing needs a signature.
        let mut plain = ask(&key, wanted);
        let flags = plain.len() - 4;
        plain[flags] = 0;
        let (outcome, reply) = respond(snapshot, &plain, Transport::Tcp, Effort::Least);
        prop_assert_eq!((outcome.lacks, outcome.holds_until), (None, None));
        let unsigned = op::Message::from_vec(&reply).unwrap();
        let (rcode, answers, proofs) = said(&unsigned);
        let (expected_rcode, expected_answers, _) = said(&message);
        prop_assert_eq!((rcode, answers, proofs.len()), (expected_rcode, expected_answers, 0));
    }
}

#[test]
fn nothing_is_signed_that_may_not_be() {
    let listed = Name::from_text(b"77.2.0.192").unwrap().key();
    let unlisted = Name::from_text(b"77.2.0.193").unwrap().key();
    for (key, lacking) in [(&listed, Lacking::Positive), (&unlisted, Lacking::Negative)] {
        let snapshot =
            snapshot(&[(Kind::Ip6trie, LIST), (Kind::Ip4trie, LIST_V4)], EmptyNonTerminals::Marker);
        let outcome = |effort| respond(&snapshot, &ask(key, 1), Transport::Udp, effort);
        for effort in [Effort::Least, Effort::Take] {
            let (outcome, reply) = outcome(effort);
            assert_eq!((outcome.reply, outcome.lacks, reply.len()), (false, Some(lacking), 0));
        }
        let (made, reply) = outcome(Effort::Make);
        assert!(made.reply && made.holds_until.is_some_and(|until| until > NOW) && !made.renew);
        assert_eq!(outcome(Effort::Take), (made, reply));
        // What a denial needs is not even looked for.
        let least = outcome(Effort::Least).0.lacks;
        assert_eq!(least, (lacking == Lacking::Negative).then_some(lacking));
        let (put_off, reply) = {
            let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
            let mut reply = Vec::new();
            (answer::put_off(&snapshot, &ask(key, 1), client, NOW, &made, &mut reply), reply)
        };
        let message = op::Message::from_vec(&reply).unwrap();
        assert!(put_off.truncated && message.metadata.truncation && message.answers.is_empty());
    }
}

/// Rate limiting comes before signing, and leaves clients with good cookies alone.
#[test]
fn an_answer_without_signatures_tells_of_the_cookie() {
    let mut snapshot = snapshot(&[(Kind::Ip6trie, LIST)], EmptyNonTerminals::Marker);
    let cookies = Cookies::new(Secret::new([1; 16]), Vec::new(), false);
    let client = Cookie { client: [1; 8], server: None };
    let (_, good) = cookies.answer(client, [192, 0, 2, 1].into(), NOW);
    snapshot.settings.cookies = Some(cookies);
    let key = Name::from_text(b"77.2.0.193").unwrap().key();
    for (cookie, standing) in
        [(&good[..8], Standing::New), (&[1; 24], Standing::Bad), (&good, Standing::Good)]
    {
        let mut packet = ask(&key, 1);
        let length = cookie.len() as u8;
        packet.splice(packet.len() - 2.., [0, length + 4, 0, 10, 0, length]);
        packet.extend_from_slice(cookie);
        let (outcome, _) = respond(&snapshot, &packet, Transport::Udp, Effort::Take);
        assert_eq!((outcome.lacks, outcome.cookie), (Some(Lacking::Negative), standing));
    }
}

#[test]
fn what_does_not_fit_is_cut_as_a_whole() {
    let snapshot = snapshot(&[(Kind::Ip6trie, LIST)], EmptyNonTerminals::Marker);
    let key = Name::from_text(b"x.y.1.0.0.0.8.b.d.0.1.0.0.2").unwrap().key();
    let mut packet = ask(&key, 1);
    let size = packet.len() - 8;
    packet[size..size + 2].copy_from_slice(&512u16.to_be_bytes());
    packet[size - 1] = 41;
    let (outcome, reply) = respond(&snapshot, &packet, Transport::Udp, Effort::Make);
    let message = op::Message::from_vec(&reply).unwrap();
    assert!(outcome.truncated && message.metadata.truncation);
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
    assert!(message.answers.is_empty() && message.authorities.is_empty() && message.edns.is_some());
}

#[test]
fn the_apex_and_questions_about_signatures() {
    let snapshot = snapshot(&[(Kind::Ip6trie, LIST), (Kind::Generic, GENERIC)], EmptyNonTerminals::Marker);
    sign_ahead(&snapshot);
    for wanted in [record_type::SOA, record_type::NS, 48, 59, 60, NSEC] {
        let (outcome, _) = respond(&snapshot, &ask(&[], wanted), Transport::Udp, Effort::Take);
        assert!(outcome.reply && outcome.answers == 2 && !outcome.truncated, "{wanted}: {outcome:?}");
    }
    let types = |key: &[u8], wanted, transport| {
        let (_, reply) = respond(&snapshot, &ask(key, wanted), transport, Effort::Make);
        let message = op::Message::from_vec(&reply).unwrap();
        message.answers.iter().map(|record| record.record_type().into()).collect::<Vec<u16>>()
    };
    let www = Name::from_text(b"www").unwrap().key();
    for (key, wanted, transport, expected) in [
        (&[][..], record_type::ANY, Transport::Udp, &[1, 46][..]),
        (&[], record_type::ANY, Transport::Tcp, &[1, 46, 6, 46, 2, 46, 48, 46, 59, 46, 60, 46, 47, 46]),
        (&[], RRSIG, Transport::Udp, &[46]),
        (&[], RRSIG, Transport::Tcp, &[46; 7]),
        (&www, NSEC, Transport::Udp, &[47, 46]),
        (&www, 1, Transport::Udp, &[5, 46]),
    ] {
        assert_eq!(types(key, wanted, transport), expected, "{wanted} {transport:?}");
    }
}

fn sign_ahead(snapshot: &Snapshot) {
    answer::sign_ahead(snapshot, NOW);
}

#[test]
fn keys_that_come_have_signed_when_they_begin() {
    const CHANGE: u32 = NOW + 1000;
    let key = Key::generate(Algorithm::Ed25519, Role::SecureEntry).unwrap();
    let timing = Timing { publish: Some(0), activate: Some(CHANGE), ..Timing::default() };
    let mut before = KEY.clone();
    before.timing.inactive = Some(CHANGE);
    let signer = signer(&[before, TimedKey { key: key.into(), timing }]);
    let snapshot = signed_by(signer, &[(Kind::Ip6trie, LIST)], EmptyNonTerminals::Marker, Vec::new());
    let has_signed = || {
        [record_type::SOA, record_type::NS, 48, 59, 60, NSEC].map(|wanted| {
            let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
            let signing = Signing { now: CHANGE, effort: Effort::Take };
            answer::respond(&snapshot, &ask(&[], wanted), client, signing, &mut Vec::new()).lacks.is_none()
        })
    };
    sign_ahead(&snapshot);
    answer::sign_ahead_of_keys(&snapshot, CHANGE - 601);
    assert_eq!(has_signed(), [false; 6]);
    answer::sign_ahead_of_keys(&snapshot, CHANGE - 600);
    assert_eq!(has_signed(), [true; 6]);
}

#[test]
fn answers_of_an_access_list_are_refused() {
    let snapshot =
        snapshot(&[(Kind::Ip6trie, LIST), (Kind::Acl, "192.0.2.1 :empty\n")], EmptyNonTerminals::Marker);
    let (outcome, _) = respond(&snapshot, &ask(&[], record_type::SOA), Transport::Tcp, Effort::Make);
    assert_eq!((outcome.rcode, outcome.answers), (rcode::REFUSED, 0));
}

#[test]
fn other_zones_inside_a_signed_one() {
    let name = |text: &str| Name::from_text(text.as_bytes()).unwrap();
    let options =
        ZoneOptions { delegations: vec![cut("sub", &[DIGEST]), cut("dark", &[])], ..Default::default() };
    let list = vec![dataset(Kind::Ip6trie, LIST)];
    let mut zones = Vec::new();
    for (apex, options) in [("bl.example", options), ("sub.bl.example", ZoneOptions::default())] {
        let zone = Zone::new(name(apex), list.clone(), 0, Status::Serving, options, &mut Default::default());
        zones.push(zone);
    }
    let by = SignedBy {
        signer: signer(std::slice::from_ref(&*KEY)),
        empty_non_terminals: EmptyNonTerminals::Marker,
    };
    let child = zones.pop().unwrap();
    let parent = zones.pop().unwrap().with_signing(crate::zone::Signing::By(by));
    let snapshot = Snapshot::new(vec![Arc::new(parent), Arc::new(child)], Settings::default(), None);
    let asked = |text: &str, wanted| {
        let message = message(&snapshot, &ask(&name(text).key(), wanted));
        let types = |records: &[Record]| -> BTreeSet<u16> {
            records.iter().map(|record| record.record_type().into()).collect()
        };
        let zone = message.answers.iter().chain(&message.authorities).map(|record| record.name.to_string());
        let authoritative = message.metadata.authoritative;
        (authoritative, types(&message.answers), types(&message.authorities), zone.min().unwrap())
    };
    let (ns, soa) = (record_type::NS, record_type::SOA);
    for (text, wanted, expected, owner) in [
        // Served here as well: only DS is the parent's.
        ("x.sub", 1, (true, vec![], vec![soa]), "sub.bl.example."),
        ("sub", DS, (true, vec![DS, RRSIG], vec![]), "sub.bl.example."),
        // Not signed, and served elsewhere.
        ("x.dark", 1, (false, vec![], vec![ns, NSEC, RRSIG]), "dark.bl.example."),
        ("dark", 1, (false, vec![], vec![ns, NSEC, RRSIG]), "dark.bl.example."),
        ("dark", DS, (true, vec![], vec![soa, NSEC, RRSIG]), "bl.example."),
    ] {
        let (authoritative, answers, authorities, name) = asked(text, wanted);
        let (expected, sections) = ((expected.0, expected.1, expected.2), (answers, authorities));
        let sorted = |types: Vec<u16>| types.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(
            (authoritative, sections),
            (expected.0, (sorted(expected.1), sorted(expected.2))),
            "{text}"
        );
        assert_eq!(name, owner, "{text}");
    }
}

/// Whoever asks for names that there are none of has blocks of range records made as well: those round them.
#[test]
fn no_more_blocks_are_made_than_there_is_time_for() {
    let text: String = (0..5000u128)
        .map(|n| {
            let network = (0x2001_0000 + (n % 50) * 0x111) << 96 | n.wrapping_mul(0x9e37_79b9) << 64;
            format!("{}/64\n", std::net::Ipv6Addr::from(network))
        })
        .collect();
    let head = "$SOA 900 ns.bl.example host.bl.example 7 60 60 60 90\n";
    let list = [(Kind::Ip6trie, &*(head.to_owned() + &text))];
    for empty_non_terminals in [EmptyNonTerminals::Marker, EmptyNonTerminals::Plain] {
        let snapshot = snapshot(&list, empty_non_terminals);
        let asked = |name: &str, dnssec_ok: bool, transport| {
            let mut packet = ask(&Name::from_text(name.as_bytes()).unwrap().key(), 1);
            let flags = packet.len() - 4;
            packet[flags] = u8::from(dnssec_ok) << 7;
            let (outcome, _) = respond(&snapshot, &packet, transport, Effort::Make);
            assert_eq!(outcome.holds_until.is_some(), dnssec_ok && outcome.rcode == rcode::NXDOMAIN);
            (outcome.rcode, outcome.truncated)
        };
        let memory = || snapshot.zones()[0].memory();
        let before = memory();
        while snapshot.allowance.take(1, true) {}
        let names: Vec<_> = (0..16).map(|digit| format!("x.{digit:x}.6.6.6.0.1.0.0.2._ranges")).collect();
        for (name, dnssec_ok) in names.iter().flat_map(|name| [(name, true), (name, false)]) {
            assert_eq!(asked(name, dnssec_ok, Transport::Udp), (rcode::NOERROR, true), "{name}");
            assert_eq!(asked(name, dnssec_ok, Transport::Tcp), (rcode::SERVFAIL, false), "{name}");
        }
        assert_eq!(memory(), before);
        snapshot.allowance.fill(std::time::Duration::from_secs(1));
        assert_eq!(asked(&names[0], true, Transport::Udp), (rcode::NXDOMAIN, false));
        assert!(memory() > before);
        while snapshot.allowance.take(1, true) {}
        for dnssec_ok in [true, false] {
            let made = asked(&names[0], dnssec_ok, Transport::Udp);
            assert_eq!(made, (rcode::NXDOMAIN, false), "what is in memory costs nothing");
        }
    }
}
