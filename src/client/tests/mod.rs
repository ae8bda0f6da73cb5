//! Lookups against a server in memory, whole and broken, on a clock that the tests move.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::address::{Key, MAPPED};
use crate::prefix_table::UNLISTED;
use crate::range_record::literal::ListEntry;
use crate::range_record::tests::lists;
use crate::range_record::{Prefix, StateMap, block, key_of};
use fake::{APEX, Fake, Fault, NEGATIVE_TTL, TTL, Zone};

pub(crate) mod fake;
mod network;

const DOCUMENTATION: u128 = 0x2001_0db8 << 96;

/// Runs a test on a clock that stands still but where everything waits.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

pub(crate) fn ranges(fake: &Fake, stale: u64) -> Ranges {
    let limits = Limits { stale, ..Limits::default() };
    Ranges::new(Name::from_ascii(APEX).unwrap(), Answers::new(Box::new(fake.clone()), limits))
}

pub(crate) fn address(key: Key) -> IpAddr {
    match key {
        Key::V4(address) => Ipv4Addr::from_bits(address).into(),
        Key::V6(address) => Ipv6Addr::from_bits(address).into(),
    }
}

fn entry(first: u128, length: u8, state: u32) -> ListEntry {
    ListEntry { prefix: Prefix::containing(first, length), state }
}

/// Addresses at which something changes, and others.
fn keys(zone: &Zone, random: &[u128]) -> Vec<Key> {
    let runs = zone.map.ranges_from(0).flat_map(|run| [run.first, run.last]);
    runs.chain(random.iter().copied()).map(key_of).collect()
}

