//! What packing asks of mixed prefixes: their state, and how many items and octets describe them.
//!
//! The state of a mixed prefix is the one that most of its 16 children have, so it depends on
//! everything below; and so do the counts. All are folded from the runs of the map in one pass, in
//! order (`fold`), the deepest prefixes first. For a prefix with few runs inside that takes a few
//! microseconds and is done when asked. The prefixes with more than [`SUMMARY_RUNS`] runs are
//! measured once, when a table is compiled, and kept in its [`Summary`]: 20 octets for each. Where
//! listings are spread evenly, at most 0.7 octets a listing, and in lists clustered as real ones are a
//! tenth to half of an octet. The bound is higher: a run is counted once for each length, so a list
//! made for the purpose could need 20 octets for each of 31 lengths every 56 runs.

use smallvec::SmallVec;

use super::apl::item_octets;
use super::{Content, Item, Prefix, StateMap, is_uniform};
use crate::prefix_table::{Range, State, UNLISTED};

/// Prefixes with more runs than this are measured when a table is compiled.
pub const SUMMARY_RUNS: u64 = 56;

/// How much of a block a form takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Octets of rdata.
    pub octets: u32,
    /// Items of the APL record; a mixed item is two.
    pub items: u32,
}

impl Size {
    /// An item for a state.
    pub fn item(prefix: Prefix) -> Self {
        Self { octets: item_octets(prefix) as u32, items: 1 }
    }

    /// A mixed item.
    pub fn mixed_item(prefix: Prefix) -> Self {
        Self { octets: 2 * item_octets(prefix) as u32, items: 2 }
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            octets: self.octets.saturating_add(other.octets),
            items: self.items.saturating_add(other.items),
        }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::ops::Sub for Size {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { octets: self.octets - other.octets, items: self.items - other.items }
    }
}

/// What packing asks of a mixed prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its state.
    pub state: State,
    /// Its full form, an item for its own state not counted.
    pub full: Size,
    /// Its children form: an item for each uniform child of another state (joined), a mixed item for
    /// each mixed child. At most 16 mixed items of 40 octets.
    pub split: Size,
    /// False if a single mixed child holds all addresses that have another state than the prefix.
    pub spread: bool,
}

impl Measure {
    /// The full form of `prefix` where all around it has state `around`.
    pub fn full_form(&self, prefix: Prefix, around: State) -> Size {
        if self.state == around { self.full } else { self.full + Size::item(prefix) }
    }
}

/// The measures of all prefixes of a map with many runs inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of prefixes of at most [`MAX_SHORT`] bits.
    short: Nodes<u64>,
    /// Of longer ones.
    long: Nodes<u128>,
}

/// Prefixes in order, each with its measure. A prefix is one number: its address, and in the last
/// four bits, which are clear there, its length in nibbles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Nodes<K> {
    keys: Box<[K]>,
    measures: Box<[PackedMeasure]>,
}

/// A measure in 12 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedMeasure {
    state: State,
    /// The items of the full form.
    items: u32,
    /// Its octets, 15 bits: as many as these hold fit no block. Then [`Measure::spread`].
    octets: u16,
    /// The octets of the children form, 10 bits, then its items.
    split: u16,
}

impl Summary {
    /// Measures the whole map, in one pass over its runs.
    pub fn new(map: &impl StateMap) -> Self {
        Self::with_threshold(map, SUMMARY_RUNS)
    }

    /// As [`Summary::new`], for prefixes with more than `threshold` runs inside (of those with three
    /// or less not all).
    pub fn with_threshold(map: &impl StateMap, threshold: u64) -> Self {
        let mut keep = KeepLarge { threshold, short: Vec::new(), long: Vec::new() };
        if !is_uniform(map, Prefix::ROOT) {
            fold(map, Prefix::ROOT, &mut keep);
        }
        Self { short: Nodes::new(keep.short), long: Nodes::new(keep.long) }
    }

    /// The measure of a prefix with many runs inside; `None` for all others.
    pub fn get(&self, prefix: Prefix) -> Option<Measure> {
        match prefix.length() {
            ..=MAX_SHORT => self.short.get(short_key(prefix)),
            _ => self.long.get(long_key(prefix)),
        }
    }

    /// The memory that the summary holds, in octets.
    pub fn bytes(&self) -> usize {
        self.short.bytes() + self.long.bytes()
    }
}

/// The greatest length of prefixes in [`Summary::short`].
const MAX_SHORT: u8 = 60;

fn short_key(prefix: Prefix) -> u64 {
    (prefix.first() >> 64) as u64 | u64::from(prefix.length() / 4)
}

fn long_key(prefix: Prefix) -> u128 {
    prefix.first() | u128::from((prefix.length() - MAX_SHORT) / 4 - 1)
}

impl<K: Ord + Copy> Nodes<K> {
    fn new(mut nodes: Vec<(K, PackedMeasure)>) -> Self {
        nodes.sort_unstable_by_key(|&(key, _)| key);
        let keys = nodes.iter().map(|&(key, _)| key).collect();
        Self { keys, measures: nodes.iter().map(|&(_, measure)| measure).collect() }
    }

