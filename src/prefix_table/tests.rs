//! The compiled table against a linear oracle, the reference and a walk over all boundaries; tables
//! of many blocks against the reference alone.

use proptest::collection::vec;
use proptest::prelude::*;

use super::reference::ReferenceTable;
use super::*;

fn entry<A: Address>(first: A, length: u8, state: State) -> Entry<A> {
    Entry { first: first.masked(length), length, state, line: 0, file: 0 }
}

fn build<A: Address>(entries: &[Entry<A>]) -> (PrefixTable<A>, Vec<Remark<A>>) {
    let mut remarks = Vec::new();
    let table = PrefixTable::build(entries.to_vec(), &mut |remark| remarks.push(remark)).unwrap();
    (table, remarks)
}

/// The entry that decides about all addresses of a prefix, of those at most `longest` bits long:
/// the longest that contains it, and the first of several by origin and place.
fn decider<A: Address>(entries: &[Entry<A>], address: A, longest: i32) -> Option<&Entry<A>> {
    entries
        .iter()
        .filter(|e| i32::from(e.length) <= longest && address.masked(e.length) == { e.first })
        .min_by_key(|e| (std::cmp::Reverse(e.length), e.origin()))
}

fn linear<A: Address>(entries: &[Entry<A>], address: A) -> State {
    decider(entries, address, 128).map_or(UNLISTED, |e| e.state)
}

/// Every address at which a state can change, the address before it, and the ends of the space.
fn probes<A: Address>(entries: &[Entry<A>]) -> Vec<A> {
    let mut probes = vec![A::MIN, A::MAX];
    for entry in entries {
        let last = entry.first.last_of(entry.length);
        probes.extend(
            [Some(entry.first), entry.first.predecessor(), Some(last), last.successor()].iter().flatten(),
        );
    }
    probes.sort();
    probes.dedup();
    probes
}

/// The maximal runs by brute force: the state at every address where one can begin.
fn walk<A: Address>(entries: &[Entry<A>], state_of: impl Fn(A) -> State) -> Vec<Range<A>> {
    let mut runs: Vec<Range<A>> = Vec::new();
    for first in probes(entries) {
        let state = state_of(first);
        match runs.last_mut() {
            Some(run) if run.state == state => run.last = first,
            Some(run) => {
                run.last = first.predecessor().unwrap();
                runs.push(Range { first, last: first, state });
            }
            None => runs.push(Range { first, last: first, state }),
        }
    }
    runs
}

fn remarks_by_hand<A: Address>(entries: &[Entry<A>]) -> Vec<Remark<A>> {
    let mut remarks = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let same =
            |other: &&(usize, &Entry<A>)| (other.1.first, other.1.length) == (entry.first, entry.length);
        let kept = entries.iter().enumerate().collect::<Vec<_>>();
        let (kept_place, kept) =
            kept.iter().filter(same).min_by_key(|(place, e)| (e.origin(), *place)).unwrap();
        if *kept_place != place {
            remarks.push(Remark::Duplicate { kept: **kept, dropped: *entry });
        } else {
            let shorter = decider(entries, entry.first, i32::from(entry.length) - 1);
            if shorter.map_or(UNLISTED, |e| e.state) == entry.state {
                remarks.push(Remark::Redundant(*entry));
            }
        }
    }
    remarks
}

fn check<A: Address>(entries: &[Entry<A>], more: &[A]) {
    let (table, remarks) = build(entries);
    check_size(&table, entries.len());
    let reference = ReferenceTable::build(entries.to_vec());
    let runs = walk(entries, |address| linear(entries, address));
    assert_eq!(table.ranges_from(A::MIN).collect::<Vec<_>>(), runs, "all runs");
    assert_eq!(table.is_empty(), runs.len() == 1 && runs[0].state == UNLISTED);
    let mut probes = probes(entries);
    probes.extend(more);
    for &address in &probes {
        let state = linear(entries, address);
        let place = runs.partition_point(|run| run.last < address);
        assert_eq!(table.lookup(address), state, "{address:x?}");
        assert_eq!(reference.lookup(address), state, "reference of {address:x?}");
        assert_eq!(table.range(address), runs[place], "range of {address:x?}");
        assert!(table.ranges_from(address).take(4).eq(runs[place..].iter().take(4).copied()));
        for &last in &probes {
            let listed = runs[place..]
                .iter()
                .take_while(|run| run.first <= last)
                .any(|run| run.state != UNLISTED && run.last >= address);
            assert_eq!(table.any_listed(address, last), listed && address <= last, "{address:x?}-{last:x?}");
        }
    }
    check_batches(&table, &probes);
    let sorted = |mut remarks: Vec<Remark<A>>| {
        remarks.sort_by_key(|remark| format!("{remark:?}"));
        remarks
    };
    assert_eq!(sorted(remarks), sorted(remarks_by_hand(entries)));
}