/// What a lookup says, in the words of the map: its state, 0 for not listed.
fn state(lookup: &Lookup) -> Option<u32> {
    match &lookup.listing {
        Listing::Listed(Some(said)) => Some(said.codes[0].octets()[3].into()),
        Listing::Listed(None) => panic!("no code: {lookup:?}"),
        Listing::NotListed => Some(UNLISTED),
        Listing::Unknown => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn lookups_say_what_the_map_says(
        listings in lists(60),
        random in proptest::collection::vec(any::<u128>(), 8),
        limit in block::MIN_LIMIT..1200,
        with_ranges in any::<bool>(),
    ) {
        let mut zone = Zone::new(&listings, limit);
        zone.ranges = with_ranges;
        let keys = keys(&zone, &random);
        let fake = Fake::new(zone);
        run(async {
            let ranges = ranges(&fake, 0);
            for key in keys {
                let expected = fake.with(|shared| shared.zone.state(key));
                let lookup = ranges.lookup(address(key), true).await;
                assert_eq!(state(&lookup), Some(expected), "{lookup:?}");
                // A block for each nibble at most, the values, A and TXT at the canonical address.
                assert!(lookup.asked.len() <= 32 + 3);
                assert_eq!(lookup.fallback.is_none(), with_ranges, "{lookup:?}");
                if let Listing::Listed(Some(said)) = &lookup.listing {
                    let of = said.text_address.unwrap_or(address(key)).to_string();
                    assert_eq!(said.texts, Some(Zone::texts(expected, &of)));
                }
                // The same again costs nothing.
                let again = ranges.lookup(address(key), true).await;
                assert_eq!((again.questions_asked(), &again.listing), (0, &lookup.listing));
            }
        });
    }

    #[test]
    fn faults_cost_answers_and_never_truth(
        listings in lists(60),
        random in proptest::collection::vec(any::<u128>(), 8),
        faults in proptest::collection::vec(prop_oneof![
            4 => Just(Fault::None), 1 => Just(Fault::Drop), 1 => Just(Fault::Vanish), 1 => Just(Fault::Garbage),
            1 => Just(Fault::Cut), 1 => Just(Fault::CutPacket), 1 => Just(Fault::Refuse), 1 => Just(Fault::Refer),
        ], 1..20),
    ) {
        let zone = Zone::new(&listings, block::MIN_LIMIT);
        let keys = keys(&zone, &random);
        let fake = Fake::new(zone);
        let mut faults = faults.into_iter().cycle();
        fake.with(|shared| shared.faults = Box::new(move |question| {
            let fault = faults.next().unwrap_or(Fault::None);
            // An ordinary query is all the truth there is: nobody can see that it was forged.
            let block = question.name.to_ascii().contains("_ranges");
            match fault {
                Fault::Vanish | Fault::Garbage | Fault::Cut if !block => Fault::None,
                // Octets of a TXT record in another order may be another TXT record.
                Fault::Garbage if question.record_type == RecordType::TXT => Fault::Cut,
                fault => fault,
            }
        }));
        run(async {
            let ranges = ranges(&fake, 0);
            for key in keys {
                let expected = fake.with(|shared| shared.zone.state(key));
                let lookup = ranges.lookup(address(key), true).await;
                match &lookup.listing {
                    Listing::Listed(Some(_)) => assert_eq!(state(&lookup), Some(expected), "{lookup:?}"),
                    Listing::Listed(None) => assert_ne!(expected, UNLISTED),
                    Listing::NotListed => assert_eq!(expected, UNLISTED, "{lookup:?}"),
                    Listing::Unknown => assert!(lookup.asked.iter().any(|asked| asked.reply.is_err())),
                }
                advance(Duration::from_secs(40)).await;
            }
        });
    }

    /// Blocks split, merge and vanish while others are kept: a verdict is that of the old list or of
    /// the new one.
    #[test]
    fn a_change_between_two_questions(
        before in lists(60),
        after in lists(60),
        random in proptest::collection::vec(any::<u128>(), 4),
        moment in 0..12usize,
    ) {
        let after = [before.clone(), after].concat();
        let old = Zone::new(&before, block::MIN_LIMIT);
        let new = Zone::new(&after, block::MIN_LIMIT);
        let keys = keys(&new, &random);
        let fake = Fake::new(Zone::new(&before, block::MIN_LIMIT));
        run(async {
            let ranges = ranges(&fake, 0);
            for (index, key) in keys.into_iter().enumerate() {
                if index == moment {
                    fake.with(|shared| shared.zone = Zone::new(&after, block::MIN_LIMIT));
                }
                let listed = [old.state(key), fake.with(|shared| shared.zone.state(key))];
                let lookup = ranges.lookup(address(key), true).await;
                match &lookup.listing {
                    Listing::Listed(_) => assert!(listed.iter().any(|&state| state != UNLISTED)),
                    Listing::NotListed => assert!(listed.contains(&UNLISTED), "{lookup:?}"),
                    Listing::Unknown => panic!("{lookup:?}"),
                }
            }
        });
    }
}

#[test]
fn a_walk_through_one_listing_costs_two_names() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    run(async {
        let ranges = ranges(&fake, 0);
        for host in 0..1000u128 {
            let lookup = ranges.lookup(address(Key::V6(DOCUMENTATION | host << 64)), true).await;
            assert_eq!(lookup.covered.unwrap().to_string(), "2001:db8::/32");
        }
        assert_eq!(fake.asked(), 2);
        let other = ranges.lookup("2001:db9::1".parse().unwrap(), true).await;
        assert_eq!((other.listing, fake.asked()), (Listing::NotListed, 2));
        assert_eq!(
            other.covered.unwrap().to_string(),
            "2001:db9:: - ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        );
    });
}

/// A made-up list of usual size: 40 /32s, 400 /48s and 4,000 /64s beside the one that is swept.
#[test]
fn a_walk_through_one_listing_of_many_costs_little() {
    let at = |index: u128, step: u32| (0x2a00u128 << 112) | (index * 0x9e37 % 0x1_0000) << step;
    let mut entries = vec![entry(DOCUMENTATION, 32, 1)];
    entries.extend((0..40).map(|index| entry(at(index, 96), 32, 1)));
    entries.extend((0..400).map(|index| entry(at(index, 80) | 1 << 108, 48, 2)));
    entries.extend((0..4000).map(|index| entry(at(index, 64) | 1 << 109, 64, 1)));
    let fake = Fake::new(Zone::new(&entries, 800));
    run(async {
        let ranges = ranges(&fake, 0);
        for host in 0..2000u128 {
            let listed = ranges.lookup(address(Key::V6(DOCUMENTATION | host << 64)), true).await;
            assert_eq!(state(&listed), Some(1));
            let unlisted =
                ranges.lookup(address(Key::V6((DOCUMENTATION | host << 64) + (1 << 96))), true).await;
            assert_eq!(state(&unlisted), Some(UNLISTED));
        }
        assert!(fake.asked() <= 8, "{}", fake.asked());
    });
}

#[test]
fn ipv4_ranges() {
    let fake = Fake::new(Zone::new(&[entry(MAPPED | 0xc000_0200, 120, 1)], 800));
    run(async {
        let ranges = ranges(&fake, 0);
        let inside = ranges.lookup("192.0.2.1".parse().unwrap(), true).await;
        assert_eq!((state(&inside), inside.covered.unwrap().to_string()), (Some(1), "192.0.2.0/24".into()));
        let below = ranges.lookup("10.0.0.1".parse().unwrap(), true).await;
        assert_eq!(below.covered.unwrap().to_string(), "0.0.0.0 - 192.0.1.255");
    });
}

#[test]
fn questions_asked_at_once_are_asked_once() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 3)], 800));
    run(async {
        let ranges = Arc::new(ranges(&fake, 0));
        let lookups: Vec<_> = (0..100u128)
            .map(|host| {
                let ranges = ranges.clone();
                tokio::spawn(async move {
                    ranges.lookup(address(Key::V6(DOCUMENTATION | host << 80)), true).await
                })
            })
            .collect();
        let mut asked = 0;
        for lookup in lookups {
            let lookup = lookup.await.unwrap();
            assert_eq!(state(&lookup), Some(3));
            asked += lookup.questions_asked();
        }
        // The root, its values, A and TXT at the canonical address.
        assert_eq!((fake.asked(), asked), (4, 4));
    });
}

