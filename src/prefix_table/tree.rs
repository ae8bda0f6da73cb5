//! A static search tree over packed blocks: the map from keys to states that the table is made of.
//!
//! The lowest keys of the blocks make the bottom level of a directory; every level above holds the
//! first key of each node of the one below. Nothing points anywhere: place `i` of a level leads to
//! node `i` of the next, and on the bottom to block `i`. So a lookup costs one node a level, of
//! which only the last is out of cache in a large table, and one block.

use super::block::{Block, Packer, Record};
use super::directory::Directory;
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
struct End {
    bits: u32,
    split: bool,
}

impl End {
    const SPLIT: Self = Self { bits: 0, split: true };
    /// How many different ends there are: 0 to 128 bits, and the split.
    const KINDS: usize = 130;

    fn kind(self) -> usize {
        if self.split { Self::KINDS - 1 } else { self.bits as usize }
    }

    fn of_kind(kind: usize) -> Self {
        if kind == Self::KINDS - 1 { Self::SPLIT } else { Self { bits: kind as u32, split: false } }
    }
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
    ends: Box<[End]>,
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
    /// What is said of one key.
    #[inline(always)]
    pub(super) fn lookup(&self, key: K) -> Content {
        let block = self.directory.search(key);
        self.blocks[block].prefetch();
        self.lookup_in(block, key)
    }

    /// What is said of many keys, looked up together: gives `found` place and content of each.
    #[inline(always)]
    pub(super) fn lookup_batch(&self, keys: &[K], mut found: impl FnMut(usize, Content)) {
        let mut blocks = [0; GROUP];
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            let blocks = &mut blocks[..keys.len()];
            self.directory.search_batch(keys, blocks, &self.blocks);
            for (index, (&block, &key)) in blocks.iter().zip(keys).enumerate() {
                found(group * GROUP + index, self.lookup_in(block, key));
            }
        }
    }

    #[inline(always)]
    fn lookup_in(&self, block: usize, key: K) -> Content {
        let lowest = self.directory.lowest_key(block);
        let item = self.item_of(self.blocks[block].find(lowest, key));
        if key <= item.last { item.content } else { Content::State(UNLISTED) }
    }

    /// The maximal run of keys of one content around `key`, and whether the keys directly before and
    /// behind it are split.
    #[inline(always)]
    pub(super) fn run(&self, key: K) -> (Run<K>, bool, bool) {
        let place = self.place_of(key);
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
    pub(super) fn runs_from(&self, start: K) -> impl Iterator<Item = Run<K>> + '_ {
        let mut at = Some((self.place_of(start), start));
        std::iter::from_fn(move || {
            let (place, key) = at?;
            let (run, next) = self.run_behind(place, key);
            let first = run.last.next();
            at = match next {
                _ if run.last == K::ONES => None,
                Some((next, first_of_next)) if first_of_next == first => Some((next, first)),
                _ => Some((place, first)),
            };
            Some(run)
        })
    }

    #[inline(always)]
    fn place_of(&self, key: K) -> Place {
        let block = self.directory.search(key);
        self.blocks[block].prefetch();
        Place { block, record: self.blocks[block].search(self.directory.lowest_key(block), key) }
    }

    /// The run around `key`, given the last item at or before it, and the place and first key of the
    /// next item.
    #[inline(always)]
    fn run_behind(&self, place: Place, key: K) -> (Run<K>, Option<(Place, K)>) {
        let item = self.item(place);
        let next = self.following(place).map(|next| (next, self.item(next).first));
        let last = next.map_or(K::ONES, |(_, first)| first.previous());
        let run = if key <= item.last {
            Run { first: item.first, last: item.last.min(last), content: item.content }
        } else {
            Run { first: item.last.next(), last, content: Content::State(UNLISTED) }
        };
        (run, next)
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
        let end = self.ends[usize::from(end)];
        let content = if end.split { Content::Split } else { Content::State(state) };
        Item { first: key, last: key | K::ones(end.bits), content }
    }

    /// The memory behind the tree, in octets.
    pub(super) fn bytes(&self) -> usize {
        self.directory.bytes() + size_of_val(&*self.blocks) + size_of_val(&*self.ends)
    }

    /// The tree of the runs that `walk` gives to its argument in ascending order. It is called three
    /// times, so that nothing is held but the finished form, in memory of the right size.
    ///
    /// There may be gaps before the first run, and behind runs that end where an aligned block of keys
    /// does; nothing is listed there.
    pub(super) fn build(walk: impl Fn(&mut dyn FnMut(Run<K>))) -> Self {
        let mut counts = [0u64; End::KINDS];
        each_item(&walk, |_, end, _| counts[end.kind()] += 1);
        let mut kinds: Vec<usize> = (0..End::KINDS).filter(|&kind| counts[kind] > 0).collect();
        kinds.sort_by_key(|&kind| std::cmp::Reverse(counts[kind]));
        let mut numbers = [0; End::KINDS];
        (0..).zip(&kinds).for_each(|(number, &kind)| numbers[kind] = number);
        let pack = |full: &mut dyn FnMut(&Packer<K>)| {
            let mut packer = Packer::new();
            each_item(&walk, |key, end, state| {
                packer.push(Record { key, end: numbers[end.kind()], state }, &mut *full);
            });
            full(&packer);
        };
        let mut count = 0;
        pack(&mut |_| count += 1);
        let mut blocks = Vec::with_capacity(count);
        let mut lowest_keys = Vec::with_capacity(count);
        pack(&mut |packer| {
            lowest_keys.push(packer.lowest_key());
            blocks.push(packer.block());
        });
        let ends = kinds.into_iter().map(End::of_kind).collect();
        Self { directory: Directory::build(&lowest_keys), blocks: blocks.into(), ends }
    }
}

/// Makes items of runs: gives `emit` first key, end and state of each. The first item is at 0.
fn each_item<K: Word>(walk: &impl Fn(&mut dyn FnMut(Run<K>)), mut emit: impl FnMut(K, End, State)) {
    let to_next = End { bits: K::WIDTH, split: false };
    let mut open = true; // nothing yet ends what lies before the next run
    let mut none = true;
    walk(&mut |Run { first, last, content }| {
        if none && (first > K::ZERO) {
            emit(K::ZERO, to_next, UNLISTED);
            open = false;
        }
        none = false;
        match content {
            Content::Split => emit(first, End::SPLIT, UNLISTED),
            Content::State(UNLISTED) if open => emit(first, to_next, UNLISTED),
            Content::State(UNLISTED) => {}
            Content::State(state) => {
                let bits = (first ^ last).width();
                open = last & K::ones(bits) != K::ones(bits);
                emit(first, if open { to_next } else { End { bits, split: false } }, state);
                return;
            }
        }
        open = false;
    });
    if none {
        emit(K::ZERO, to_next, UNLISTED);
    }
}
