//! Signatures against hickory's verifier, and the life of a signature on a moved clock.

use std::borrow::Cow;

use hickory_proto::dnssec::Verifier;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::rr::{DNSClass, Name as HickoryName, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};
use proptest::prelude::*;

use super::*;
use crate::dnssec::key::{Algorithm, Role};
use crate::dnssec::key_set::{TimedKey, Timing};
use crate::dnssec::record_type;

const NOW: u32 = 1_800_000_000;

fn apex() -> Name {
    Name::from_text(b"BL.example").unwrap()
}

fn key(algorithm: Algorithm, role: Role) -> TimedKey {
    TimedKey { key: Key::generate(algorithm, role).unwrap().into(), timing: Timing::from(NOW, role) }
}

fn signer(keys: &[TimedKey]) -> ZoneSigner {
    let keys = KeySet::new(&apex(), keys, KeySet::DEFAULT_TTL).unwrap();
    ZoneSigner::new(&apex(), keys, Validity::default(), SignatureCache::new(1 << 20).into())
}

fn read(record_type: RecordType, rdata: &[u8]) -> RData {
    let mut decoder = BinDecoder::new(rdata);
    RData::read(&mut decoder, record_type, Restrict::new(rdata.len() as u16)).unwrap()
}

/// Panics unless hickory accepts each signature with the key that it names.
fn verify(signer: &ZoneSigner, set: &Unsigned<'_>, now: u32) -> Signatures {
    let signed = signer.sign(set, now).unwrap();
    let owner = HickoryName::read_wire(set.owner);
    let code = RecordType::from(set.record_type);
    let records: Vec<Record> =
        set.rdata.iter().map(|rdata| Record::from_rdata(owner.clone(), set.ttl, read(code, rdata))).collect();
    for rrsig in &signed.records {
        let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = read(RecordType::RRSIG, rrsig) else { panic!() };
        let signer_name = rrsig.input().signer_name.to_ascii();
        assert_eq!(signer_name, "bl.example.");
        assert!(rrsig.input().sig_inception.get() < now && now < rrsig.input().sig_expiration.get());
        let key = key_of(signer, &rrsig, now);
        let verified = key.verify_rrsig(&owner, DNSClass::IN, &rrsig, records.iter());
        assert!(verified.is_ok(), "{set:?}: {verified:?}");
    }
    assert!(signed.until > now && !signed.records.is_empty());
    signed
}

fn key_of(signer: &ZoneSigner, rrsig: &RRSIG, now: u32) -> DNSKEY {
    let dnskeys = &signer.key_records(now)[0];
    let keys = dnskeys.rdata.iter().map(|rdata| match read(RecordType::DNSKEY, rdata) {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => key,
        _ => panic!("no DNSKEY"),
    });
    keys.into_iter()
        .find(|key| key.calculate_key_tag().unwrap() == rrsig.input().key_tag)
        .expect("the key is published")
}

trait ReadWire {
    fn read_wire(wire: &[u8]) -> Self;
}

impl ReadWire for HickoryName {
    fn read_wire(wire: &[u8]) -> Self {
        use hickory_proto::serialize::binary::BinDecodable;
        HickoryName::from_bytes(wire).unwrap()
    }
}

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text.as_bytes()).unwrap().wire().to_vec()
}

#[test]
fn hickory_accepts_every_type() {
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let signer = signer(&[key(algorithm, Role::SecureEntry)]);
        let mx = [&[0, 10][..], &wire("Mail.Example")].concat();
        let soa = [wire("NS.example"), wire("Hostmaster.Example"), vec![0; 20]].concat();
        for (owner, record_type, rdata) in [
            ("bl.example", 6, vec![soa]),
            // (hickory 0.26 sorts before it makes letters small, so the order here is the same either way.)
            ("bl.example", 2, vec![wire("ns2.Example"), wire("ns1.Example")]),
            ("*.8.b.d.0.1.0.0.2.bl.example", 1, vec![vec![127, 0, 0, 3], vec![127, 0, 0, 2]]),
            ("*.8.b.d.0.1.0.0.2.bl.example", 16, vec![b"\x01b".to_vec(), b"\x02Aa".to_vec()]),
            ("x.bl.example", 15, vec![mx]),
            ("x.bl.example", 17, vec![vec![0, 0]]),
            ("x.bl.example", 47, vec![crate::dnssec::nsec::rdata(&wire("y.bl.example"), [1, 17])]),
        ] {
            let rdata: Vec<Cow<'_, [u8]>> = rdata.into_iter().map(Cow::Owned).collect();
            verify(&signer, &Unsigned { owner: &wire(owner), record_type, ttl: 2100, rdata: &rdata }, NOW);
        }
        for KeyRecords { record_type, ttl, rdata } in signer.key_records(NOW) {
            let set = Unsigned { owner: signer.apex(), record_type: *record_type, ttl: *ttl, rdata };
            verify(&signer, &set, NOW);
        }
        assert_eq!(signer.key_records(NOW).len(), 3);
    }
}

