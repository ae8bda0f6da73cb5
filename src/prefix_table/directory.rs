//! The directory of a tree: which block a key belongs to, by the lowest key of each.

use super::simd::{self, Machine};
use super::word::Word;

/// Keys in a node.
const FANOUT: usize = 16;

/// The levels of at most so many nodes together are taken to be in the cache: nothing is gained by asking
/// for them ahead.
const NEAR_NODES: usize = 512;

/// A static B+ tree without pointers.
#[derive(Debug)]
pub(super) struct Directory<K: Word> {
    /// The levels that are in the cache, from the root down.
    near: Box<[Level]>,
    /// Those below them.
    far: Box<[Level]>,
    /// The nodes of all levels, the bottom level first, the root last.
    nodes: Box<[Node<K>]>,
    /// How many places the bottom level is filled up with.
    filling: usize,
}

/// One level. Its first node is filled up in front with the lowest key there is, which is also the first
/// that is there: so no search ends in the filling.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// What leads from a node of this level, with all its keys at most the one wanted, to one of the
    /// next: sixteen times its place, and this.
    next: usize,
}

/// Keys are kept mirrored: in the form in which a processor compares many at once.
#[repr(align(64))]
#[derive(Clone, Debug)]
struct Node<K: Word>([K::Mirrored; FANOUT]);

impl<K: Word> Directory<K> {
    /// The directory of ascending keys, of which the first is 0.
    pub(super) fn build(lowest_keys: &[K]) -> Self {
        let mut counts = vec![lowest_keys.len()]; // keys of each level, the bottom level first
        while let Some(&count) = counts.last()
            && count > FANOUT
        {
            counts.push(count.div_ceil(FANOUT));
        }
        let mut nodes: Vec<Node<K>> =
            Vec::with_capacity(counts.iter().map(|keys| keys.div_ceil(FANOUT)).sum());
        let mut starts = vec![0]; // where the nodes of each level begin
        let mut levels = Vec::new();
        for &keys in &counts {
            let (start, filling) = (nodes.len(), filling(keys));
            let below = starts[starts.len() - 1];
            for node in 0..keys.div_ceil(FANOUT) {
                let key = |place: usize| match place.checked_sub(filling) {
                    None => K::ZERO.mirrored(),
                    Some(place) if start == 0 => lowest_keys[place].mirrored(),
                    Some(place) => nodes[below + place].0[0],
                };
                let node = Node(std::array::from_fn(|index| key(node * FANOUT + index)));
                nodes.push(node);
            }
            levels.push(Level { next: (below + FANOUT - 1).wrapping_sub(FANOUT * start + filling) });
            starts.push(start);
        }
        levels.reverse();
        let near = starts.iter().skip(1).rev().take_while(|&start| nodes.len() - start <= NEAR_NODES);
        let far = levels.split_off(near.count());
        Self {
            near: levels.into(),
            far: far.into(),
            nodes: nodes.into(),
            filling: filling(lowest_keys.len()),
        }
    }

    /// The place of the last lowest key that is at most `key`.
    #[inline(always)]
    pub(super) fn search(&self, key: K, machine: Machine) -> usize {
        let near = self.enter(key, machine);
        self.far.iter().fold(near, |node, level| level.descend(&self.nodes, node, key, machine))
    }

    /// As [`Self::search`] for many keys, a level at a time, so that their cache misses overlap; in the
    /// end asks for the `items` that are there.
    #[inline(always)]
    pub(super) fn search_batch<T>(&self, keys: &[K], places: &mut [usize], items: &[T], machine: Machine) {
        self.step(
            keys,
            places,
            self.far.is_empty(),
            items,
            #[inline(always)]
            |_, key| self.enter(key, machine),
        );
        for (depth, level) in (1..).zip(&self.far) {
            let level = *level;
            self.step(
                keys,
                places,
                depth == self.far.len(),
                items,
                #[inline(always)]
                |node, key| level.descend(&self.nodes, node, key, machine),
            );
        }
    }

    /// Takes the places of all keys one step down, and asks for what is there: nodes, or the `items` behind
    /// the `last` step.
    #[inline(always)]
    fn step<T>(
        &self,
        keys: &[K],
        places: &mut [usize],
        last: bool,
        items: &[T],
        down: impl Fn(usize, K) -> usize,
    ) {
        let found = places.iter_mut().zip(keys).map(
            #[inline(always)]
            |(place, &key)| {
                *place = down(*place, key);
                *place
            },
        );
        if last { simd::prefetch_each(items, found) } else { simd::prefetch_each(&self.nodes, found) }
    }

    /// Goes down the levels that are in the cache.
    #[inline(always)]
    fn enter(&self, key: K, machine: Machine) -> usize {
        let root = self.nodes.len() - 1;
        self.near.iter().fold(root, |node, level| level.descend(&self.nodes, node, key, machine))
    }

    /// The lowest key at a place.
    #[inline(always)]
    pub(super) fn lowest_key(&self, place: usize) -> K {
        let place = place + self.filling;
        K::of_mirrored(self.nodes[place / FANOUT].0[place % FANOUT])
    }

    /// The memory behind the directory, in octets.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.near) + size_of_val(&*self.far) + size_of_val(&*self.nodes)
    }
}

/// How many places fill up a level of so many keys.
fn filling(keys: usize) -> usize {
    keys.next_multiple_of(FANOUT) - keys
}

impl Level {
    /// From a node of this level to the one of the next in which a key is, or to its place in the last.
    #[inline(always)]
    fn descend<K: Word>(&self, nodes: &[Node<K>], node: usize, key: K, machine: Machine) -> usize {
        let above = key.count_above(&nodes[node].0, machine);
        // The first key of a node on the way is at most the one wanted, so that it is not above.
        (FANOUT * node).wrapping_add(self.next).wrapping_sub(above)
    }
}
