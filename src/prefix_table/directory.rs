//! The directory of a tree: which block a key belongs to, by the lowest key of each.

use super::simd;
use super::word::Word;

/// Keys in a node.
const FANOUT: usize = 16;

/// A static B+ tree without pointers.
#[derive(Debug)]
pub(super) struct Directory<K> {
    /// The levels, from the root down.
    levels: Box<[Level]>,
    /// The nodes of all levels, the bottom level first, the root last.
    nodes: Box<[Node<K>]>,
}

/// One level.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Its first node.
    start: usize,
    /// How many keys it has. The last node is filled up with the highest key there is.
    keys: usize,
}

#[repr(align(64))]
#[derive(Clone, Debug)]
struct Node<K>([K; FANOUT]);

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
        let mut levels = Vec::new();
        for &keys in &counts {
            let below = levels.last().map_or(0, |level: &Level| level.start);
            let start = nodes.len();
            for node in 0..keys.div_ceil(FANOUT) {
                let key = |place: usize| match place {
                    _ if place >= keys => K::ONES,
                    _ if start == 0 => lowest_keys[place],
                    _ => nodes[below + place].0[0],
                };
                let node = Node(std::array::from_fn(|index| key(node * FANOUT + index)));
                nodes.push(node);
            }
            levels.push(Level { start, keys });
        }
        levels.reverse();
        Self { levels: levels.into(), nodes: nodes.into() }
    }

    /// The place of the last lowest key that is at most `key`.
    #[inline(always)]
    pub(super) fn search(&self, key: K) -> usize {
        let mut place = 0;
        for level in &self.levels {
            place = self.descend(level, place, key);
        }
        place
    }

    /// As [`Self::search`] for many keys, a level at a time, so that their cache misses overlap.
    #[inline(always)]
    pub(super) fn search_batch(&self, keys: &[K], places: &mut [usize]) {
        places.fill(0);
        for (depth, level) in self.levels.iter().enumerate() {
            for (place, &key) in places.iter_mut().zip(keys) {
                *place = self.descend(level, *place, key);
                if let Some(below) = self.levels.get(depth + 1) {
                    let node = &self.nodes[below.start + *place].0;
                    simd::prefetch(&node[0]);
                    simd::prefetch(&node[FANOUT / 2]);
                }
            }
        }
    }

    /// From a node of one level to the place of `key` in that level, which is a node of the next.
    #[inline(always)]
    fn descend(&self, level: &Level, node: usize, key: K) -> usize {
        let keys = &self.nodes[level.start + node].0;
        let mut reached = 0;
        for &first in keys {
            reached += usize::from(first <= key);
        }
        // The first key of a node on the way is at most `key`; the highest key also reaches the filling.
        (node * FANOUT + reached - 1).min(level.keys - 1)
    }

    /// The lowest key at a place.
    #[inline(always)]
    pub(super) fn lowest_key(&self, place: usize) -> K {
        self.nodes[place / FANOUT].0[place % FANOUT]
    }

    /// The memory behind the directory, in octets.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.levels) + size_of_val(&*self.nodes)
    }
}
