//! Entries into the order in which prefixes nest: by first address, shorter prefixes first.
//!
//! A radix sort in place. A step parts entries by the eight leading bits in which their addresses
//! differ at all, each part is sorted in the same way, and a small part by comparison. Lists are clustered
//! under few short prefixes, which takes two or three steps; no list takes more than one for each
//! octet of an address.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Address, Entry, simd};

/// Parts of so many entries are quicker compared than parted.
const FEW: usize = 256;

/// How many entries before its turn a place is fetched into the cache.
const AHEAD: usize = 4;

/// Fewer entries than these are not worth a thread.
const MANY: usize = 1 << 16;

/// Sorts entries by prefix, the entries of one prefix by origin and then by place.
///
/// In place wherever the order of origins is a complete one, as in the entries of files read from
/// top to bottom, where one line names disjoint prefixes in ascending order. Else the sort has to
/// be stable, which takes half the memory of the entries once more.
pub(crate) fn sort<A: Address>(entries: &mut [Entry<A>]) {
    let written_in_order = entries.is_sorted_by(|a, b| (a.origin(), a.first) < (b.origin(), b.first));
    if !written_in_order {
        return entries.sort_by_key(|entry| (entry.first, entry.length, entry.origin()));
    }
    if !entries.is_sorted_by_key(|entry| entry.first) {
        let many = entries.len() >= MANY;
        let threads = if many { thread::available_parallelism().map_or(1, usize::from) } else { 1 };
        by_address(entries, threads);
    }
    for same in entries.chunk_by_mut(|a, b| { a.first } == { b.first }) {
        if same.len() > 1 {
            same.sort_unstable_by_key(|entry| (entry.length, entry.origin()));
        }
    }
}

/// Sorts by first address.
fn by_address<A: Address>(entries: &mut [Entry<A>], threads: usize) {
    if entries.len() <= FEW {
        return entries.sort_unstable_by_key(|entry| entry.first);
    }
    let first = entries[0].first;
    let differences = entries.iter().fold(A::ZERO, |all, entry| all | (entry.first ^ first));
    if differences == A::ZERO {
        return;
    }
    let total = entries.len();
    let mut parts = part(entries, differences.width().saturating_sub(8));
    if threads == 1 || total < MANY {
        return parts.into_iter().for_each(|part| by_address(part, 1));
    }
    // A part that is nearly all would keep one thread busy alone.
    if let Some(most) = parts.iter_mut().find(|part| part.len() > total / 2) {
        by_address(std::mem::take(most), threads);
    }
    let parts = Mutex::new(parts.into_iter());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| std::iter::from_fn(next).for_each(|part| by_address(part, 1)));
        }
    });
}

/// Orders entries by eight bits of their addresses, those above the lowest `shift`; gives the parts
/// that have these bits in common.
fn part<A: Address>(entries: &mut [Entry<A>], shift: u32) -> [&mut [Entry<A>]; 256] {
    let digit = |entry: &Entry<A>| (Into::<u128>::into(entry.first >> shift) & 255) as usize;
    let mut lengths = [0; 256];
    entries.iter().for_each(|entry| lengths[digit(entry)] += 1);
    let mut end = 0;
    let ends = lengths.map(|length| {
        end += length;
        end
    });
    // The next place of each part: all before it in the part belong there.
    let mut next: [usize; 256] = std::array::from_fn(|digit| ends[digit] - lengths[digit]);
    for part in 0..256 {
        while next[part] < ends[part] {
            // An entry is taken out, brought to its part, the one that it drives out to its own, and so
            // on until one comes to where the first was.
            let start = next[part];
            let mut entry = entries[start];
            loop {
                let home = digit(&entry);
                let place = next[home];
                next[home] += 1;
                if place == start {
                    break;
                }
                if let Some(soon) = entries.get(place + AHEAD) {
                    simd::prefetch(soon);
                }
                std::mem::swap(&mut entry, &mut entries[place]);
            }
            entries[start] = entry;
        }
    }
    let mut rest = entries;
    lengths.map(|length| rest.split_off_mut(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<A: Address>(firsts: Vec<(A, u8)>, threads: usize) {
        let mut entries: Vec<Entry<A>> = (0..)
            .zip(firsts)
            .map(|(line, (first, length))| Entry { first, state: 1, line, file: 0, length })
            .collect();
        let mut expected = entries.clone();
        expected.sort_by_key(|entry| entry.first);
        let mut parted = entries.clone();
        by_address(&mut parted, threads);
        assert!(parted.iter().map(|entry| entry.first).eq(expected.iter().map(|entry| entry.first)));
        parted.sort_by_key(|entry| entry.line);
        assert_eq!(parted, entries, "the same entries as before");
        expected.sort_by_key(|entry| (entry.first, entry.length, entry.origin()));
        sort(&mut entries);
        assert_eq!(entries, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn sorts_as_the_standard_library(
            seeds in prop::collection::vec((any::<u128>(), 0u32..128, 0..9u8), 1..2000),
            clusters in 1..9usize,
        ) {
            // Near some few, at all distances: equal ones, and parts of one entry and of nearly all.
            let near = |place: usize| seeds[place % clusters.min(seeds.len())].0;
            let v6 = seeds.iter().enumerate().map(|(place, &(bits, shift, length))| (near(place) ^ bits >> shift, length));
            check(v6.collect(), 1);
            let v4 = seeds.iter().enumerate();
            let v4 = v4.map(|(place, &(bits, shift, length))| (near(place) as u32 ^ bits as u32 >> (shift / 4), length));
            check(v4.collect(), 1);
        }
    }

    #[test]
    fn many_are_sorted_by_several_threads() {
        let scattered = |n: u32| n.wrapping_mul(0x9e37_79b1);
        let some = |shift: u32| (0..100_000).map(move |n| (scattered(n) >> shift, 32)).collect::<Vec<_>>();
        check(some(0), 3);
        // All but one begin alike.
        check(some(20).into_iter().chain([(u32::MAX, 32)]).collect(), 3);
        check(vec![(7u32, 32); 100_000], 3);
    }
}
