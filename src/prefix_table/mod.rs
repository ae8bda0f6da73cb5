//! The compressed table of prefixes with exceptions: for every address the state of the longest
//! prefix that contains it, whether that lists or excepts.
//!
//! `zone_file` writes the entries, `dataset` has them compiled, `zone` asks. Within:
//!
//! - `address`: what both families have in common; `word`: the numbers that the packed form takes.
//! - `sort`, `builder`: prefixes in any order into disjoint runs of addresses of one state.
//! - `compiled`: the form that is served, why it is so, and its worst case. It is made of `tree`s, each
//!   a `directory` over packed `block`s (`tree_builder` packs them); `simd` prefetches and picks the
//!   code for the machine.
//! - [`mod@reference`]: the same interface over a plain trie, as oracle and baseline.

mod address;
mod block;
mod builder;
mod compiled;
mod directory;
pub mod reference;
mod simd;
mod sort;
#[cfg(test)]
mod tests;
mod tree;
mod tree_builder;
mod word;

pub use address::Address;
pub use compiled::{PrefixTable, Ranges};
pub(crate) use simd::{Machine, prefetch, widest};
pub(crate) use sort::sort;

/// What a table says of an address: 0 is "not listed", every other number belongs to the caller.
pub type State = u32;

/// The state of an address that is not listed, and the state of an exception.
pub const UNLISTED: State = 0;

/// Where an entry was written: what a diagnostic names. Orders entries of one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin {
    /// Index of the file in its dataset.
    pub file: u16,
    /// Line, counted from 1.
    pub line: u32,
}

/// One entry of a list: a prefix and its state. 28 octets for IPv6, 16 for IPv4: while a list is loaded,
/// its entries are what takes the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub struct Entry<A: Copy> {
    /// The first address of the prefix; the bits after `length` are clear.
    pub first: A,
    /// The state of the prefix; `UNLISTED` makes an exception.
    pub state: State,
    /// The line that the entry was read from.
    pub line: u32,
    /// The file that the entry was read from.
    pub file: u16,
    /// The prefix length in bits, 0 to `A::BITS`.
    pub length: u8,
}

impl<A: Copy> Entry<A> {
    /// Where the entry was written.
    pub fn origin(&self) -> Origin {
        Origin { file: self.file, line: self.line }
    }
}

/// A maximal run of addresses of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<A> {
    /// The first address.
    pub first: A,
    /// The last address, inclusive.
    pub last: A,
    /// The state of all of them.
    pub state: State,
}

/// What the builder noticed about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark<A: Copy> {
    /// `dropped` names the same prefix as `kept`, which was written first and wins, whether their
    /// states differ or not.
    Duplicate {
        /// The entry that counts.
        kept: Entry<A>,
        /// The entry that does not.
        dropped: Entry<A>,
    },
    /// The entry gives its prefix the state that the next shorter entry (or the empty list, for
    /// an exception) gives it already.
    Redundant(Entry<A>),
}

/// The entries do not fit the table's 32-bit indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many prefixes for one table")]
pub struct TooManyPrefixes;
