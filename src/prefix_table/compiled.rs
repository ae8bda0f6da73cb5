//! The form that is served: disjoint runs of addresses, packed into cache-line blocks under a static
//! search tree.
//!
//! # Why this form
//! A compressed radix trie merges the bits that prefixes share and follows the rest from node to
//! node: in a table of millions that is a dozen dependent cache misses a lookup, and 70 octets a
//! prefix (`ip_network_table`). What makes such a trie small is kept here, and its walk is not. Prefixes
//! are flattened into runs of one state, in order of address. Shared leading bits are taken off once
//! a block (`block`). The prefix length lives on as the end of an item: "to the end of the /n that it
//! begins in". A listed prefix is then one item, and what is unlisted between two is none. The
//! path from the root is a search among the lowest keys of blocks (`directory`), of which only the
//! last node and the block are out of cache. And being in order, the table also gives the run around
//! an address and its neighbours, which range records and NSEC are made of.
//!
//! IPv6 takes two such trees (`tree`): one over the upper 64 bits, and a second one over whole
//! addresses for the few /64s inside of which states differ; a /128 would else cost its whole block
//! the width of 128-bit keys.
//!
//! # Worst case
//! Whatever prefixes are chosen, a lookup takes one node a level, at most 8 levels (5 at a million
//! blocks), and at most 7 steps in one block, in each of at most two trees. A range takes at most five
//! such lookups, and nearly always one. A prefix changes the state at its two ends, so it adds at most
//! two items over the upper bits and three over whole addresses, together at most 120 octets. /128s
//! at random places of a listed ::/0, each with a state of its own, take 97; random /128s alone 25;
//! ordinary lists 6 to 9, and IPv4 2 to 5.

use super::simd::Machine;
use super::tree::{Content, Run, Runs, Tree};
use super::tree_builder::{Ends, TreeBuilder};
use super::word::Word;
use super::{Address, Entry, Range, Remark, State, TooManyPrefixes, UNLISTED, builder, simd, sort};

/// How many addresses are looked up together: what a server receives at once.
const BATCH: usize = 64;

/// An immutable map from every address to a state, made of prefixes by longest match.
#[derive(Debug)]
pub struct PrefixTable<A: Address> {
    /// What is said of the leading bits: of an IPv4 address all, of an IPv6 address the upper half.
    upper: Tree<A::Upper>,
    /// What is said of addresses whose leading bits are split.
    inner: Tree<A>,
}

impl<A: Address> Default for PrefixTable<A> {
    fn default() -> Self {
        Self::compile(Vec::new(), &mut |_| ())
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
        debug_assert!(entries.iter().all(|entry| { entry.first } == entry.first.masked(entry.length)));
        sort(&mut entries);
        Ok(Self::compile(entries, remark))
    }

    fn compile(entries: Vec<Entry<A>>, remark: &mut dyn FnMut(Remark<A>)) -> Self {
        let (mut upper, mut inner) = (Ends::default(), Ends::default());
        builder::flatten(&entries, remark, |run| {
            split(run, |run| upper.count(run), |run| inner.count(run));
        });
        let (mut upper, mut inner) = (TreeBuilder::new(upper), TreeBuilder::new(inner));
        builder::flatten(&entries, &mut |_| (), |run| {
            split(run, |run| upper.push(run), |run| inner.push(run));
        });
        // The blocks move once more, to where they have just the room that they need.
        drop(entries);
        Self { upper: upper.finish(), inner: inner.finish() }
    }

    /// The state of one address.
    pub fn lookup(&self, address: A) -> State {
        simd::widest(
            #[inline(always)]
            |machine| match self.upper.lookup(address.upper(), machine) {
                Content::State(state) => state,
                Content::Split => state_of(self.inner.lookup(address, machine)),
            },
        )
    }

