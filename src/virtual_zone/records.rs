//! Names with records of their own: the apex, the test name, zone cuts, and generic records.

use super::Node;
use super::nodes::{At, Nodes};
use crate::dataset::{GenericSet, GenericTable};
use crate::zone::Found;

/// One name, which says nothing of those below it; its key is empty.
#[derive(Clone)]
pub(super) struct Single<'z> {
    pub(super) own: Found<'z>,
    pub(super) nothing: Found<'z>,
}

/// The owners of generic records.
#[derive(Clone, Copy)]
pub(super) struct GenericNames<'z> {
    pub(super) table: &'z GenericTable,
    pub(super) dropin: bool,
}

impl<'z> GenericNames<'z> {
    fn own(&self, sets: &'z [GenericSet]) -> Found<'z> {
        let mut own = Found::new(self.dropin);
        own.push_generic(sets);
        own
    }
}

impl<'z> Nodes<'z> for Single<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let node = Node { key: Vec::new(), own: self.own.clone(), below: self.nothing.clone() };
        Box::new(std::iter::once(node))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        At { own: key.is_empty().then(|| self.own.clone()), below: self.nothing.clone() }
    }

    fn last_before(&self, bound: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        (!bound.is_empty()).then(Vec::new)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        bound.is_empty().then(Vec::new)
    }
}

impl<'z> Nodes<'z> for GenericNames<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let names = *self;
        Box::new(self.table.iter().map(move |(key, sets)| Node {
            key: key.to_vec(),
            own: names.own(sets),
            below: Found::new(names.dropin),
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        let own = self.table.get(key).map(|sets| self.own(sets));
        At { own, below: Found::new(self.dropin) }
    }

    fn last_before(&self, bound: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        self.table.last_before(bound).map(<[u8]>::to_vec)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        self.table.first_from(bound).map(<[u8]>::to_vec)
    }
}
