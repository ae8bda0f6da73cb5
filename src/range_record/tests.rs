//! Blocks of random lists, against the literal rules and against the map itself.

use std::collections::HashMap;

use proptest::prelude::*;

use super::block::Limits;
use super::literal::{self, ListEntry, LiteralMap};
use super::measure::Summary;
use super::*;
use crate::address::MAPPED;
use crate::prefix_table::UNLISTED;

/// The runs of a list by longest match; of listings of one prefix the first wins.
pub(crate) fn runs(listings: &[ListEntry]) -> Runs {
    let mut sorted = listings.to_vec();
    sorted.sort_by_key(|listing| listing.prefix);
    sorted.dedup_by_key(|listing| listing.prefix);
    // Where a state begins; a later start at the same address replaces an earlier one.
    let mut starts: Vec<(u128, State)> = vec![(0, UNLISTED)];
    let mut open: Vec<ListEntry> = Vec::new();
    let close_before = |open: &mut Vec<ListEntry>, starts: &mut Vec<(u128, State)>, next: Option<u128>| {
        while let Some(ended) = open.pop_if(|inner| next.is_none_or(|next| inner.prefix.last() < next)) {
            let outer = open.last().map_or(UNLISTED, |listing| listing.state);
            starts.extend(ended.prefix.last().checked_add(1).map(|start| (start, outer)));
        }
    };
    for listing in sorted {
        close_before(&mut open, &mut starts, Some(listing.prefix.first()));
        starts.push((listing.prefix.first(), listing.state));
        open.push(listing);
    }
    close_before(&mut open, &mut starts, None);
    let mut runs: Vec<Range<u128>> = Vec::new();
    for (index, &(first, state)) in starts.iter().enumerate() {
        let next = starts.get(index + 1).map(|&(next, _)| next);
        if next == Some(first) {
            continue;
        }
        let last = next.map_or(u128::MAX, |next| next - 1);
        match runs.last_mut() {
            Some(run) if run.state == state => run.last = last,
            _ => runs.push(Range { first, last, state }),
        }
    }
    Runs::new(runs)
}

/// Random lists: prefixes of every length, many of them inside one another, in both families.
pub(crate) fn lists(most: usize) -> impl Strategy<Value = Vec<ListEntry>> {
    let listing = (any::<u128>(), 0..=128u8, 0..4u32, 0..8usize, any::<prop::sample::Index>(), 0..128u8);
    (proptest::collection::vec(listing, 0..most), 1..4u32).prop_map(|(raw, states)| {
        let mut listings: Vec<ListEntry> = Vec::new();
        for (random, length, state, shape, nest, shared) in raw {
            let (address, length) = match (shape, listings.is_empty()) {
                // Inside or beside an earlier one: some of its leading bits, then random ones.
                (0..=4, false) => {
                    let near = nest.get(&listings).prefix;
                    let kept = near.length().saturating_sub(shared % 12);
                    let address = near.first() | random & low_bits(kept);
                    (
                        Prefix::containing(near.first(), kept).first() | address & low_bits(kept),
                        (kept + shared % 23).min(128),
                    )
                }
                (5, _) => (MAPPED | random & 0xffff_ffff, 96 + length % 33),
                (6, _) => (0x2001_0db8 << 96 | random & low_bits(32), 32 + length % 97),
                _ => (random, length),
            };
            listings
                .push(ListEntry { prefix: Prefix::containing(address, length), state: state % (states + 1) });
        }
        listings
    })
}

