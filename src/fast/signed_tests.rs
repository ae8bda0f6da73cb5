//! Replies that are found again against those that are made: random signed zones, the same bytes.

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{self, ask, client, dataset_text, filled, question, reversed};
use super::*;
use crate::answer::{self, Client, Effort, Outcome, Signing};
use crate::dnssec::cache::SignatureCache;
use crate::dnssec::key::{Algorithm, Key, Role};
use crate::dnssec::key_set::{KeySet, TimedKey, Timing};
use crate::dnssec::signer::ZoneSigner;
use crate::dnssec::validity::Validity;
use crate::name::Name;
use crate::snapshot::Settings;
use crate::zone::{EmptyNonTerminals, SignedBy, Status, Zone, ZoneOptions};
use crate::zone_file::Kind;

pub(super) const NOW: u32 = 1_800_000_000;
const APEX: &str = "Bl.example";

static SIGNER: LazyLock<Arc<ZoneSigner>> = LazyLock::new(|| {
    let apex = Name::from_text(APEX.as_bytes()).unwrap();
    let key = Key::generate(Algorithm::EcdsaP256Sha256, Role::SecureEntry).unwrap();
    let key = TimedKey { key: key.into(), timing: Timing::from(0, Role::SecureEntry) };
    let keys = KeySet::new(&apex, &[key], 3600).unwrap();
    let cache = SignatureCache::new(64 << 20).into();
    Arc::new(ZoneSigner::new(&apex, keys, Validity::default(), cache))
});

fn signed(zone: Arc<Zone>, empty_non_terminals: EmptyNonTerminals) -> Arc<Zone> {
    let by = SignedBy { signer: SIGNER.clone(), empty_non_terminals };
    Arc::new(Arc::into_inner(zone).unwrap().with_signing(crate::zone::Signing::By(by)))
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let options = (any::<[bool; 4]>(), 512u16..1400);
    let datasets = vec(dataset_text(), 0..4).prop_map(|mut datasets| {
        datasets.retain(|(kind, _)| *kind != Kind::Acl);
        datasets
    });
    let options = (options, tests::identity(), tests::cookies(), tests::stale_from(NOW));
    (datasets, options).prop_map(|(datasets, ((flags, udp_size), identity, cookies, stale_from))| {
        let [six_to_four, tests, ranges, plain] = flags;
        let options = ZoneOptions {
            six_to_four,
            test_value: tests.then_some(Ipv4Addr::new(127, 0, 0, 2)),
            ranges: ranges.then(|| crate::zone::RangesOptions {
                block_bytes: 800,
                ttl: 60,
                clients: Vec::new(),
            }),
            ..Default::default()
        };
        let empty_non_terminals = if plain { EmptyNonTerminals::Plain } else { EmptyNonTerminals::Marker };
        let zone = tests::zone(APEX, &datasets, Status::Serving, &options);
        let zone = Arc::new(
            Arc::into_inner(zone).unwrap().with_ranges(None, &mut Default::default()).stale_from(stale_from),
        );
        let settings = Settings { udp_size, identity, cookies, ..Settings::default() };
        Snapshot::new(vec![signed(zone, empty_non_terminals)], settings, None)
    })
}

/// What the general path replies, with all signatures.
fn made(snapshot: &Snapshot, packet: &[u8], client: Client) -> (Outcome, Vec<u8>) {
    let mut reply = Vec::new();
    let signing = Signing { now: NOW, effort: Effort::Make };
    let outcome = answer::respond(snapshot, packet, client, signing, &mut reply);
    (outcome, reply)
}

