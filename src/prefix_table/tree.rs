//! A static search tree over packed blocks: the map from keys to states that the table is made of.
//!
//! The lowest keys of the blocks make the bottom level of a directory; every level above holds the
//! first key of each node of the one below. Nothing points anywhere: place `i` of a level leads to
//! node `i` of the next, and on the bottom to block `i`. So a lookup costs one node a level, of
//! which only the last is out of cache in a large table, and one block.

use super::block::{Block, Record};
use super::directory::Directory;
use super::simd::Machine;
use super::word::Word;
use super::{State, UNLISTED};

/// How many keys of a batch are on their way together: a few more than a core can have cache misses
/// pending.
const GROUP: usize = 32;

/// What is said of a run of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// All have one state.
    State(State),
    /// This one key stands for addresses of several states, which are kept elsewhere.
    Split,
}

/// A run of keys of one content, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<K> {
    pub(super) first: K,
    pub(super) last: K,
    pub(super) content: Content,
}

/// How far an item reaches: to the end of the aligned block of 2^`bits` keys that it begins in.
/// With `bits` as many as a key has, that is to the next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) bits: u32,
    pub(super) split: bool,
}

/// A map from all keys to contents.
///
/// Only runs that are not implied are items: behind the end of an item, up to the next, nothing is
/// listed. So a listed prefix between unlisted ones is a single item.
#[derive(Debug)]
pub(super) struct Tree<K: Word> {
    directory: Directory<K>,
    blocks: Box<[Block]>,
    /// What the numbers of ends in blocks mean, the most frequent first: then a block of ordinary
    /// items needs few bits for each.
    ends: Box<[Reach<K>]>,
}

/// What an [`End`] makes of the first key of an item.
#[derive(Clone, Copy, Debug)]
struct Reach<K> {
    /// The bits that are set in the last key besides those of the first.
    ones: K,
    split: bool,
}

/// An item by its place: block, and record in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: usize,
    record: u32,
}

/// An item, unpacked.
#[derive(Clone, Copy, Debug)]
struct Item<K> {
    first: K,
    /// `K::ONES` where the next item ends it.
    last: K,
    content: Content,
}

impl<K: Word> Tree<K> {
    /// The tree of packed blocks with these lowest keys, in order; `ends` is what the numbers of ends
    /// in them mean.
    pub(super) fn new(blocks: Box<[Block]>, lowest_keys: &[K], ends: &[End]) -> Self {
        let reach = |end: &End| Reach { ones: K::ones(end.bits), split: end.split };
        Self { directory: Directory::build(lowest_keys), blocks, ends: ends.iter().map(reach).collect() }
    }

    /// What is said of one key.
    #[inline(always)]
    pub(super) fn lookup(&self, key: K, machine: Machine) -> Content {
        let block = self.directory.search(key, machine);
        self.blocks[block].prefetch();
        self.lookup_in(block, key, machine)
    }