    /// The states of many addresses, looked up together.
    ///
    /// # Panics
    /// If the two slices differ in length.
    pub fn lookup_batch(&self, addresses: &[A], states: &mut [State]) {
        assert_eq!(addresses.len(), states.len(), "a state for every address");
        simd::widest(
            #[inline(always)]
            |machine| self.lookup_batch_on(machine, addresses, states),
        );
    }

    /// [`Self::lookup_batch`] as it is compiled for a machine.
    #[inline(always)]
    pub(super) fn lookup_batch_on(&self, machine: Machine, addresses: &[A], states: &mut [State]) {
        for (addresses, states) in addresses.chunks(BATCH).zip(states.chunks_mut(BATCH)) {
            self.lookup_together(machine, addresses, states);
        }
    }

    #[inline(always)]
    fn lookup_together(&self, machine: Machine, addresses: &[A], states: &mut [State]) {
        let mut upper = [A::MIN.upper(); BATCH];
        upper.iter_mut().zip(addresses).for_each(|(upper, address)| *upper = address.upper());
        let mut found = [UNLISTED; BATCH];
        let mut split = [0; BATCH]; // places of addresses whose leading bits are split
        let mut splits = 0;
        self.upper.lookup_batch(&upper[..addresses.len()], machine, |place, content| match content {
            Content::State(state) => found[place % BATCH] = state,
            Content::Split => {
                split[splits % BATCH] = place;
                splits += 1;
            }
        });
        states.copy_from_slice(&found[..states.len()]);
        if splits > 0 {
            let mut inner = [A::MIN; BATCH];
            inner.iter_mut().zip(&split[..splits]).for_each(|(inner, &place)| *inner = addresses[place]);
            self.inner.lookup_batch(&inner[..splits], machine, |index, content| {
                states[split[index]] = state_of(content);
            });
        }
    }

    /// The maximal run of addresses of one state that contains `address`.
    pub fn range(&self, address: A) -> Range<A> {
        let (mut range, before, behind) = simd::widest(
            #[inline(always)]
            |machine| self.piece(address, machine),
        );
        while before
            && let Some(before) = range.first.predecessor()
            && let piece = self.piece(before, Machine::ANY).0
            && piece.state == range.state
        {
            range.first = piece.first;
        }
        while behind
            && let Some(behind) = range.last.successor()
            && let piece = self.piece(behind, Machine::ANY).0
            && piece.state == range.state
        {
            range.last = piece.last;
        }
        range
    }

    /// The part of a range that one tree knows; and whether the range may go on before and behind it,
    /// which it does only into a split upper half, or out of one.
    #[inline(always)]
    fn piece(&self, address: A, machine: Machine) -> (Range<A>, bool, bool) {
        let (upper, before, behind) = self.upper.run(address.upper(), machine);
        match upper.content {
            Content::State(state) => (whole(upper, state), before, behind),
            Content::Split => {
                let (first, last) = A::bounds(upper.first);
                let range = inside(upper, self.inner.run(address, machine).0);
                (range, range.first == first, range.last == last)
            }
        }
    }

    /// All maximal runs from the one that contains `start` on, listed and not, in order, with no gap.
    pub fn ranges_from(&self, start: A) -> Ranges<'_, A> {
        let first = self.range(start).first;
        let mut ranges = Ranges {
            first,
            upper: self.upper.runs_from(first.upper()),
            inner: &self.inner,
            split: None,
            open: None,
            piece: None,
        };
        ranges.piece = ranges.next_piece();
        ranges
    }

    /// True if any address from `first` to `last` (inclusive) is listed.
    pub fn any_listed(&self, first: A, last: A) -> bool {
        let range = self.range(first);
        first <= last && (range.state != UNLISTED || range.last < last)
    }

    /// True if no address is listed.
    pub fn is_empty(&self) -> bool {
        self.range(A::MIN) == Range { first: A::MIN, last: A::MAX, state: UNLISTED }
    }

    /// The memory that the table holds, in octets.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.upper.bytes() + self.inner.bytes()
    }
}

