//! Range records: a tree of APL records under `_ranges` from which a client reads whole prefixes,
//! so that a walk through a /32 costs a resolver a handful of cache entries.
//!
//! The format is specified in `docs/range-records.md`. All of it is pure here; server and clients
//! share it, and neither knows a rule of the format that is not in this module.
//!
//! ```text
//! server   name::parse ─▶ block::pack over a StateMap and its Summary ─▶ apl::write
//!                                                                    └─▶ value::write
//! client   walk::Walk ─▶ questions ─▶ cache or network ─▶ answers ─▶ verdict
//!              (reads with apl::read, content::Block and value::read)
//! ```
//!
//! - [`block`]: which items a block has: the rules of packing.
//! - [`measure`]: what the rules ask of prefixes with millions of listings below them.
//! - [`apl`], [`value`], [`name`]: the records and their owner names.
//! - [`content`]: a block as a client reads it.
//! - [`walk`], [`cache`]: the client's lookup, and what it need not ask again.

use crate::address::{self, Key};
use crate::prefix_table::{Range, State};

pub mod apl;
pub mod block;
pub mod cache;
pub mod content;
pub mod measure;
pub mod name;
pub mod value;
pub mod walk;

#[cfg(test)]
mod examples;
#[cfg(test)]
pub(crate) mod literal;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod walk_tests;

/// The map from every address to its state that blocks describe: all datasets of a zone together,
/// IPv4 addresses inside `::ffff:0:0/96`.
pub trait StateMap {
    /// All maximal runs of one state, from the one that contains `start` on, in order, with no gap.
    fn ranges_from(&self, start: u128) -> impl Iterator<Item = Range<u128>> + '_;

    /// The maximal run of one state that contains `address`.
    fn range(&self, address: u128) -> Range<u128>;
}

/// A prefix of the map. Sorts by address, then by length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: u128,
    length: u8,
}

impl Prefix {
    /// `::/0`, the prefix of the root block.
    pub const ROOT: Self = Self { first: 0, length: 0 };

    /// The prefix of `length` bits (at most 128) that contains `address`.
    pub fn containing(address: u128, length: u8) -> Self {
        debug_assert!(length <= 128);
        Self { first: address & !low_bits(length), length }
    }

    /// The longest nibble-aligned prefix that contains both addresses.
    pub fn common(a: u128, b: u128) -> Self {
        Self::containing(a, (a ^ b).leading_zeros() as u8 & !3)
    }

    /// The first address.
    pub fn first(self) -> u128 {
        self.first
    }

    /// The last address, inclusive.
    pub fn last(self) -> u128 {
        self.first | low_bits(self.length)
    }

    /// The length in bits, 0 to 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// True if the length is a whole number of nibbles.
    pub fn is_nibble_aligned(self) -> bool {
        self.length.is_multiple_of(4)
    }

    /// True if `address` lies in the prefix.
    pub fn contains(self, address: u128) -> bool {
        (address ^ self.first) & !low_bits(self.length) == 0
    }

    /// True if all of `other` lies in the prefix.
    pub fn covers(self, other: Prefix) -> bool {
        self.length <= other.length && self.contains(other.first)
    }

    /// The nibble-aligned prefix around a nibble-aligned prefix other than the root.
    fn parent(self) -> Self {
        Self::containing(self.first, self.length - 4)
    }

    /// Child `index` (0 to 15) of a nibble-aligned prefix of at most 124 bits.
    fn child(self, index: u8) -> Self {
        Self { first: self.first | u128::from(index) << (124 - self.length), length: self.length + 4 }
    }
}

fn low_bits(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

/// The text form of the IPv6 prefix.
impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", std::net::Ipv6Addr::from_bits(self.first), self.length)
    }
}

/// What a block says of the addresses that an item decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content<L> {
    /// They are listed: their state on the side of the server, the number of the listed item on
    /// the side of the client.
    Listed(L),
    /// They are not listed.
    NotListed,
    /// The block named by the item's prefix goes on.
    Mixed,
}

/// One item of a block. Sorts by address, then by length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item<L> {
    /// The addresses that it speaks of, those of longer items apart.
    pub prefix: Prefix,
    /// What it says of them.
    pub content: Content<L>,
}

/// The lowest address of item `index` that lies in no longer item: where its value is asked for by
/// an ordinary query, by all clients alike. `None` where longer items leave nothing of it.
///
/// `items` are sorted.
pub fn canonical_address<L>(items: &[Item<L>], index: usize) -> Option<u128> {
    let prefix = items[index].prefix;
    let mut lowest = prefix.first();
    for inner in items[index + 1..].iter().map(|item| item.prefix) {
        if inner.first() > lowest || !prefix.covers(inner) {
            break;
        }
        if inner.last() >= lowest {
            if inner.last() == prefix.last() {
                return None;
            }
            lowest = inner.last() + 1;
        }
    }
    Some(lowest)
}

/// The key that an ordinary query asks for an address of the map.
pub fn key_of(address: u128) -> Key {
    address::mapped(address).map_or(Key::V6(address), Key::V4)
}

/// The runs of one state as a map: what small lists, tests and a block in work are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs(Vec<Range<u128>>);

impl Runs {
    /// All runs in order, from address 0 to the last address, neighbours of different states.
    pub fn new(runs: Vec<Range<u128>>) -> Self {
        debug_assert!(runs.first().is_some_and(|run| run.first == 0));
        debug_assert!(runs.last().is_some_and(|run| run.last == u128::MAX));
        debug_assert!(runs.windows(2).all(|w| w[0].last + 1 == w[1].first && w[0].state != w[1].state));
        Self(runs)
    }

    /// The runs with addresses in `prefix`, to be asked of no others.
    fn inside(map: &impl StateMap, prefix: Prefix) -> Self {
        let ranges = map.ranges_from(prefix.first());
        Self(ranges.take_while(|run| run.first <= prefix.last()).collect())
    }

    fn index(&self, address: u128) -> usize {
        self.0.partition_point(|run| run.last < address)
    }
}

impl StateMap for Runs {
    fn ranges_from(&self, start: u128) -> impl Iterator<Item = Range<u128>> + '_ {
        self.0[self.index(start)..].iter().copied()
    }

    fn range(&self, address: u128) -> Range<u128> {
        self.0[self.index(address)]
    }
}

/// The state of one address.
pub fn state_at(map: &impl StateMap, address: u128) -> State {
    map.range(address).state
}

/// True if all addresses of `prefix` have one state.
pub fn is_uniform(map: &impl StateMap, prefix: Prefix) -> bool {
    map.range(prefix.first()).last >= prefix.last()
}
