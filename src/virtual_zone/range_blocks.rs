//! Range records as names: the blocks that a walk from the root meets, and no others.
//!
//! A block comes before those that it names, and these are disjoint and in order: which is canonical
//! order. To know which blocks lie at and round a name, those above it are made, unless they are in memory:
//! anyone can ask for names that need them, so whoever answers says how many there may be ([`Limit`]).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::nodes::{self, At, Labels, Nodes, Tree};
use super::{Node, common};
use crate::range_record::Prefix;
use crate::zone::{Block, Found, Ranges};

/// The blocks of a list; the root's key is empty.
pub(super) struct RangeBlocks<'z> {
    pub(super) ranges: &'z Ranges,
    pub(super) dropin: bool,
    pub(super) limit: Rc<Limit<'z>>,
    /// The blocks that were looked at last: those of one name and its neighbours are few, and each is needed
    /// more than once.
    pub(super) seen: RefCell<Vec<(Prefix, Arc<Block>)>>,
}

/// How many blocks may be made, and whether that was enough.
pub(super) struct Limit<'z> {
    may: Box<dyn Fn(usize) -> bool + 'z>,
    exceeded: Cell<bool>,
}

/// How many blocks are kept at hand.
const MOST_SEEN: usize = 64;

impl<'z> Limit<'z> {
    /// `may` is asked before a block of that many octets at most is made.
    pub(super) fn new(may: impl Fn(usize) -> bool + 'z) -> Self {
        Self { may: Box::new(may), exceeded: Cell::new(false) }
    }

    /// True once a block was needed that was not to be made: names were missing since.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }
}

impl<'z> RangeBlocks<'z> {
    /// The block of a prefix that is named; `None` beyond the limit.
    fn block(&self, prefix: Prefix) -> Option<Arc<Block>> {
        let mut seen = self.seen.borrow_mut();
        if let Some((_, block)) = seen.iter().find(|(other, _)| *other == prefix) {
            return Some(block.clone());
        }
        let Some(block) = self.ranges.block_if(prefix, &self.limit.may) else {
            self.limit.exceeded.set(true);
            return None;
        };
        if seen.len() == MOST_SEEN {
            seen.clear();
        }
        seen.push((prefix, block.clone()));
        Some(block)
    }

    /// The blocks that a block names, each with what its key has more.
    fn children(&self, above: Prefix) -> impl DoubleEndedIterator<Item = (Labels, Prefix)> {
        let named = self.block(above).map(|block| block.named.to_vec()).unwrap_or_default();
        named.into_iter().map(move |prefix| (key(prefix, above.length()), prefix))
    }
}

impl<'z> Nodes<'z> for RangeBlocks<'z> {
    /// The blocks are made one after the other, and not kept.
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let (ranges, dropin) = (self.ranges, self.dropin);
        // Blocks that were named and not visited, the next one on top: at most those of one path.
        let mut named = vec![Prefix::ROOT];
        Box::new(std::iter::from_fn(move || {
            let prefix = named.pop()?;
            let block = Arc::new(ranges.make(prefix)?);
            named.extend(block.named.iter().rev());
            let mut own = Found::new(dropin);
            own.push_block(ranges, prefix, Some(block));
            Some(Node { key: key(prefix, 0).to_vec(), own, below: Found::new(dropin) })
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        nodes::at(self, key)
    }

    fn last_before(&self, bound: &[u8], than: &[u8]) -> Option<Vec<u8>> {
        nodes::last_before(self, bound, than)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        nodes::first_from(self, bound)
    }

    fn encloser(&self, key: &[u8]) -> Option<usize> {
        let (length, deepest) = self.path(key).pop()?;
        let towards = self.children(deepest).map(|(labels, _)| common(&key[length..], &labels)).max();
        Some(length + towards.unwrap_or(0))
    }
}

impl<'z> Tree<'z> for RangeBlocks<'z> {
    type Place = Prefix;

    fn root(&self) -> Prefix {
        Prefix::ROOT
    }

    fn path(&self, bound: &[u8]) -> Vec<(usize, Prefix)> {
        let (mut length, mut prefix) = (0, Prefix::ROOT);
        let mut path = vec![(length, prefix)];
        while let Some((labels, named)) =
            self.children(prefix).find(|(labels, _)| bound[length..].starts_with(labels))
        {
            (length, prefix) = (length + labels.len(), named);
            path.push((length, prefix));
        }
        path
    }

    fn last_child(&self, place: &Prefix, bound: Option<&[u8]>) -> Option<(Labels, Prefix)> {
        let is_before = |labels: &Labels| bound.is_none_or(|bound| **labels < *bound);
        self.children(*place).rev().find(|(labels, _)| is_before(labels))
    }

    fn first_child(&self, place: &Prefix, bound: &[u8]) -> Option<(Labels, Prefix)> {
        self.children(*place).find(|(labels, _)| **labels >= *bound)
    }

    fn node(&self, key: &[u8], place: &Prefix) -> Node<'z> {
        let mut own = Found::new(self.dropin);
        if let Some(block) = self.block(*place) {
            own.push_block(self.ranges, *place, Some(block));
        }
        Node { key: key.to_vec(), own, below: Found::new(self.dropin) }
    }
}

/// The labels of a block's name, those of its first `above` bits left out.
fn key(prefix: Prefix, above: u8) -> Labels {
    let mut key = Labels::new();
    for nibble in above / 4..prefix.length() / 4 {
        let digit = (prefix.first() >> (124 - 4 * nibble)) as usize & 0xf;
        key.extend([b"0123456789abcdef"[digit], 0]);
    }
    key
}