/// What the fast path replies at a time.
fn found(fast: &FastPath, snapshot: &Snapshot, now: u32, packet: &[u8]) -> Option<(Outcome, Vec<u8>)> {
    let mut buffer = filled(packet);
    buffer[..packet.len()].copy_from_slice(packet);
    let mut elsewhere = Vec::new();
    let mut batch = [Exchange::new(&mut buffer, packet.len(), client(4), &mut elsewhere)];
    fast.respond(snapshot, now, &mut batch);
    let [exchange] = &batch;
    exchange.outcome().map(|outcome| (*outcome, exchange.reply().unwrap().to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_found_is_what_would_be_made(
        snapshot in snapshot(),
        packets in vec(question(vec![APEX]), 1..60),
    ) {
        let fast = FastPath::new(&snapshot);
        for packet in &packets {
            let (outcome, reply) = made(&snapshot, packet, client(4));
            if let Some(found) = found(&fast, &snapshot, NOW, packet) {
                prop_assert_eq!(found, (outcome, reply.clone()), "{:02x?}", packet);
            }
            fast.keep(packet, &outcome, &reply);
        }
    }
}

#[test]
fn one_reply_serves_a_block_until_it_is_to_be_signed_again() {
    let list = "$SOA 300 ns.b host.b 7 60 60 60 90\n2001:db8::/32 :2:see $\n!2001:db8:1::/48\n\
                10.11.0.0/16 :3:three\n"
        .to_string();
    let zone = tests::zone(APEX, &[(Kind::Ip, list)], Status::Serving, &ZoneOptions::default());
    let snapshot = Snapshot::new(vec![signed(zone, EmptyNonTerminals::Marker)], Settings::default(), None);
    let fast = FastPath::new(&snapshot);
    let v6 = |address: u128| reversed(address) + APEX;
    let base = 0x2001_0db8_u128 << 96;
    for (first, others, elsewhere) in [
        // Listed, in an exception, unlisted; the others are in the same block.
        (v6(base | 2 << 80), [v6(base | 2 << 80 | 9), v6(base | 2 << 80 | 5 << 64)], v6(base | 3 << 80)),
        (v6(base | 1 << 80), [v6(base | 1 << 80 | 1), v6(base | 1 << 80 | 2)], v6(base)),
        (v6(0x2a00 << 112), [v6(0x2a00 << 112 | 1), v6(0x2a00 << 112 | 2)], v6(0x2b00 << 112)),
        (
            "1.0.11.10".to_string() + "." + APEX,
            ["2.0.11.10.BL.example".into(), "99.9.11.10.bl.example".into()],
            "1.0.12.10.bl.example".into(),
        ),
    ] {
        for (record_type, edns) in [(1, true), (16, true), (28, true), (1, false)] {
            let ask = |name: &str| ask(name, record_type, edns).0;
            let (outcome, reply) = made(&snapshot, &ask(&first), client(4));
            assert_eq!(found(&fast, &snapshot, NOW, &ask(&first)), None);
            fast.keep(&ask(&first), &outcome, &reply);
            let until = outcome.holds_until.unwrap_or(u32::MAX);
            assert_eq!(outcome.holds_until.is_some(), edns);
            for name in &others {
                let expected = Some(made(&snapshot, &ask(name), client(4)));
                assert_eq!(found(&fast, &snapshot, NOW, &ask(name)), expected, "{name}");
                assert_eq!(found(&fast, &snapshot, until - 1, &ask(name)), expected);
                assert_eq!(found(&fast, &snapshot, until, &ask(name)).is_some(), !edns);
            }
            assert_eq!(found(&fast, &snapshot, NOW, &ask(&elsewhere)), None);
            fast.replies.clear();
        }
    }
}

#[test]
fn a_name_that_sorts_among_octets_parts_their_block() {
    let apex = "$SOA 300 ns.b host.b 7 60 60 60 90\n";
    for (owner, is_simple) in [("1st.77", false), ("1234.77", false), ("0x.77", false), ("ns.77", true)] {
        let records = (Kind::Generic, format!("{apex}{owner} 60 A 192.0.2.7\n"));
        let zone = tests::zone(APEX, &[records], Status::Serving, &ZoneOptions::default());
        let zone = signed(zone, EmptyNonTerminals::Marker);
        let snapshot = Snapshot::new(vec![zone], Settings::default(), None);
        let fast = FastPath::new(&snapshot);
        let [first, other] =
            ["1.1.1.77.", "1.1.200.77."].map(|name| ask(&(name.to_owned() + APEX), 1, true).0);
        let (outcome, reply) = made(&snapshot, &first, client(4));
        fast.keep(&first, &outcome, &reply);
        let found = found(&fast, &snapshot, NOW, &other);
        assert_eq!(found, is_simple.then(|| made(&snapshot, &other, client(4))), "{owner}");
    }
}