/// Many together, compiled for this machine and for any, are as each by itself.
fn check_batches<A: Address>(table: &PrefixTable<A>, addresses: &[A]) {
    let one_by_one: Vec<State> = addresses.iter().map(|&address| table.lookup(address)).collect();
    let mut states = vec![State::MAX; addresses.len()];
    table.lookup_batch(addresses, &mut states);
    assert_eq!(states, one_by_one);
    states.fill(State::MAX);
    table.lookup_batch_on(Machine::ANY, addresses, &mut states);
    assert_eq!(states, one_by_one);
}

/// No choice of prefixes makes a table large.
fn check_size<A: Address>(table: &PrefixTable<A>, prefixes: usize) {
    let bytes = table.bytes();
    assert!(bytes <= 2048 + 120 * prefixes, "{bytes} octets for {prefixes} prefixes");
}

/// A table of many blocks and levels, and of whatever shape.
fn check_large<A: Address>(entries: &[Entry<A>]) {
    let table = build(entries).0;
    check_size(&table, entries.len());
    let reference = ReferenceTable::build(entries.to_vec());
    let runs = walk(entries, |address| reference.lookup(address));
    assert!(table.ranges_from(A::MIN).eq(runs.iter().copied()), "all runs");
    for &run in &runs {
        for address in [run.first, run.last] {
            assert_eq!(table.lookup(address), run.state, "{address:x?}");
            assert_eq!(table.range(address), run);
        }
    }
    check_batches(&table, &probes(entries));
}

/// Prefixes of every length; half of them have only a few bits in which they can differ, so that
/// they nest, meet and repeat.
fn entries_v6() -> impl Strategy<Value = Vec<Entry<u128>>> {
    let first = prop_oneof![
        any::<u128>(),
        any::<u16>().prop_map(|bits| 0x2001_0db8 << 96 | u128::from(bits & 0xf) << 76),
        any::<u16>().prop_map(|bits| 0x2001_0db8 << 96 | u128::from(bits) << 57),
        any::<u16>().prop_map(|bits| 0x2001_0db8 << 96 | u128::from(bits & 7) << 64 | u128::from(bits >> 12)),
        Just(u128::MAX),
        Just(0),
    ];
    let length = prop_oneof![0..=128u8, Just(64), Just(48), 56..=72u8, 120..=128u8];
    let state = prop_oneof![2 => Just(UNLISTED), 3 => 1..4u32, 1 => any::<u32>()];
    let one = (first, length, state, 0..3u32, 0..2u16).prop_map(|(first, length, state, line, file)| Entry {
        line,
        file,
        ..entry(first, length, state)
    });
    vec(one, 0..48)
}

