//! A tree in the making: runs of keys to items, and items to packed blocks.
//!
//! The runs come twice, each time all of them in ascending order: [`Ends`] counts how items end, so that
//! the most frequent ends get the lowest numbers, and [`TreeBuilder`] packs. There may be gaps before
//! the first run, and behind runs that end where an aligned block of keys does; nothing is listed there.

use super::block::{Block, Packer, Record};
use super::tree::{Content, End, Run, Tree};
use super::word::Word;
use super::{State, UNLISTED};

impl End {
    const SPLIT: Self = Self { bits: 0, split: true };
    /// How many different ends there are: 0 to 128 bits, and the split.
    const KINDS: usize = 130;

    /// The end of an item that reaches to the next.
    const fn to_next<K: Word>() -> Self {
        Self { bits: K::WIDTH, split: false }
    }

    fn kind(self) -> usize {
        if self.split { Self::KINDS - 1 } else { self.bits as usize }
    }

    fn of_kind(kind: usize) -> Self {
        if kind == Self::KINDS - 1 { Self::SPLIT } else { Self { bits: kind as u32, split: false } }
    }
}

/// How often items end in which way.
#[derive(Debug)]
pub(super) struct Ends<K> {
    items: Items<K>,
    counts: [usize; End::KINDS],
    /// The states, or-ed.
    states: State,
}

impl<K: Word> Default for Ends<K> {
    fn default() -> Self {
        Self { items: Items::default(), counts: [0; End::KINDS], states: 0 }
    }
}

impl<K: Word> Ends<K> {
    /// Counts the items of a run.
    #[inline(always)]
    pub(super) fn count(&mut self, run: Run<K>) {
        let Self { items, counts, states } = self;
        items.push(run, |_, end, state| {
            counts[end.kind()] += 1;
            *states |= state;
        });
    }
}

/// Packs the items of runs into blocks.
#[derive(Debug)]
pub(super) struct TreeBuilder<K> {
    items: Items<K>,
    /// The number of each kind of end.
    numbers: [u8; End::KINDS],
    ends: Box<[End]>,
    packed: Packed<K>,
}

#[derive(Debug)]
struct Packed<K> {
    packer: Packer<K>,
    /// With room for as many as there may be: a vector that grows would be held twice whenever it moves.
    blocks: Vec<Block>,
    lowest_keys: Vec<K>,
}

impl<K: Word> TreeBuilder<K> {
    /// A builder for the runs that were counted.
    pub(super) fn new(mut ends: Ends<K>) -> Self {
        let Ends { items, counts, states } = &mut ends;
        items.finish(|_, end, _| counts[end.kind()] += 1);
        let mut kinds: Vec<usize> = (0..End::KINDS).filter(|&kind| counts[kind] > 0).collect();
        kinds.sort_by_key(|&kind| std::cmp::Reverse(counts[kind]));
        let mut numbers = [0; End::KINDS];
        (0..).zip(&kinds).for_each(|(number, &kind)| numbers[kind] = number);
        let widest = K::WIDTH + (kinds.len() as u32).width() + states.width();
        let most = counts.iter().sum::<usize>() / Block::records(widest) + 1;
        let packed =
            Packed { packer: Packer::new(), blocks: Vec::with_capacity(most), lowest_keys: Vec::new() };
        Self { items: Items::default(), numbers, ends: kinds.into_iter().map(End::of_kind).collect(), packed }
    }

    /// Packs the items of a run.
    #[inline(always)]
    pub(super) fn push(&mut self, run: Run<K>) {
        let Self { items, numbers, packed, .. } = self;
        items
            .push(run, |key, end, state| packed.push(Record { key, end: numbers[end.kind()].into(), state }));
    }

    /// The tree, after the last run.
    pub(super) fn finish(self) -> Tree<K> {
        let Self { items, numbers, ends, mut packed } = self;
        items.finish(|key, end, state| packed.push(Record { key, end: numbers[end.kind()].into(), state }));
        let last = packed.packer.block();
        packed.take(packed.packer.lowest_key(), last);
        Tree::new(packed.blocks.into(), &packed.lowest_keys, &ends)
    }
}

impl<K: Word> Packed<K> {
    fn push(&mut self, record: Record<K>) {
        let mut full = None;
        self.packer.push(record, |packer| full = Some((packer.lowest_key(), packer.block())));
        if let Some((lowest_key, block)) = full {
            self.take(lowest_key, block);
        }
    }

    fn take(&mut self, lowest_key: K, block: Block) {
        self.lowest_keys.push(lowest_key);
        self.blocks.push(block);
    }
}

/// Makes items of runs: first key, end and state of each. The first item is at 0.
#[derive(Debug)]
struct Items<K> {
    /// Nothing yet ends what lies before the next run.
    open: bool,
    /// There is no item yet.
    none: bool,
    key: std::marker::PhantomData<K>,
}

impl<K> Default for Items<K> {
    fn default() -> Self {
        Self { open: true, none: true, key: std::marker::PhantomData }
    }
}

impl<K: Word> Items<K> {
    #[inline(always)]
    fn push(&mut self, run: Run<K>, mut emit: impl FnMut(K, End, State)) {
        let Run { first, last, content } = run;
        if self.none && first > K::ZERO {
            emit(K::ZERO, End::to_next::<K>(), UNLISTED);
            self.open = false;
        }
        self.none = false;
        let open = std::mem::replace(&mut self.open, false);
        match content {
            Content::Split => emit(first, End::SPLIT, UNLISTED),
            Content::State(UNLISTED) if open => emit(first, End::to_next::<K>(), UNLISTED),
            Content::State(UNLISTED) => {}
            Content::State(state) => {
                let bits = (first ^ last).width();
                self.open = last & K::ones(bits) != K::ones(bits);
                let end = if self.open { End::to_next::<K>() } else { End { bits, split: false } };
                emit(first, end, state);
            }
        }
    }

    /// Without any run nothing is listed, which takes an item too.
    fn finish(&self, mut emit: impl FnMut(K, End, State)) {
        if self.none {
            emit(K::ZERO, End::to_next::<K>(), UNLISTED);
        }
    }
}