#[test]
fn answers_are_kept_as_long_as_they_hold() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    run(async {
        let ranges = ranges(&fake, 0);
        let listed = address(Key::V6(DOCUMENTATION));
        assert_eq!(ranges.lookup(listed, true).await.ttl, u64::from(TTL));
        advance(Duration::from_secs(u64::from(TTL) - 2)).await;
        let kept = ranges.lookup(listed, true).await;
        assert_eq!((kept.questions_asked(), kept.ttl), (0, 2));
        advance(Duration::from_secs(2)).await;
        let again = ranges.lookup(listed, true).await;
        assert_eq!((again.questions_asked(), again.ttl, fake.asked()), (2, u64::from(TTL), 4));
        // What is not there holds for the SOA's minimum.
        let plain = ranges.plain();
        let lookup = plain.lookup("::1".parse().unwrap(), true).await;
        assert_eq!((lookup.ttl, lookup.questions_asked()), (u64::from(NEGATIVE_TTL), 1));
    });
}

#[test]
fn a_server_that_is_gone() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    run(async {
        let strict = ranges(&fake, 0);
        let lenient = ranges(&fake, 3600);
        let (listed, other) = (address(Key::V6(DOCUMENTATION)), "2001:db9::1".parse().unwrap());
        for ranges in [&strict, &lenient] {
            assert_eq!(state(&ranges.lookup(listed, true).await), Some(2));
        }
        fake.with(|shared| shared.faults = Box::new(|_| Fault::Drop));
        advance(Duration::from_secs(u64::from(TTL))).await;
        assert_eq!(strict.lookup(listed, true).await.listing, Listing::Unknown);
        for (address, expected) in [(listed, 2), (other, UNLISTED)] {
            let stale = lenient.lookup(address, true).await;
            assert_eq!((state(&stale), stale.is_stale(), stale.ttl), (Some(expected), true, 0));
        }
        // Nobody is asked while nobody answers.
        let before = fake.asked();
        for ranges in [&strict, &lenient] {
            for host in 0..100 {
                ranges.lookup(address(Key::V6(DOCUMENTATION | host)), true).await;
            }
        }
        assert!(fake.asked() <= before + 8, "{}", fake.asked() - before);
        advance(Duration::from_secs(3600)).await;
        assert_eq!(lenient.lookup(listed, true).await.listing, Listing::Unknown);
        // It comes back.
        fake.with(|shared| shared.faults = Box::new(|_| Fault::None));
        advance(Duration::from_secs(15)).await;
        for ranges in [&strict, &lenient] {
            let lookup = ranges.lookup(listed, true).await;
            assert_eq!((state(&lookup), lookup.is_stale()), (Some(2), false), "{lookup:?}");
        }
    });
}