    fn get(&self, key: K) -> Option<Measure> {
        let index = self.keys.binary_search(&key).ok()?;
        Some(self.measures[index].unpack())
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.keys) + size_of_val(&*self.measures)
    }
}

impl PackedMeasure {
    const MAX_OCTETS: u32 = (1 << 15) - 1;

    fn new(measure: &Measure) -> Self {
        let &Measure { state, full, split, spread } = measure;
        Self {
            state,
            items: full.items,
            octets: full.octets.min(Self::MAX_OCTETS) as u16 | u16::from(spread) << 15,
            split: split.octets as u16 | (split.items as u16) << 10,
        }
    }

    fn unpack(self) -> Measure {
        let Self { state, items, octets, split } = self;
        Measure {
            state,
            full: Size { octets: u32::from(octets & Self::MAX_OCTETS as u16), items },
            split: Size { octets: u32::from(split & 0x3ff), items: u32::from(split >> 10) },
            spread: octets >> 15 == 1,
        }
    }
}

struct KeepLarge {
    threshold: u64,
    short: Vec<(u64, PackedMeasure)>,
    long: Vec<(u128, PackedMeasure)>,
}

impl Visit for KeepLarge {
    fn measured(&mut self, prefix: Prefix, measure: &Measure, runs: u64) {
        if runs <= self.threshold {
            return;
        }
        let measure = PackedMeasure::new(measure);
        match prefix.length() {
            ..=MAX_SHORT => self.short.push((short_key(prefix), measure)),
            _ => self.long.push((long_key(prefix), measure)),
        }
    }
}

/// The measure of a mixed prefix, in time that grows with the runs inside. Appends the items of its
/// full form, an item for its own state not included, in no order.
pub fn measure(map: &impl StateMap, prefix: Prefix, items: &mut Vec<Item<State>>) -> Measure {
    fold(map, prefix, &mut Collect(items))
}

struct Collect<'i>(&'i mut Vec<Item<State>>);

impl Visit for Collect<'_> {
    fn item(&mut self, prefix: Prefix, state: State) {
        self.0.push(Item { prefix, content: content_of(state) });
    }
}

/// What an item for a uniform prefix says.
pub fn content_of(state: State) -> Content<State> {
    if state == UNLISTED { Content::NotListed } else { Content::Listed(state) }
}

/// Hears of what a fold finds, from the deepest prefixes upwards.
trait Visit {
    /// An item of the full form of the prefix that is folded.
    fn item(&mut self, prefix: Prefix, state: State) {
        let _ = (prefix, state);
    }

    /// A mixed prefix with `runs` runs inside. Not all with three runs or less are told.
    fn measured(&mut self, prefix: Prefix, measure: &Measure, runs: u64) {
        let _ = (prefix, measure, runs);
    }
}

/// Measures a mixed, nibble-aligned prefix from the runs inside it.
fn fold(map: &impl StateMap, prefix: Prefix, visit: &mut impl Visit) -> Measure {
    let mut ranges = map.ranges_from(prefix.first());
    // A map covers all addresses; one that gave nothing would have no mixed prefix.
    let Some(run) = ranges.next() else {
        return Measure::of(UNLISTED);
    };
    let ahead = [ranges.next(), ranges.next()];
    Fold { ranges, run, ahead, passed: 0, visit }.mixed(prefix).measure
}

struct Fold<'v, I, V> {
    ranges: I,
    /// The run that contains the address that the fold has come to.
    run: Range<u128>,
    /// The two runs after it.
    ahead: [Option<Range<u128>>; 2],
    /// How many runs it has passed.
    passed: u64,
    visit: &'v mut V,
}

/// A mixed prefix, folded.
#[derive(Clone, Copy)]
struct Folded {
    measure: Measure,
    /// The longest mixed prefix outside of which the folded one has its own state throughout.
    narrowest: Prefix,
}

/// Some of the children of a prefix.
enum Children {
    /// `from` to `to` (inclusive) are uniform.
    Uniform { from: u8, to: u8, state: State },
    /// One child is mixed.
    Mixed { index: u8, folded: Folded },
}

impl Children {
    fn state(&self) -> State {
        match self {
            Self::Uniform { state, .. } => *state,
            Self::Mixed { folded, .. } => folded.measure.state,
        }
    }

    fn count(&self) -> u8 {
        match self {
            Self::Uniform { from, to, .. } => to - from + 1,
            Self::Mixed { .. } => 1,
        }
    }
}