    /// What is said of many keys, looked up together: gives `found` place and content of each.
    #[inline(always)]
    pub(super) fn lookup_batch(&self, keys: &[K], machine: Machine, mut found: impl FnMut(usize, Content)) {
        let mut blocks = [0; GROUP];
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            let blocks = &mut blocks[..keys.len()];
            self.directory.search_batch(keys, blocks, &self.blocks, machine);
            for (index, (&block, &key)) in blocks.iter().zip(keys).enumerate() {
                found(group * GROUP + index, self.lookup_in(block, key, machine));
            }
        }
    }

    #[inline(always)]
    fn lookup_in(&self, block: usize, key: K, machine: Machine) -> Content {
        if !Block::may_have_lanes::<K>() {
            return self.lookup_packed(block, key);
        }
        let lowest = self.directory.lowest_key(block);
        match self.blocks[block].find_in_lanes(lowest, key, machine) {
            Some(record) => self.content_of(record, key),
            // Where most blocks have lanes.
            None => machine.apart(
                #[inline(always)]
                move || self.lookup_packed(block, key),
            ),
        }
    }

    #[inline(always)]
    fn lookup_packed(&self, block: usize, key: K) -> Content {
        let lowest = self.directory.lowest_key(block);
        self.content_of(self.blocks[block].find(lowest, key), key)
    }

    /// What is said of a key, of which this is the last record that begins at or before it.
    #[inline(always)]
    fn content_of(&self, record: Record<K>, key: K) -> Content {
        let item = self.item_of(record);
        if key <= item.last { item.content } else { Content::State(UNLISTED) }
    }

    /// The maximal run of keys of one content around `key`, and whether the keys directly before and
    /// behind it are split.
    #[inline(always)]
    pub(super) fn run(&self, key: K, machine: Machine) -> (Run<K>, bool, bool) {
        let place = self.place_of(key, machine);
        let (run, next) = self.run_behind(place, key);
        let before = match self.item(place) {
            item if item.first < run.first => item.content == Content::Split,
            _ => self.preceding(place).is_some_and(|place| {
                let item = self.item(place);
                item.content == Content::Split && item.last == run.first.previous()
            }),
        };
        let behind = next.is_some_and(|(place, first)| {
            first == run.last.next() && self.item(place).content == Content::Split
        });
        (run, before, behind)
    }

    /// The runs from the one around `start` on, without a gap.
    pub(super) fn runs_from(&self, start: K) -> Runs<'_, K> {
        let place = self.place_of(start, Machine::ANY);
        let following = self.following(place);
        let ahead = following.map(|place| self.item(place));
        Runs { tree: self, next: Some(start), item: self.item(place), following, ahead }
    }

    #[inline(always)]
    fn place_of(&self, key: K, machine: Machine) -> Place {
        let block = self.directory.search(key, machine);
        self.blocks[block].prefetch();
        Place { block, record: self.blocks[block].search(self.directory.lowest_key(block), key, machine) }
    }

    /// The run around `key`, given the last item at or before it, and the place and first key of the
    /// next item.
    #[inline(always)]
    fn run_behind(&self, place: Place, key: K) -> (Run<K>, Option<(Place, K)>) {
        let item = self.item(place);
        let next = self.following(place).map(|next| (next, self.item(next).first));
        let end = next.map_or(K::ONES, |(_, first)| first.previous());
        (item.run(key, end), next)
    }

    #[inline(always)]
    fn following(&self, place: Place) -> Option<Place> {
        let Place { block, record } = place;
        if record + 1 < self.blocks[block].len() {
            return Some(Place { block, record: record + 1 });
        }
        (block + 1 < self.blocks.len()).then_some(Place { block: block + 1, record: 0 })
    }

    #[inline(always)]
    fn preceding(&self, Place { block, record }: Place) -> Option<Place> {
        match record {
            0 if block == 0 => None,
            0 => Some(Place { block: block - 1, record: self.blocks[block - 1].len() - 1 }),
            _ => Some(Place { block, record: record - 1 }),
        }
    }

    #[inline(always)]
    fn item(&self, place: Place) -> Item<K> {
        self.item_of(self.blocks[place.block].record(self.directory.lowest_key(place.block), place.record))
    }

    #[inline(always)]
    fn item_of(&self, Record { key, end, state }: Record<K>) -> Item<K> {
        let Reach { ones, split } = self.ends[end as usize];
        let content = if split { Content::Split } else { Content::State(state) };
        Item { first: key, last: key | ones, content }
    }

    /// The memory behind the tree, in octets.
    pub(super) fn bytes(&self) -> usize {
        self.directory.bytes() + size_of_val(&*self.blocks) + size_of_val(&*self.ends)
    }
}

/// The runs of a tree in order. Every item is unpacked once.
#[derive(Debug)]
pub(super) struct Runs<'t, K: Word> {
    tree: &'t Tree<K>,
    /// A key of the next run; `None` behind the last.
    next: Option<K>,
    /// The last item that begins at or before that key.
    item: Item<K>,
    /// The place of the item after it.
    following: Option<Place>,
    /// That item.
    ahead: Option<Item<K>>,
}

impl<K: Word> Iterator for Runs<'_, K> {
    type Item = Run<K>;

    #[inline]
    fn next(&mut self) -> Option<Run<K>> {
        let key = self.next?;
        let end = self.ahead.map_or(K::ONES, |ahead| ahead.first.previous());
        let run = self.item.run(key, end);
        self.next = (run.last != K::ONES).then(|| run.last.next());
        if run.last == end
            && let Some(ahead) = self.ahead
        {
            self.item = ahead;
            self.following = self.following.and_then(|place| self.tree.following(place));
            self.ahead = self.following.map(|place| self.tree.item(place));
        }
        Some(run)
    }
}

impl<K: Word> Item<K> {
    /// The run around `key`, which lies at or behind the item's first key, where the next item
    /// begins behind `end`.
    #[inline(always)]
    fn run(self, key: K, end: K) -> Run<K> {
        if key <= self.last {
            Run { first: self.first, last: self.last.min(end), content: self.content }
        } else {
            Run { first: self.last.next(), last: end, content: Content::State(UNLISTED) }
        }
    }
}