#[test]
fn a_resolver_that_drops_unknown_types() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    let apl = RecordType::from(42);
    fake.with(|shared| {
        shared.faults =
            Box::new(move |question| if question.record_type == apl { Fault::Drop } else { Fault::None });
    });
    run(async {
        let ranges = ranges(&fake, 0);
        for host in 0..20 {
            let lookup = ranges.lookup(address(Key::V6(DOCUMENTATION | host)), false).await;
            assert_eq!(state(&lookup), Some(2));
            assert!(lookup.fallback.is_some());
        }
        let dropped =
            fake.with(|shared| shared.asked.iter().filter(|asked| asked.record_type == apl).count());
        assert!(dropped <= 2, "{dropped}");
    });
}

/// RFC 8767, section 5: the time that a client waits is that of all questions together.
#[test]
fn stale_answers_come_in_time() {
    let mut entries = vec![entry(DOCUMENTATION | 1 << 64, 64, 3)];
    entries.extend((2..400).map(|index| entry(DOCUMENTATION | index << 69, 64, 1)));
    let fake = Fake::new(Zone::new(&entries, block::MIN_LIMIT));
    run(async {
        let ranges = ranges(&fake, 3600);
        let listed = address(Key::V6(DOCUMENTATION | 1 << 64));
        let fresh = ranges.lookup(listed, true).await;
        assert!(fresh.asked.len() > 4, "{fresh:?}");
        fake.with(|shared| shared.faults = Box::new(|_| Fault::Drop));
        advance(Duration::from_secs(u64::from(TTL))).await;
        let before = (fake.asked(), tokio::time::Instant::now());
        let stale = ranges.lookup(listed, true).await;
        let waited = before.1.elapsed();
        assert_eq!((state(&stale), stale.is_stale()), (Some(3), true));
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        // All questions were put, so that a server that is back refreshes everything.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(fake.asked() - before.0, fresh.asked.len());
    });
}

#[test]
fn a_zone_that_does_not_exist_lists_nothing_and_is_no_verdict() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 1)], 800));
    run(async {
        let answers = Answers::new(Box::new(fake.clone()), Limits::default());
        let zone = |name: &str| Ranges::new(Name::from_ascii(name).unwrap(), answers.clone());
        let unlisted = "2001:db9::1".parse().unwrap();
        for typo in [zone("typo.bl.example"), zone("typo.bl.example").plain()] {
            let lookup = typo.lookup(unlisted, true).await;
            assert_eq!(lookup.listing, Listing::Unknown);
            assert_eq!(lookup.asked[0].reply, Err(Failure::NoSuchZone));
            let name = typo.lookup_name(&Name::from_ascii("example.org").unwrap(), true).await;
            assert_eq!(name.listing, Listing::Unknown);
        }
        // A list may be a name inside a zone: the name exists.
        let inside = zone("8.b.d.0.1.0.0.2.bl.example");
        assert_eq!(inside.lookup(unlisted, true).await.listing, Listing::NotListed);
        assert_eq!(zone("BL.Example").lookup(unlisted, true).await.listing, Listing::NotListed);
    });
}

#[test]
fn the_longest_zone_with_range_records() {
    let zone = |last: usize| {
        let name = format!("{0}.{0}.{1}.", "a".repeat(63), "b".repeat(last));
        Ranges::new(
            Name::from_ascii(name).unwrap(),
            Answers::new(Box::new(Fake::new(Zone::new(&[], 800))), Limits::default()),
        )
    };
    // Two labels of 64 octets, one of 56, the root: 185.
    assert!(!zone(55).plain && zone(56).plain);
}

