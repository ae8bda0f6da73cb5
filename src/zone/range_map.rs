//! The map from addresses to states that range records describe: all datasets of a list together,
//! read straight off their tables.
//!
//! The address space falls into segments, in each of which the same tables are read in the same
//! way: the IPv4 tables make up `::ffff:0:0/96`, which holds what four-octet names are answered, and
//! join the IPv6 tables in 2002::/16. Inside a segment the runs of the tables are cut into pieces
//! where any of them changes. Pieces of equal state join into one run where a segment ends or where
//! datasets overlap; these runs are kept, so that no look at the map depends on how many pieces
//! they have.

use std::collections::HashSet;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::List;
use super::meaning::{Interner, Meanings, States, TooManyStates, Viewed, settled};
use crate::address::{MAPPED, MAPPED_LAST, SIX_TO_FOUR, SIX_TO_FOUR_LENGTH};
use crate::dataset::{Dataset, TEST_V4, TEST_V6};
use crate::prefix_table::{PrefixTable, Range, Ranges, State, UNLISTED};
use crate::range_record::StateMap;
use crate::range_record::value::Value;

/// The last address of 2002::/16.
const SIX_TO_FOUR_LAST: u128 = SIX_TO_FOUR | u128::MAX >> SIX_TO_FOUR_LENGTH;
/// A 6to4 network has addresses of this many bits.
const SIX_TO_FOUR_BITS: u8 = 128 - SIX_TO_FOUR_LENGTH - 32;

/// How many runs of a table are passed one by one before the next is searched for.
const STEPS: usize = 8;

/// The states of all addresses of a list.
#[derive(Debug)]
pub struct RangeMap {
    meanings: Meanings,
    segments: Segments,
    /// The runs that consist of several pieces, in order.
    joined: Box<[Range<u128>]>,
}

/// All of the address space, in order.
type Segments = SmallVec<[Segment; 7]>;

/// Addresses whose state is read in one way; they begin where the segment before ends.
#[derive(Clone, Copy, Debug)]
struct Segment {
    last: u128,
    source: Source,
}

/// What a segment reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The IPv6 tables.
    V6,
    /// The IPv4 tables, one address for one.
    Mapped,
    /// The IPv6 tables, and the IPv4 tables with 2^80 addresses for one.
    SixToFour,
    /// The test entry, which is listed without being in the data.
    Test(State),
}

impl RangeMap {
    /// The map of lists that are asked together, in this order. `None` where none is about
    /// addresses.
    ///
    /// # Errors
    /// The datasets have more states than there are numbers.
    pub(super) fn new(
        lists: &[&List],
        six_to_four: bool,
        dropin: bool,
    ) -> Result<Option<Self>, TooManyStates> {
        let datasets: Vec<_> = lists.iter().flat_map(|list| list.address_datasets()).cloned().collect();
        if datasets.is_empty() {
            return Ok(None);
        }
        let test = lists.iter().find_map(|list| list.test_entry());
        let mut interner = Interner::new(datasets, test.map(|(saying, ttl)| (saying.clone(), ttl)), dropin)?;
        let mut combinations = HashSet::new();
        let test = test_states(interner.meanings(), lists);
        let test_state = match &test {
            Some(states) => Some(interner.together(states.clone())?),
            None => None,
        };
        let segments = segments(six_to_four, test_state);
        let mut first = 0;
        for segment in &segments {
            if layers(interner.meanings(), segment.source).count() > 1 {
                let mut pieces = Pieces::at(interner.meanings(), &segments, first);
                while pieces.next.is_some_and(|next| next <= segment.last) {
                    let states = pieces.states();
                    if states.len() > 1 {
                        combinations.insert(settled(states));
                    }
                    pieces.go_behind(pieces.last());
                }
            }
            first = segment.last.wrapping_add(1);
        }
        interner.find_products(&combinations);
        for states in combinations {
            interner.together(states)?;
        }
        let meanings = interner.finish();
        let joined = joined(&meanings, &segments);
        Ok(Some(Self { meanings, segments, joined }))
    }