impl<I: Iterator<Item = Range<u128>>, V: Visit> Fold<'_, I, V> {
    /// Folds a mixed prefix; `run` contains its first address before and its last one after.
    fn mixed(&mut self, prefix: Prefix) -> Folded {
        if let Some(folded) = self.one_other_run(prefix) {
            return folded;
        }
        let passed_before = self.passed;
        let mut children: SmallVec<[Children; 16]> = SmallVec::new();
        let mut index = 0;
        while index < 16 {
            let child = prefix.child(index);
            self.go_to(child.first());
            if self.run.last < child.last() {
                children.push(Children::Mixed { index, folded: self.mixed(child) });
                index += 1;
            } else {
                let to = last_child_within(prefix, self.run.last);
                children.push(Children::Uniform { from: index, to, state: self.run.state });
                index = to + 1;
            }
        }
        let folded = self.close(prefix, &children);
        self.visit.measured(prefix, &folded.measure, self.passed - passed_before + 1);
        folded
    }

    /// The short way for a prefix of one state with a single other run inside, as single listings
    /// in the open make them on many levels at once: goes straight to the level of that run.
    fn one_other_run(&mut self, prefix: Prefix) -> Option<Folded> {
        let [Some(other), Some(after)] = self.ahead else { return None };
        let state = self.run.state;
        if after.state != state || other.last >= prefix.last() || after.last < prefix.last() {
            return None;
        }
        let around = Prefix::common(other.first, other.last);
        let (mut measure, narrowest);
        if (around.first(), around.last()) == (other.first, other.last) {
            narrowest = around.parent();
            measure = Measure::of(state);
            measure.full = Size::item(around);
            measure.split = measure.full;
            self.visit.item(around, other.state);
            self.go_to(after.first);
        } else if around != prefix {
            self.go_to(around.first());
            let folded = self.mixed(around);
            measure = folded.measure;
            narrowest = if measure.state == state { folded.narrowest } else { around };
            if measure.state != state {
                measure.full += Size::item(around);
                self.visit.item(around, measure.state);
                measure.state = state;
            }
        } else {
            return None;
        }
        measure.spread = narrowest == prefix;
        if !measure.spread {
            measure.split = Size::mixed_item(narrowest);
        }
        Some(Folded { measure, narrowest })
    }

    /// Passes runs until the one that contains `address`, which lies in this run or after it.
    fn go_to(&mut self, address: u128) {
        while self.run.last < address {
            let [Some(next), after] = self.ahead else { break };
            self.run = next;
            self.ahead = [after, self.ranges.next()];
            self.passed += 1;
        }
    }

    fn close(&mut self, prefix: Prefix, children: &[Children]) -> Folded {
        let state = majority(children);
        let mut measure = Measure::of(state);
        let mut narrowest = None;
        let mut others = 0;
        for children in children {
            match *children {
                Children::Uniform { state: uniform, .. } if uniform == state => {}
                Children::Uniform { from, to, state: uniform } => {
                    others += 1;
                    for_each_joined(prefix, from, to, |joined| {
                        let item = Size::item(joined);
                        measure.full += item;
                        measure.split += item;
                        self.visit.item(joined, uniform);
                    });
                }
                Children::Mixed { index, folded: Folded { measure: inner, narrowest: mut mixed } } => {
                    others += 1;
                    measure.full += inner.full;
                    if inner.state != state {
                        let child = prefix.child(index);
                        mixed = child;
                        measure.full += Size::item(child);
                        self.visit.item(child, inner.state);
                    }
                    measure.split += Size::mixed_item(mixed);
                    narrowest = Some(mixed);
                }
            }
        }
        let narrowest = narrowest.filter(|_| others == 1);
        measure.spread = narrowest.is_none();
        Folded { measure, narrowest: narrowest.unwrap_or(prefix) }
    }
}

impl Measure {
    /// The measure of a prefix of one state, to be added to.
    fn of(state: State) -> Self {
        Self { state, full: Size::default(), split: Size::default(), spread: true }
    }
}

/// The number of the last child of `prefix` that ends at or before `last`, which lies in or after
/// the prefix; there is one.
pub(super) fn last_child_within(prefix: Prefix, last: u128) -> u8 {
    if last >= prefix.last() {
        return 15;
    }
    let index = ((last - prefix.first()) >> (124 - prefix.length())) as u8;
    if prefix.child(index).last() == last { index } else { index - 1 }
}

/// The largest aligned prefixes that children `from` to `to` (inclusive) of `prefix` join into.
pub(super) fn for_each_joined(prefix: Prefix, from: u8, to: u8, mut joined: impl FnMut(Prefix)) {
    let mut index = from;
    while index <= to {
        let mut bits = (index.trailing_zeros() as u8).min(4);
        while index + (1 << bits) - 1 > to {
            bits -= 1;
        }
        joined(Prefix { length: prefix.length() + 4 - bits, ..prefix.child(index) });
        index += 1 << bits;
    }
}

/// The state that most of 16 children have: of equally many "not listed" if it is among them, else
/// the one of the lowest child.
fn majority(children: &[Children]) -> State {
    let (mut best, mut most) = (UNLISTED, 0);
    for state in children.iter().map(Children::state) {
        let same = children.iter().filter(|children| children.state() == state);
        let count: u8 = same.map(Children::count).sum();
        if count > 8 {
            return state;
        }
        if count > most || count == most && state == UNLISTED {
            (best, most) = (state, count);
        }
    }
    best
}
