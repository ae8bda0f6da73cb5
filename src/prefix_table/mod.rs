//! The compressed table of prefixes with exceptions. (Interface fixed; bodies to be written.)

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Address: Copy + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// Bits of an address: 32 or 128.
    const BITS: u8;
    /// The lowest address, all bits clear.
    const MIN: Self;
    /// The highest address, all bits set.
    const MAX: Self;
    /// The last address of the prefix of `length` bits (0 to `BITS`) that begins at `self`.
    fn last_of(self, length: u8) -> Self;
    /// `self` with all bits after the first `length` (0 to `BITS`) cleared.
    fn masked(self, length: u8) -> Self;
    /// The address after this one, none after `MAX`.
    fn successor(self) -> Option<Self>;
    /// The address before this one, none before `MIN`.
    fn predecessor(self) -> Option<Self>;
}

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

/// One entry of a list: a prefix and its state. 32 octets for IPv6, 16 for IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A> {
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
pub enum Remark<A> {
    /// `dropped` names the same prefix as `kept`, which was written first and wins.
    Duplicate { kept: Entry<A>, dropped: Entry<A> },
    /// The entry gives its prefix the state that the next shorter entry (or the empty list, for
    /// an exception) gives it already.
    Redundant(Entry<A>),
}

/// An immutable map from every address to a state, made of prefixes by longest match.
#[derive(Debug, Default)]
pub struct PrefixTable<A> {
    marker: std::marker::PhantomData<A>,
}

/// The entries do not fit the table's 32-bit indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many prefixes for one table")]
pub struct TooManyPrefixes;

impl<A: Address> PrefixTable<A> {
    /// Compiles entries in any order by longest match. Of entries with one prefix the first by
    /// origin (file, then line, then place in `entries`) wins; `remark` hears of what was noticed.
    pub fn build(entries: Vec<Entry<A>>, remark: &mut dyn FnMut(Remark<A>)) -> Result<Self, TooManyPrefixes> {
        let _ = (entries, remark);
        todo!()
    }

    /// The state of one address.
    pub fn lookup(&self, address: A) -> State {
        let _ = address;
        todo!()
    }

    /// The states of many addresses, looked up together.
    ///
    /// # Panics
    /// If the two slices differ in length.
    pub fn lookup_batch(&self, addresses: &[A], states: &mut [State]) {
        let _ = (addresses, states);
        todo!()
    }

    /// The maximal run of addresses of one state that contains `address`.
    pub fn range(&self, address: A) -> Range<A> {
        let _ = address;
        todo!()
    }

    /// All maximal runs from the one that contains `start` on, listed and not, in order, with no gap.
    pub fn ranges_from(&self, start: A) -> impl Iterator<Item = Range<A>> + '_ {
        let _ = start;
        std::iter::empty()
    }

    /// True if any address from `first` to `last` (inclusive) is listed.
    pub fn any_listed(&self, first: A, last: A) -> bool {
        let _ = (first, last);
        todo!()
    }

    /// True if no address is listed.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// The memory that the table holds, in octets.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
