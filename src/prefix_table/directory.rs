//! The directory of a tree: which block a key belongs to, by the lowest key of each.

use super::simd;
use super::word::Word;

/// Keys in a node.
const FANOUT: usize = 16;

/// A static B+ tree without pointers.
#[derive(Debug)]
pub(super) struct Directory<K: Word> {
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
        let mut levels = Vec::new();
        for &keys in &counts {
            let below = levels.last().map_or(0, |level: &Level| level.start);
            let start = nodes.len();
            for node in 0..keys.div_ceil(FANOUT) {
                let key = |place: usize| match place {
                    _ if place >= keys => K::ONES.mirrored(),
                    _ if start == 0 => lowest_keys[place].mirrored(),
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
        let key = key.mirrored();
        self.levels.iter().fold(0, |place, level| level.descend(self.nodes_of(level), place, key))
    }

    /// As [`Self::search`] for many keys, a level at a time, so that their cache misses overlap; in the
    /// end asks for the `items` that are there.
    #[inline(always)]
    pub(super) fn search_batch<T>(&self, keys: &[K], places: &mut [usize], items: &[T]) {
        places.fill(0);
        for (depth, level) in self.levels.iter().enumerate() {
            let (level, nodes) = (*level, self.nodes_of(level));
            let places = places.iter_mut().zip(keys);
            let found = places.map(
                #[inline(always)]
                |(place, key)| {
                    *place = level.descend(nodes, *place, key.mirrored());
                    *place
                },
            );
            match self.levels.get(depth + 1) {
                Some(below) => simd::prefetch_each(self.nodes_of(below), found),
                None => simd::prefetch_each(items, found),
            }
        }
    }

    #[inline(always)]
    fn nodes_of(&self, level: &Level) -> &[Node<K>] {
        &self.nodes[level.start..]
    }

    /// The lowest key at a place.
    #[inline(always)]
    pub(super) fn lowest_key(&self, place: usize) -> K {
        K::of_mirrored(self.nodes[place / FANOUT].0[place % FANOUT])
    }

    /// The memory behind the directory, in octets.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.levels) + size_of_val(&*self.nodes)
    }
}

impl Level {
    /// From a node of this level to the place of a mirrored key in it, which is a node of the next.
    #[inline(always)]
    fn descend<K: Word>(&self, nodes: &[Node<K>], node: usize, key: K::Mirrored) -> usize {
        let mut above = 0;
        for &first in &nodes[node].0 {
            above += usize::from(first < key);
        }
        // The first key of a node on the way is at most the one wanted, so that it is not above; the
        // highest key there is also reaches the filling.
        (node * FANOUT + FANOUT - 1 - above).min(self.keys - 1)
    }
}
