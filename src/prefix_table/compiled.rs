//! The form that is served: the first addresses of the runs in order, and their states.

use super::{Address, Entry, Range, Remark, State, TooManyPrefixes, UNLISTED, builder};

/// An immutable map from every address to a state, made of prefixes by longest match.
#[derive(Debug)]
pub struct PrefixTable<A> {
    /// The first address of each run; the first of them is `A::MIN`.
    firsts: Box<[A]>,
    /// The state of each run.
    states: Box<[State]>,
}

impl<A: Address> Default for PrefixTable<A> {
    fn default() -> Self {
        Self { firsts: Box::new([A::MIN]), states: Box::new([UNLISTED]) }
    }
}

impl<A: Address> PrefixTable<A> {
    /// Compiles entries in any order by longest match. Of entries with one prefix the first by
    /// origin (file, then line, then place in `entries`) wins; `remark` hears of what was noticed.
    ///
    /// # Errors
    /// More than 2^31 prefixes.
    pub fn build(
        mut entries: Vec<Entry<A>>,
        remark: &mut dyn FnMut(Remark<A>),
    ) -> Result<Self, TooManyPrefixes> {
        if entries.len() > 1 << 31 {
            return Err(TooManyPrefixes);
        }
        builder::sort(&mut entries);
        let (mut firsts, mut states) = (Vec::new(), Vec::new());
        builder::flatten(&entries, remark, |run| {
            firsts.push(run.first);
            states.push(run.state);
        });
        Ok(Self { firsts: firsts.into(), states: states.into() })
    }

    /// The state of one address.
    pub fn lookup(&self, address: A) -> State {
        self.states[self.run_of(address)]
    }

    /// The states of many addresses, looked up together.
    ///
    /// # Panics
    /// If the two slices differ in length.
    pub fn lookup_batch(&self, addresses: &[A], states: &mut [State]) {
        assert_eq!(addresses.len(), states.len(), "a state for every address");
        for (state, &address) in states.iter_mut().zip(addresses) {
            *state = self.lookup(address);
        }
    }

    /// The maximal run of addresses of one state that contains `address`.
    pub fn range(&self, address: A) -> Range<A> {
        self.run(self.run_of(address))
    }

    /// All maximal runs from the one that contains `start` on, listed and not, in order, with no gap.
    pub fn ranges_from(&self, start: A) -> impl Iterator<Item = Range<A>> + '_ {
        (self.run_of(start)..self.firsts.len()).map(|run| self.run(run))
    }

    /// True if any address from `first` to `last` (inclusive) is listed.
    pub fn any_listed(&self, first: A, last: A) -> bool {
        let run = self.range(first);
        first <= last && (run.state != UNLISTED || run.last < last)
    }

    /// True if no address is listed.
    pub fn is_empty(&self) -> bool {
        self.range(A::MIN) == Range { first: A::MIN, last: A::MAX, state: UNLISTED }
    }

    /// The memory that the table holds, in octets.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.firsts) + size_of_val(&*self.states)
    }

    fn run_of(&self, address: A) -> usize {
        self.firsts.partition_point(|&first| first <= address) - 1
    }

    fn run(&self, index: usize) -> Range<A> {
        let next = self.firsts.get(index + 1).and_then(|first| first.predecessor());
        Range { first: self.firsts[index], last: next.unwrap_or(A::MAX), state: self.states[index] }
    }
}