    /// The datasets about addresses, in their order.
    pub(super) fn datasets(&self) -> &[Arc<Dataset>] {
        self.meanings.datasets()
    }

    /// What a state says, if one record can tell it.
    pub(super) fn value(&self, state: State) -> Option<Value> {
        self.meanings.value(state)
    }

    /// The memory that the map holds beside the datasets, in octets.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.joined) + self.meanings.bytes()
    }

    /// The piece that contains `address`.
    fn piece(&self, address: u128) -> Range<u128> {
        let place = self.segments.partition_point(|segment| segment.last < address);
        let Segment { last, source } = self.segments[place];
        let first = place.checked_sub(1).map_or(0, |before| self.segments[before].last + 1);
        if let Source::Test(state) = source {
            return Range { first, last, state };
        }
        let mut piece = Range { first, last, state: UNLISTED };
        let mut states = States::new();
        for (dataset, layer) in layers(&self.meanings, source) {
            let run = layer.range(address);
            piece.first = piece.first.max(run.first);
            piece.last = piece.last.min(run.last);
            if run.state != UNLISTED {
                states.push(self.meanings.of(dataset, run.state, layer.viewed()));
            }
        }
        piece.state = self.meanings.together(states);
        piece
    }

    /// The runs of several pieces that end at `address` or after it.
    fn joined_from(&self, address: u128) -> &[Range<u128>] {
        &self.joined[self.joined.partition_point(|run| run.last < address)..]
    }
}

impl StateMap for RangeMap {
    fn ranges_from(&self, start: u128) -> impl Iterator<Item = Range<u128>> + '_ {
        let pieces = Pieces::at(&self.meanings, &self.segments, start);
        Runs { pieces, joined: self.joined_from(start) }
    }

    fn range(&self, address: u128) -> Range<u128> {
        match self.joined_from(address).first() {
            Some(run) if run.first <= address => *run,
            _ => self.piece(address),
        }
    }
}

/// The states of the test address, where some list has the test entry and no list before it says
/// anything there.
fn test_states(meanings: &Meanings, lists: &[&List]) -> Option<States> {
    let mut states = States::new();
    let mut is_entry = false;
    let mut datasets = meanings.lists().enumerate();
    for list in lists {
        for (dataset, data) in datasets.by_ref().take(list.address_datasets().count()) {
            let state = data.v4.as_ref().map_or(UNLISTED, |table| table.lookup(TEST_V4));
            if state != UNLISTED {
                states.push(meanings.of(dataset, state, Viewed::Plain));
            }
        }
        if states.is_empty() && list.test_entry().is_some() {
            states.push(meanings.test());
            is_entry = true;
        }
    }
    is_entry.then_some(states)
}

fn segments(six_to_four: bool, test: Option<State>) -> Segments {
    let mut segments: Segments = smallvec![Segment { last: MAPPED - 1, source: Source::V6 }];
    if let Some(state) = test {
        segments.push(Segment { last: TEST_V6 - 1, source: Source::Mapped });
        segments.push(Segment { last: TEST_V6, source: Source::Test(state) });
    }
    segments.push(Segment { last: MAPPED_LAST, source: Source::Mapped });
    if six_to_four {
        segments.push(Segment { last: SIX_TO_FOUR - 1, source: Source::V6 });
        segments.push(Segment { last: SIX_TO_FOUR_LAST, source: Source::SixToFour });
    }
    segments.push(Segment { last: u128::MAX, source: Source::V6 });
    segments
}

/// The runs that consist of several pieces.
fn joined(meanings: &Meanings, segments: &Segments) -> Box<[Range<u128>]> {
    let mut pieces = Runs { pieces: Pieces::at(meanings, segments, 0), joined: &[] };
    let mut joined = Vec::new();
    // The map has no gap, so there is a piece.
    let Some(mut run) = pieces.next() else { return joined.into() };
    let mut is_joined = false;
    for piece in pieces {
        if piece.state == run.state {
            run.last = piece.last;
            is_joined = true;
            continue;
        }
        if is_joined {
            joined.push(run);
        }
        (run, is_joined) = (piece, false);
    }
    if is_joined {
        joined.push(run);
    }
    joined.into()
}

