//! The compiled table against a linear oracle, the reference and a walk over all boundaries.

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
        .filter(|e| i32::from(e.length) <= longest && address.masked(e.length) == e.first)
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
fn walk<A: Address>(entries: &[Entry<A>]) -> Vec<Range<A>> {
    let mut runs: Vec<Range<A>> = Vec::new();
    for first in probes(entries) {
        let state = linear(entries, first);
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
    let reference = ReferenceTable::build(entries.to_vec());
    let runs = walk(entries);
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
    let mut states = vec![State::MAX; probes.len()];
    table.lookup_batch(&probes, &mut states);
    assert_eq!(states, probes.iter().map(|&address| linear(entries, address)).collect::<Vec<_>>());
    let sorted = |mut remarks: Vec<Remark<A>>| {
        remarks.sort_by_key(|remark| format!("{remark:?}"));
        remarks
    };
    assert_eq!(sorted(remarks), sorted(remarks_by_hand(entries)));
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
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn v6_agrees_with_the_oracles(entries in entries_v6(), more in vec(any::<u128>(), 8)) {
        check(&entries, &more);
    }

    #[test]
    fn v4_agrees_with_the_oracles(entries in entries_v4(), more in vec(any::<u32>(), 8)) {
        check(&entries, &more);
    }
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
