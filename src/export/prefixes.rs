//! A map from addresses to values as prefixes of which the longest match decides.
//!
//! Tables hold disjoint runs; software that knows longest match (or first match, longest first) can say
//! "this /32, but not that /64" in two lines where disjoint prefixes would take thirty. Which value a prefix
//! gets is found as in the ORTC algorithm (Draves, King, Venkatachary, Zill, 1999): from the bottom up, a
//! prefix can have the values that both halves can have, or else those of either. It is looked at only a few
//! levels deep, and beyond that one address stands for all: so memory and time stay bounded, whatever is
//! chosen is right, and for real lists it is what their authors wrote.

use smallvec::SmallVec;

use crate::zone::{Family, Prefix};

/// How many bits below a prefix its value is decided.
const LEVELS: u8 = 4;

/// In which order the prefixes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By first address, a prefix before those inside it.
    OuterFirst,
    /// By first address, a prefix after those inside it: for first match.
    InnerFirst,
}

/// The map, and where its prefixes go.
pub(super) struct Prefixes<'f, T, E> {
    pub family: Family,
    pub order: Order,
    /// A run of addresses with one value round an address: first, last, value. Neighbours may have the same.
    pub run: &'f dyn Fn(u128) -> (u128, u128, T),
    pub emit: &'f mut dyn FnMut(Prefix, &T) -> Result<(), E>,
}

impl<T: Clone + PartialEq, E> Prefixes<'_, T, E> {
    /// Emits prefixes that together are the map, for a reader to whom addresses without one have the value
    /// `outside`.
    pub(super) fn cover(&mut self, outside: &T) -> Result<(), E> {
        self.within(Prefix::all(self.family), outside)
    }

    /// Does so for the addresses of a prefix, which have the value `inherited` from the next outer one.
    pub(super) fn within(&mut self, prefix: Prefix, inherited: &T) -> Result<(), E> {
        let Some(prefix) = self.differing(prefix, inherited) else { return Ok(()) };
        let candidates = self.candidates(prefix, LEVELS);
        match candidates.first().filter(|_| !candidates.contains(inherited)) {
            None => {
                let [low, high] = halves(prefix);
                self.within(low, inherited)?;
                self.within(high, inherited)
            }
            Some(value) => {
                if self.order == Order::OuterFirst {
                    (self.emit)(prefix, value)?;
                }
                self.within(prefix, value)?;
                if self.order == Order::InnerFirst {
                    (self.emit)(prefix, value)?;
                }
                Ok(())
            }
        }
    }

    /// The longest prefix that has all addresses of `prefix` with another value than this one.
    fn differing(&self, prefix: Prefix, value: &T) -> Option<Prefix> {
        let (mut first, mut last) = (prefix.first, prefix.last());
        loop {
            let (_, end, here) = (self.run)(first);
            match here == *value {
                true if end >= last => return None,
                true => first = end + 1,
                false => break,
            }
        }
        // Ends at the one that was found.
        loop {
            let (begin, _, here) = (self.run)(last);
            match here == *value {
                true => last = begin - 1,
                false => return Some(Prefix::common(self.family, first, last)),
            }
        }
    }

    fn candidates(&self, prefix: Prefix, levels: u8) -> SmallVec<[T; 2]> {
        let middle = prefix.first + (prefix.last() - prefix.first) / 2;
        let (first, last, value) = (self.run)(middle);
        if levels == 0 || first <= prefix.first && prefix.last() <= last {
            return [value].into_iter().collect();
        }
        let [low, high] = halves(prefix).map(|half| self.candidates(half, levels - 1));
        let both: SmallVec<[T; 2]> = low.iter().filter(|value| high.contains(value)).cloned().collect();
        if !both.is_empty() {
            return both;
        }
        low.into_iter().chain(high).collect()
    }
}

/// The two halves of a prefix that is longer than one address.
pub(super) fn halves(prefix: Prefix) -> [Prefix; 2] {
    let length = prefix.length + 1;
    let low = Prefix { length, ..prefix };
    [low, Prefix { first: low.last() + 1, ..low }]
}