#[test]
fn each_key_has_its_part() {
    let keys = [Role::SecureEntry, Role::Zone].map(|role| key(Algorithm::EcdsaP256Sha256, role));
    let signer = signer(&keys);
    let tag = |record_type: u16| {
        let rdata = [Cow::Borrowed(&[127, 0, 0, 2][..])];
        let set = Unsigned { owner: signer.apex(), record_type, ttl: 1, rdata: &rdata };
        let signed = signer.sign(&set, NOW).unwrap();
        assert_eq!(signed.records.len(), 1);
        u16::from_be_bytes([signed.records[0][16], signed.records[0][17]])
    };
    for record_type in [record_type::DNSKEY, record_type::CDS, record_type::CDNSKEY] {
        assert_eq!(tag(record_type), keys[0].key.tag());
    }
    for record_type in [1, 6, record_type::NSEC, record_type::DS] {
        assert_eq!(tag(record_type), keys[1].key.tag());
    }
}

#[test]
fn the_life_of_a_signature() {
    let signer = signer(&[key(Algorithm::Ed25519, Role::SecureEntry)]);
    let rdata = [Cow::Borrowed(&[127, 0, 0, 2][..])];
    let set = Unsigned { owner: &wire("2.bl.example"), record_type: 1, ttl: 300, rdata: &rdata };
    assert_eq!(signer.cached(&set, NOW), None);
    let first = signer.sign(&set, NOW).unwrap();
    assert_eq!(signer.cached(&set, NOW).as_ref(), Some(&first));
    assert_eq!(signer.sign(&set, first.renew - 1).unwrap(), first);
    // The epoch after: still there, and overdue; then it is made again.
    assert_eq!(signer.cached(&set, first.until - 1).as_ref(), Some(&first));
    let second = signer.sign(&set, first.renew).unwrap();
    assert_eq!((second.renew, second.records.len()), (first.until, 1));
    assert_ne!(second, first);
    assert_eq!(signer.cached(&set, second.until), None);
    assert_eq!((signer.cache().len(), signer.cache().made()), (1, 2));
    // Other records, another TTL and another key are something else.
    assert_eq!(signer.cached(&Unsigned { ttl: 301, ..set }, first.renew), None);
    let other = [Cow::Borrowed(&[127, 0, 0, 3][..])];
    assert_eq!(signer.cached(&Unsigned { rdata: &other, ..set }, first.renew), None);
    let keys = KeySet::new(&apex(), &[key(Algorithm::Ed25519, Role::Zone)], 1).unwrap();
    assert_eq!(signer.with_keys(keys).cached(&set, first.renew), None);
    assert_eq!(signer.with_keys(signer.keys().clone()).cached(&set, first.renew), Some(second));
}

proptest! {
    #[test]
    fn order_and_case_do_not_matter(
        mut names in prop::collection::vec("[a-zA-Z]{1,5}\\.[A-Za-z]{1,3}", 1..6),
        record_type in prop::sample::select(vec![2u16, 5, 12, 39]),
    ) {
        let signer = signer(&[key(Algorithm::Ed25519, Role::Zone)]);
        let sign = |names: &[String]| {
            let rdata: Vec<Cow<'_, [u8]>> = names.iter().map(|name| Cow::Owned(wire(name))).collect();
            signer.sign(&Unsigned { owner: &wire("x.bl.example"), record_type, ttl: 1, rdata: &rdata }, NOW)
        };
        let first = sign(&names).unwrap();
        names.reverse();
        names.push(names[0].to_uppercase());
        prop_assert_eq!(sign(&names).unwrap(), first);
    }
}
