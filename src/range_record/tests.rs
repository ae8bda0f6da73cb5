//! Blocks of random lists, against the literal rules and against the map itself.

use proptest::prelude::*;

use super::literal::{self, Listing, LiteralMap};
use super::measure::Summary;
use super::*;
use crate::address::MAPPED;
use crate::prefix_table::UNLISTED;

/// The runs of a list, from the states at all places where a state can change.
pub(super) fn runs(listings: &[Listing]) -> Runs {
    let map = LiteralMap::new(listings);
    let mut starts: Vec<u128> = vec![0];
    for Listing { prefix, .. } in listings {
        starts.push(prefix.first());
        starts.extend(prefix.last().checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let mut runs: Vec<Range<u128>> = Vec::new();
    for start in starts {
        let state = map.state_at(start);
        match runs.last_mut() {
            Some(run) if run.state == state => {}
            last => {
                if let Some(run) = last {
                    run.last = start - 1;
                }
                runs.push(Range { first: start, last: u128::MAX, state });
            }
        }
        if let Some(run) = runs.last_mut() {
            run.last = u128::MAX;
        }
    }
    Runs::new(runs)
}

/// Random lists: prefixes of every length, many of them inside one another, in both families.
pub(super) fn lists(most: usize) -> impl Strategy<Value = Vec<Listing>> {
    let listing = (any::<u128>(), 0..=128u8, 0..4u32, 0..8usize, any::<prop::sample::Index>(), 0..128u8);
    (proptest::collection::vec(listing, 0..most), 1..4u32).prop_map(|(raw, states)| {
        let mut listings: Vec<Listing> = Vec::new();
        for (random, length, state, shape, nest, shared) in raw {
            let (address, length) = match (shape, listings.is_empty()) {
                // Inside or beside an earlier one: some of its leading bits, then random ones.
                (0..=4, false) => {
                    let near = nest.get(&listings).prefix;
                    let kept = near.length().saturating_sub(shared % 12);
                    let address = near.first() | random & low_bits(kept);
                    (Prefix::containing(near.first(), kept).first() | address & low_bits(kept), (kept + shared % 23).min(128))
                }
                (5, _) => (MAPPED | random & 0xffff_ffff, 96 + length % 33),
                (6, _) => (0x2001_0db8 << 96 | random & low_bits(32), 32 + length % 97),
                _ => (random, length),
            };
            listings.push(Listing { prefix: Prefix::containing(address, length), state: state % (states + 1) });
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

/// Walks from the root: the state that the blocks end in, and how many blocks were read.
fn walked(map: &Runs, summary: &Summary, limit: usize, address: u128) -> (State, usize) {
    let mut prefix = Prefix::ROOT;
    for read in 1..=32 {
        let items = block::pack(map, summary, prefix, limit).expect("a mixed item names a block");
        let longest = items.iter().filter(|item| item.prefix.contains(address)).max_by_key(|item| item.prefix.length());
        match longest.map(|item| item.content) {
            None | Some(Content::NotListed) => return (UNLISTED, read),
            Some(Content::Listed(state)) => return (state, read),
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
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn blocks_equal_the_literal_rules(listings in lists(70), small in 60..672usize, threshold in 0..40u64) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::with_threshold(&map, threshold);
        // Limits below the least one that servers allow make small lists split; what the start of
        // a block needs then sets the size.
        for (index, prefix) in block_prefixes(&map).into_iter().enumerate() {
            let limit = if index % 2 == 0 { small } else { block::MIN_LIMIT };
            let items = block::pack(&map, &summary, prefix, limit);
            prop_assert_eq!(&items, &literal.block(prefix, limit), "{} {}", prefix, limit);
            let rdata = block::rdata(&items.unwrap());
            prop_assert!(limit < block::MIN_LIMIT || rdata.len() <= limit);
        }
    }

    #[test]
    fn measures_equal_the_literal_rules(listings in lists(40), threshold in 0..40u64) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::with_threshold(&map, threshold);
        for prefix in block_prefixes(&map).into_iter().filter(|&prefix| literal.mixed(prefix)) {
            let measure = summary.measure(&map, prefix);
            let own = literal.full_form(prefix, measure.state);
            prop_assert_eq!(measure.state, literal.state(prefix));
            prop_assert_eq!((measure.items as usize, measure.octets as usize), (own.len(), literal::octets(&own)));
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
    fn walks_end_in_the_state_of_the_map(listings in lists(300), random in proptest::collection::vec(any::<u128>(), 8)) {
        let map = runs(&listings);
        let literal = LiteralMap::new(&listings);
        let summary = Summary::new(&map);
        for address in telling_addresses(&map).into_iter().chain(random) {
            prop_assert_eq!(walked(&map, &summary, block::MIN_LIMIT, address).0, literal.state_at(address));
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