#[test]
fn a_zone_that_is_gone_and_its_neighbour() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    let dead = Name::from_ascii("dead.example.").unwrap();
    let is_down = Arc::new(AtomicBool::new(true));
    fake.with(|shared| {
        let (dead, is_down) = (dead.clone(), is_down.clone());
        shared.faults = Box::new(move |question| match dead.zone_of(&question.name) {
            true if is_down.load(Ordering::Relaxed) => Fault::Drop,
            _ => Fault::None,
        });
    });
    run(async {
        let answers = Answers::new(Box::new(fake.clone()), Limits::default());
        let alive = Ranges::new(Name::from_ascii(APEX).unwrap(), answers.clone()).plain();
        let dead = Ranges::new(dead, answers).plain();
        let host = |host| address(Key::V6(DOCUMENTATION | host));
        for index in 0..20 {
            assert_eq!(dead.lookup(host(index), false).await.listing, Listing::Unknown);
            assert_eq!(state(&alive.lookup(host(index), false).await), Some(2));
        }
        // One question a second asks whether it is back.
        let (before, began) = (fake.asked(), tokio::time::Instant::now());
        for index in 100..200 {
            dead.lookup(host(index), false).await;
            advance(Duration::from_millis(50)).await;
        }
        let (asked, seconds) = (fake.asked() - before, began.elapsed().as_secs() as usize);
        assert!(3 < asked && asked <= seconds + 1 && seconds < 30, "{asked} in {seconds} s");
        is_down.store(false, Ordering::Relaxed);
        advance(Duration::from_secs(1)).await;
        for index in 200..220 {
            assert_eq!(state(&dead.lookup(host(index), false).await), Some(2));
        }
    });
}

#[test]
fn a_door_that_is_closed_is_no_silence() {
    let fake = Fake::new(Zone::new(&[entry(DOCUMENTATION, 32, 2)], 800));
    run(async {
        let ranges = ranges(&fake, 0).plain();
        fake.with(|shared| shared.faults = Box::new(|_| Fault::Closed));
        for host in 0..5 {
            let lookup = ranges.lookup(address(Key::V6(DOCUMENTATION | host)), false).await;
            assert_eq!(lookup.listing, Listing::Unknown);
        }
        fake.with(|shared| shared.faults = Box::new(|_| Fault::None));
        let lookup = ranges.lookup(address(Key::V6(DOCUMENTATION | 9)), false).await;
        assert_eq!(state(&lookup), Some(2));
    });
}

#[test]
fn names_are_asked_as_they_are() {
    let fake = Fake::new(Zone::new(&[], 800));
    run(async {
        let ranges = ranges(&fake, 0);
        let lookup = ranges.lookup_name(&Name::from_ascii("example.org").unwrap(), true).await;
        assert_eq!(lookup.listing, Listing::NotListed);
        assert_eq!(lookup.asked[0].question.to_string(), "example.org.bl.example. A");
        let long = Name::from_ascii(["a".repeat(63).as_str(); 3].join(".") + &".b".repeat(30)).unwrap();
        let lookup = ranges.lookup_name(&long, true).await;
        assert_eq!((lookup.listing, lookup.ttl), (Listing::Unknown, 0));
        assert_eq!(lookup.asked[0].reply, Err(Failure::NameTooLong));
    });
}

#[test]
fn ranges_as_prefixes() {
    let covered = |first: &str, last: &str| {
        Covered { first: first.parse().unwrap(), last: last.parse().unwrap() }.to_string()
    };
    assert_eq!(covered("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
    assert_eq!(covered("192.0.2.1", "192.0.2.1"), "192.0.2.1/32");
    assert_eq!(covered("192.0.2.1", "192.0.2.2"), "192.0.2.1 - 192.0.2.2");
    assert_eq!(covered("192.0.2.2", "192.0.2.5"), "192.0.2.2 - 192.0.2.5");
    assert_eq!(covered("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::/0");
    assert_eq!(covered("2001:db8::", "2001:db8::1"), "2001:db8::/127");
}