/// All mixed nibble-aligned prefixes, the root included.
fn block_prefixes(map: &Runs) -> Vec<Prefix> {
    let mut prefixes = vec![Prefix::ROOT];
    for boundary in map.0.iter().skip(1).map(|run| run.first) {
        for length in (4..128).step_by(4) {
            let prefix = Prefix::containing(boundary, length);
            if !is_uniform(map, prefix) {
                prefixes.push(prefix);
            }
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// The addresses at which something can change, and their neighbours.
fn telling_addresses(map: &Runs) -> Vec<u128> {
    map.0.iter().flat_map(|run| [run.first, run.last, run.first + (run.last - run.first) / 2]).collect()
}

/// Walks from the root: the state that the blocks end in. Keeps the blocks that it reads.
fn walked(
    map: &Runs,
    summary: &Summary,
    blocks: &mut HashMap<Prefix, Vec<Item<State>>>,
    address: u128,
) -> State {
    let mut prefix = Prefix::ROOT;
    for _ in 0..32 {
        let items = blocks.entry(prefix).or_insert_with(|| {
            block::pack(map, summary, prefix, block::MIN_LIMIT).expect("a mixed item names a block")
        });
        let longest =
            items.iter().filter(|item| item.prefix.contains(address)).max_by_key(|item| item.prefix.length());
        match longest.map(|item| item.content) {
            None | Some(Content::NotListed) => return UNLISTED,
            Some(Content::Listed(state)) => return state,
            Some(Content::Mixed) => prefix = longest.unwrap().prefix,
        }
    }
    panic!("no end for {address:x}");
}

#[test]
fn prefixes() {
    let prefix = Prefix::containing(u128::MAX, 124);
    assert_eq!((prefix.child(15).first(), prefix.child(15).length()), (u128::MAX, 128));
    assert_eq!(Prefix::ROOT.last(), u128::MAX);
    assert_eq!(Prefix::common(0, u128::MAX), Prefix::ROOT);
    assert_eq!(Prefix::common(7, 7).length(), 128);
    assert_eq!(Prefix::common(1 << 64, 3 << 64).length(), 60);
    assert_eq!(Prefix::containing(0x2001_0db8 << 96, 32).to_string(), "2001:db8::/32");
}

#[test]
fn empty_and_full() {
    let whole = |state| Runs::new(vec![Range { first: 0, last: u128::MAX, state }]);
    for (map, items) in [(whole(UNLISTED), 0), (whole(7), 1)] {
        let summary = Summary::new(&map);
        assert_eq!(block::pack(&map, &summary, Prefix::ROOT, 800).unwrap().len(), items);
        assert_eq!(block::pack(&map, &summary, Prefix::ROOT.child(2), 800), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn blocks_equal_the_literal_rules(
        listings in lists(50),
        small in (60..672usize, 2..64u32).prop_map(|(octets, items)| Limits { octets, items }),
        threshold in 0..40u64,
    ) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::with_threshold(&map, threshold);
        // Limits below the least one that servers allow make small lists split; what the start of
        // a block needs then sets the size.
        for (index, prefix) in block_prefixes(&map).into_iter().enumerate() {
            let limits = if index % 2 == 0 { small } else { block::MIN_LIMIT.into() };
            let items = block::pack(&map, &summary, prefix, limits);
            prop_assert_eq!(&items, &literal.block(prefix, limits), "{} {:?}", prefix, limits);
            let rdata = block::rdata(&items.unwrap());
            prop_assert!(limits == small || rdata.len() <= block::MIN_LIMIT);
            prop_assert!(limits == small || apl::read(&rdata).unwrap().len() <= 64);
        }
    }

    #[test]
    fn full_blocks_equal_the_literal_rules(
        raw in proptest::collection::vec((any::<u32>(), 36..=64u8, 0..3u32), 60..160),
        limits in (200..1_400usize, 8..64u32).prop_map(|(octets, items)| Limits { octets, items }),
    ) {
        // Many listings in one /32, few digits in use and the low ones more: rules 3 and 4 have a
        // choice among children of different weights.
        let listing = |(random, length, state): (u32, u8, u32)| {
            let subnet = random & 0x3333_3333 & random.rotate_left(9);
            let address = 0x2001_0db8 << 96 | u128::from(subnet) << 64;
            let length = if length < 48 && random % 8 != 0 { 56 } else { length };
            ListEntry { prefix: Prefix::containing(address, length), state: state.min(1 + random % 2) }
        };
        let listings: Vec<ListEntry> = raw.into_iter().map(listing).collect();
        let map = runs(&listings);
        let items = block::pack(&map, &Summary::with_threshold(&map, 8), Prefix::ROOT, limits);
        prop_assert_eq!(items, LiteralMap::new(&listings).block(Prefix::ROOT, limits));
    }

    #[test]
    fn measures_equal_the_literal_rules(listings in lists(40), threshold in 0..40u64) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::with_threshold(&map, threshold);
        for prefix in block_prefixes(&map).into_iter().filter(|&prefix| literal.mixed(prefix)) {
            let mut items = Vec::new();
            let measured = measure::measure(&map, prefix, &mut items);
            let measure = summary.get(prefix).unwrap_or(measured);
            prop_assert_eq!(measure, measured);
            let mut own = literal.full_form(prefix, measure.state);
            own.sort();
            items.sort();
            prop_assert_eq!(&items, &own);
            prop_assert_eq!(measure.state, literal.state(prefix));
            prop_assert_eq!((measure.full.items as usize, measure.full.octets as usize), (own.len(), literal::octets(&own)));
        }
    }

    #[test]
    fn blocks_exist_where_mixed(listings in lists(40), address in any::<u128>(), near in any::<prop::sample::Index>()) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::new(&map);
        let address = listings.get(near.index(listings.len().max(1))).map_or(address, |listing| {
            listing.prefix.first() | address & low_bits(listing.prefix.length())
        });
        for length in (0..=128).step_by(4) {
            let prefix = Prefix::containing(address, length);
            let expected = length == 0 || literal.mixed(prefix);
            prop_assert_eq!(block::exists(&map, prefix), expected);
            prop_assert_eq!(block::pack(&map, &summary, prefix, 800).is_some(), expected);
        }
    }

    #[test]
    fn walks_end_in_the_state_of_the_map(listings in lists(200), random in proptest::collection::vec(any::<u128>(), 8)) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::new(&map);
        let mut blocks = HashMap::new();
        for address in telling_addresses(&map).into_iter().chain(random) {
            prop_assert_eq!(state_at(&map, address), literal.state_at(address));
            prop_assert_eq!(walked(&map, &summary, &mut blocks, address), literal.state_at(address));
        }
    }

    #[test]
    fn a_change_leaves_blocks_elsewhere_alone(mut listings in lists(120), limit in 200..800usize) {
        prop_assume!(!listings.is_empty());
        let before = runs(&listings);
        let changed = listings.remove(0).prefix;
        let after = runs(&listings);
        let (summary_before, summary_after) = (Summary::new(&before), Summary::new(&after));
        for prefix in block_prefixes(&before).into_iter().chain(block_prefixes(&after)) {
            if prefix.covers(changed) || changed.covers(prefix) {
                continue;
            }
            prop_assert_eq!(
                block::pack(&before, &summary_before, prefix, limit),
                block::pack(&after, &summary_after, prefix, limit)
            );
        }
    }
}

/// The blocks that a walk from the root can visit, and the depth of each.
fn reachable(map: &Runs, summary: &Summary, limit: usize) -> Vec<(usize, Vec<Item<State>>)> {
    let mut blocks = Vec::new();
    let mut named = vec![(1, Prefix::ROOT)];
    while let Some((depth, prefix)) = named.pop() {
        let items = block::pack(map, summary, prefix, limit).unwrap();
        let mixed = items.iter().filter(|item| item.content == Content::Mixed);
        named.extend(mixed.map(|item| (depth + 1, item.prefix)));
        blocks.push((depth, items));
    }
    blocks
}

/// A list as operators write them: most listings /64, /56 and /48 inside a few /32s, exceptions
/// inside some of them, some addresses.
fn clustered(entries: usize, random: &mut impl FnMut() -> u128) -> Vec<ListEntry> {
    let clusters: Vec<u128> =
        (0..entries / 60 + 1).map(|_| random() >> 64 & 0x0fff_ffff | 0x2000_0000).collect();
    let mut listings: Vec<ListEntry> = Vec::new();
    while listings.len() < entries {
        let cluster = clusters[random() as usize % clusters.len()] << 96 | random() & low_bits(32);
        let (length, state) = match random() % 20 {
            0..=10 => (64, 1),
            11..=13 => (56, 2),
            14..=15 => (48, 1),
            16 => (128, 2),
            17 => (32, 1),
            _ => (33 + (random() % 96) as u8, 3),
        };
        listings.push(ListEntry { prefix: Prefix::containing(cluster, length), state });
        if random().is_multiple_of(6) {
            let exception = Prefix::containing(cluster, (length + 8).min(128));
            listings.push(ListEntry { prefix: exception, state: UNLISTED });
        }
    }
    listings
}

#[test]
fn blocks_are_well_filled_and_few() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835u128;
    let mut random = || {
        seed =
            seed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d_4c95_7f2d);
        seed.rotate_right((seed >> 122) as u32) ^ seed >> 64
    };
    let mut rows = String::new();
    for entries in [300, 1_000, 4_443, 20_000] {
        let map = runs(&clustered(entries, &mut random));
        let summary = Summary::new(&map);
        let blocks = reachable(&map, &summary, block::DEFAULT_LIMIT);
        let octets: usize = blocks.iter().map(|(_, items)| block::rdata(items).len()).sum();
        let items: usize = blocks.iter().map(|(_, items)| items.len()).sum();
        let depth = blocks.iter().map(|&(depth, _)| depth).max().unwrap();
        let fill = octets as f64 / (blocks.len() * block::DEFAULT_LIMIT) as f64;
        let per_block = items as f64 / blocks.len() as f64;
        let percent = 100.0 * fill;
        rows += &format!("| {entries} | {} | {per_block:.0} | {percent:.0} % | {depth} |\n", blocks.len());
        assert!(fill >= 0.3 && depth <= 5 && blocks.len() <= entries.div_ceil(25));
    }
    assert!(examples::DOCUMENT.contains(&rows), "docs/range-records.md should have\n{rows}");
}