fn entries_v4() -> impl Strategy<Value = Vec<Entry<u32>>> {
    let first = prop_oneof![
        any::<u32>(),
        any::<u8>().prop_map(|bits| 0xc000_0200 | u32::from(bits)),
        Just(u32::MAX),
        Just(0)
    ];
    let one = (first, 0..=32u8, 0..4u32, 0..3u32, 0..2u16)
        .prop_map(|(first, length, state, line, file)| Entry { line, file, ..entry(first, length, state) });
    vec(one, 0..48)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn v6_agrees_with_the_oracles(entries in entries_v6(), more in vec(any::<u128>(), 8)) {
        check(&entries, &more);
    }

    #[test]
    fn v4_agrees_with_the_oracles(entries in entries_v4(), more in vec(any::<u32>(), 8)) {
        check(&entries, &more);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn large_v6_agrees_with_the_reference(
        clusters in vec((any::<u128>(), 16..=112u8, 0..24u8, 1..200u64, any::<u32>()), 60),
    ) {
        let mut entries = Vec::new();
        for (base, length, spread, count, states) in clusters {
            for number in 0..count {
                // Multiplied by an odd number: distinct, in no order, some next to each other.
                let offset = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - 16 - spread / 3));
                let place = base ^ offset << (128 - length);
                let length = (length + (number % 4) as u8 * (spread / 2)).min(128);
                entries.push(entry(place, length, (number as u32 & 7).wrapping_mul(states >> (states & 31))));
            }
        }
        check_large(&entries);
    }

    #[test]
    fn large_v4_agrees_with_the_reference(places in vec((any::<u32>(), 8..=32u8, 0..3u32), 6000)) {
        check_large(&places.into_iter().map(|(first, length, state)| entry(first, length, state)).collect::<Vec<_>>());
    }
}

#[test]
fn regular_tables() {
    let numbers = || 0..2000u32;
    // Neighbours that differ: no unlisted run between them, every second /64 split.
    let neighbours: Vec<_> = numbers()
        .flat_map(|n| [entry(u128::from(n) << 64, 64, 1 + n % 2), entry(u128::from(n * 2) << 64, 65, 3)])
        .collect();
    check_large(&neighbours);
    // Nothing but split /64s: the narrowest records there are.
    check_large(&numbers().map(|n| entry(u128::from(n) << 64, 65, 1)).collect::<Vec<_>>());
    // Prefixes in each other, in turn listed and excepted, at both ends of a prefix.
    check_large(&(0..=128).map(|length| entry(0u128, length, u32::from(length) % 2)).collect::<Vec<_>>());
    check_large(&(0..=128).map(|length| entry(u128::MAX, length, u32::from(length) % 3)).collect::<Vec<_>>());
    // Each a hole of its own in everything, with a state of its own.
    let hole =
        |n: u32| entry(u128::from(n.wrapping_mul(0x9e37_79b1)) << 96 | u128::from(n) << 40, 128, n << 20);
    check_large(&numbers().map(hole).chain([entry(0, 0, State::MAX)]).collect::<Vec<_>>());
    // As far apart as can be; the highest key of all; every state different.
    check_large(&numbers().map(|n| entry(u128::from(n.reverse_bits()) << 96, 128, n)).collect::<Vec<_>>());
    check_large(&numbers().map(|n| entry(u32::MAX - n, 32, n)).collect::<Vec<_>>());
    check_large(
        &numbers().map(|n| entry(u128::MAX - u128::from(n) * 3, 128, u32::MAX - n)).collect::<Vec<_>>(),
    );
}

#[test]
fn small_tables() {
    const DB8: u128 = 0x2001_0db8 << 96;
    check::<u128>(&[], &[1]);
    check::<u32>(&[], &[1]);
    check(&[entry(0u128, 0, 7)], &[1]);
    check(&[entry(0u32, 0, 7)], &[1]);
    check(&[entry(0u128, 0, 7), entry(u128::MAX, 128, UNLISTED), entry(0, 128, UNLISTED)], &[1]);
    check(&[entry(0u128, 0, UNLISTED)], &[1]);
    // Neighbours of one state are one run, whether they make a prefix or not.
    check(&[entry(DB8, 64, 1), entry(DB8 + (1 << 64), 64, 1), entry(DB8 + (2 << 64), 64, 1)], &[]);
    // An exception inside an exception inside a listing, at one first address.
    check(&[entry(DB8, 32, 1), entry(DB8, 48, 0), entry(DB8, 64, 1), entry(DB8, 128, 0)], &[]);
}

#[test]
fn the_first_by_origin_wins() {
    let at = |file, line, state| Entry { file, line, ..entry(0xc000_0200u32, 24, state) };
    let entries = [at(1, 1, 5), at(0, 9, 4), at(0, 2, 3), at(0, 2, 2)];
    let (table, remarks) = build(&entries);
    assert_eq!(table.lookup(0xc000_0201), 3);
    assert!(remarks.iter().all(|r| matches!(r, Remark::Duplicate { kept, .. } if *kept == entries[2])));
    assert_eq!(remarks.len(), 3);
}