/// A table as it lies in the map.
#[derive(Clone, Copy)]
enum Layer<'m> {
    V6(&'m PrefixTable<u128>),
    Mapped(&'m PrefixTable<u32>),
    SixToFour(&'m PrefixTable<u32>),
}

/// The tables that a segment reads, with the places of their datasets.
fn layers(meanings: &Meanings, source: Source) -> impl Iterator<Item = (usize, Layer<'_>)> {
    let (v6, mapped, six_to_four) = match source {
        Source::V6 => (true, false, false),
        Source::Mapped => (false, true, false),
        Source::SixToFour => (true, false, true),
        Source::Test(_) => (false, false, false),
    };
    meanings.lists().enumerate().flat_map(move |(dataset, list)| {
        let layers = [
            list.v6.as_ref().filter(|_| v6).map(Layer::V6),
            list.v4.as_ref().filter(|_| mapped).map(Layer::Mapped),
            list.v4.as_ref().filter(|_| six_to_four).map(Layer::SixToFour),
        ];
        layers.into_iter().flatten().map(move |layer| (dataset, layer))
    })
}

impl<'m> Layer<'m> {
    fn range(self, address: u128) -> Range<u128> {
        match self {
            Self::V6(table) => table.range(address),
            Self::Mapped(table) => mapped(table.range(address as u32)),
            Self::SixToFour(table) => six_to_four(table.range((address >> SIX_TO_FOUR_BITS) as u32)),
        }
    }

    fn ranges_from(self, address: u128) -> LayerRanges<'m> {
        let network = (address >> SIX_TO_FOUR_BITS) as u32;
        match self {
            Self::V6(table) => LayerRanges::V6(Box::new(table.ranges_from(address))),
            Self::Mapped(table) => LayerRanges::Mapped(table.ranges_from(address as u32)),
            Self::SixToFour(table) => LayerRanges::SixToFour(table.ranges_from(network)),
        }
    }

    fn viewed(self) -> Viewed {
        match self {
            Self::V6(_) | Self::Mapped(_) => Viewed::Plain,
            Self::SixToFour(_) => Viewed::Embedded,
        }
    }
}

/// The runs of a [`Layer`] in order.
enum LayerRanges<'m> {
    V6(Box<Ranges<'m, u128>>),
    Mapped(Ranges<'m, u32>),
    SixToFour(Ranges<'m, u32>),
}

impl Iterator for LayerRanges<'_> {
    type Item = Range<u128>;

    fn next(&mut self) -> Option<Range<u128>> {
        match self {
            Self::V6(ranges) => ranges.next(),
            Self::Mapped(ranges) => ranges.next().map(mapped),
            Self::SixToFour(ranges) => ranges.next().map(six_to_four),
        }
    }
}

fn mapped(run: Range<u32>) -> Range<u128> {
    Range { first: MAPPED | u128::from(run.first), last: MAPPED | u128::from(run.last), state: run.state }
}

fn six_to_four(run: Range<u32>) -> Range<u128> {
    let network = |address: u32| SIX_TO_FOUR | u128::from(address) << SIX_TO_FOUR_BITS;
    let last = network(run.last) | ((1 << SIX_TO_FOUR_BITS) - 1);
    Range { first: network(run.first), last, state: run.state }
}

/// All pieces from one on, in order: addresses inside one segment, over which no table changes.
struct Pieces<'m> {
    meanings: &'m Meanings,
    segments: &'m [Segment],
    /// The place of the segment that the next piece lies in.
    segment: usize,
    /// Where the next piece begins; `None` behind the last.
    next: Option<u128>,
    cursors: SmallVec<[Cursor<'m>; 2]>,
}

/// A table, at the run that contains the beginning of the next piece.
struct Cursor<'m> {
    dataset: usize,
    layer: Layer<'m>,
    run: Range<u128>,
    /// The runs behind it.
    rest: LayerRanges<'m>,
}

impl<'m> Pieces<'m> {
    /// From the piece that contains `address` on.
    fn at(meanings: &'m Meanings, segments: &'m [Segment], address: u128) -> Self {
        let mut pieces = Self { meanings, segments, segment: 0, next: None, cursors: SmallVec::new() };
        pieces.open(address);
        let before = pieces.segment.checked_sub(1).map(|before| segments[before].last);
        let runs = pieces.cursors.iter().map(|cursor| cursor.run.first);
        pieces.next = runs.chain([before.map_or(0, |last| last + 1)]).max();
        pieces
    }

    /// Goes to the segment that contains `address`, at or behind the present one.
    fn open(&mut self, address: u128) {
        self.segment += self.segments[self.segment..].partition_point(|segment| segment.last < address);
        self.next = Some(address);
        self.cursors.clear();
        for (dataset, layer) in layers(self.meanings, self.segments[self.segment].source) {
            self.cursors.push(Cursor::at(dataset, layer, address));
        }
    }

    /// The next piece as a run.
    fn run(&self) -> Range<u128> {
        let Segment { last, source } = self.segments[self.segment];
        let (last, state) = match (&self.cursors[..], source) {
            (_, Source::Test(state)) => (last, state),
            ([], _) => (last, UNLISTED),
            ([cursor], _) => (last.min(cursor.run.last), cursor.state(self.meanings)),
            _ => (self.last(), self.meanings.together(self.states())),
        };
        Range { first: self.next.unwrap_or(last), last, state }
    }

    /// The last address of the next piece.
    fn last(&self) -> u128 {
        let runs = self.cursors.iter().map(|cursor| cursor.run.last);
        runs.fold(self.segments[self.segment].last, u128::min)
    }

    /// The states of the datasets that list the next piece.
    fn states(&self) -> States {
        let states = self.cursors.iter().map(|cursor| cursor.state(self.meanings));
        states.filter(|&state| state != UNLISTED).collect()
    }

    /// Goes on behind `last`, which lies in the next piece or behind it.
    fn go_behind(&mut self, last: u128) {
        let Some(next) = last.checked_add(1) else {
            self.next = None;
            return;
        };
        if next > self.segments[self.segment].last {
            self.open(next);
            return;
        }
        self.next = Some(next);
        self.cursors.iter_mut().for_each(|cursor| cursor.go_to(next));
    }
}

impl<'m> Cursor<'m> {
    fn at(dataset: usize, layer: Layer<'m>, address: u128) -> Self {
        let mut rest = layer.ranges_from(address);
        // A table has a run for every address.
        let run = rest.next().unwrap_or_else(|| layer.range(address));
        Self { dataset, layer, run, rest }
    }

    fn state(&self, meanings: &Meanings) -> State {
        meanings.of(self.dataset, self.run.state, self.layer.viewed())
    }

    fn go_to(&mut self, address: u128) {
        for _ in 0..STEPS {
            if self.run.last >= address {
                return;
            }
            match self.rest.next() {
                Some(run) => self.run = run,
                None => break,
            }
        }
        if self.run.last < address {
            *self = Self::at(self.dataset, self.layer, address);
        }
    }
}

/// All runs from one on, in order.
struct Runs<'m> {
    pieces: Pieces<'m>,
    /// The runs of several pieces that are not passed yet.
    joined: &'m [Range<u128>],
}

impl Iterator for Runs<'_> {
    type Item = Range<u128>;

    fn next(&mut self) -> Option<Range<u128>> {
        let next = self.pieces.next?;
        match self.joined.split_first() {
            Some((run, rest)) if run.first <= next => {
                self.joined = rest;
                self.pieces.go_behind(run.last);
                Some(*run)
            }
            _ => {
                let run = self.pieces.run();
                self.pieces.go_behind(run.last);
                Some(run)
            }
        }
    }
}