/// The maximal runs of a table in order.
#[derive(Debug)]
pub struct Ranges<'t, A: Address> {
    /// Where the first of them begins.
    first: A,
    upper: Runs<'t, A::Upper>,
    inner: &'t Tree<A>,
    /// The leading bits that are split where the walk has come to.
    split: Option<Run<A::Upper>>,
    /// The runs of addresses whose leading bits are split, and the one that the walk has come to.
    open: Option<(Runs<'t, A>, Run<A>)>,
    /// What the next range begins with.
    piece: Option<Range<A>>,
}

impl<A: Address> Ranges<'_, A> {
    /// The next part of a range that one tree knows.
    #[inline]
    fn next_piece(&mut self) -> Option<Range<A>> {
        if let Some(upper) = self.split {
            if let Some((runs, run)) = &mut self.open
                && run.last < A::bounds(upper.last).1
                && let Some(next) = runs.next()
            {
                *run = next;
                return Some(inside(upper, next));
            }
            self.split = None;
        }
        let upper = self.upper.next()?;
        match upper.content {
            Content::State(state) => Some(whole(upper, state)),
            Content::Split => self.next_split(upper),
        }
    }

    /// The first part of a range with these leading bits.
    fn next_split(&mut self, upper: Run<A::Upper>) -> Option<Range<A>> {
        let first = A::bounds(upper.first).0.max(self.first);
        if self.open.is_none() {
            let mut runs = self.inner.runs_from(first);
            self.open = runs.next().map(|run| (runs, run));
        }
        let (runs, run) = self.open.as_mut()?;
        // What lies between two splits has no items.
        while run.last < first {
            *run = runs.next()?;
        }
        self.split = Some(upper);
        Some(inside(upper, *run))
    }
}

impl<A: Address> Iterator for Ranges<'_, A> {
    type Item = Range<A>;

    #[inline]
    fn next(&mut self) -> Option<Range<A>> {
        let mut range = self.piece?;
        loop {
            self.piece = self.next_piece();
            match self.piece {
                Some(piece) if piece.state == range.state => range.last = piece.last,
                _ => return Some(range),
            }
        }
    }
}

/// The state of a whole address, which is never split.
fn state_of(content: Content) -> State {
    if let Content::State(state) = content { state } else { UNLISTED }
}

/// A run of leading bits as addresses.
fn whole<A: Address>(upper: Run<A::Upper>, state: State) -> Range<A> {
    Range { first: A::bounds(upper.first).0, last: A::bounds(upper.last).1, state }
}

/// The part of a run of addresses that has the leading bits `upper`.
fn inside<A: Address>(upper: Run<A::Upper>, run: Run<A>) -> Range<A> {
    let (first, last) = A::bounds(upper.first);
    Range { first: run.first.max(first), last: run.last.min(last), state: state_of(run.content) }
}

/// Gives `upper` the leading bits that a maximal run has whole, and once those that it splits; gives
/// `inner` the parts of the run that begin or end inside of leading bits.
fn split<A: Address>(run: Range<A>, mut upper: impl FnMut(Run<A::Upper>), mut inner: impl FnMut(Run<A>)) {
    let content = Content::State(run.state);
    let mut inner = |first: A, last: A| inner(Run { first, last, content });
    let split = |key| Run { first: key, last: key, content: Content::Split };
    let (head, tail) = (run.first.upper(), run.last.upper());
    let begins_inside = run.first > A::bounds(head).0;
    let ends_inside = run.last < A::bounds(tail).1;
    if head == tail && (begins_inside || ends_inside) {
        if !begins_inside {
            upper(split(head));
        }
        return inner(run.first, run.last);
    }
    let mut first = head;
    if begins_inside {
        inner(run.first, A::bounds(head).1);
        first = head.next();
    }
    let last = if ends_inside { tail.previous() } else { tail };
    if first <= last {
        upper(Run { first, last, content });
    }
    if ends_inside {
        upper(split(tail));
        inner(A::bounds(tail).0, run.last);
    }
}
