//! Names with records of their own: the apex, the test name, zone cuts, and generic records.

use super::Node;
use super::nodes::{At, Nodes};
use crate::dataset::GenericTable;
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

impl<'z> Single<'z> {
    fn node(&self) -> Node<'z> {
        Node { key: Vec::new(), own: self.own.clone(), below: self.nothing.clone() }
    }
}

impl<'z> Nodes<'z> for Single<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        Box::new(std::iter::once(self.node()))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        match key.is_empty() {
            true => At::Node(self.node()),
            false => At::Below(self.nothing.clone()),
        }
    }

    fn last_before(&self, bound: &[u8]) -> Option<Vec<u8>> {
        (!bound.is_empty()).then(Vec::new)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        bound.is_empty().then(Vec::new)
    }
}

impl<'z> Nodes<'z> for GenericNames<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let dropin = self.dropin;
        Box::new(self.table.iter().map(move |(key, sets)| {
            let mut own = Found::new(dropin);
            own.push_generic(sets);
            Node { key: key.to_vec(), own, below: Found::new(dropin) }
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        let nothing = Found::new(self.dropin);
        match self.table.get(key) {
            Some(sets) => {
                let mut own = nothing.clone();
                own.push_generic(sets);
                At::Node(Node { key: key.to_vec(), own, below: nothing })
            }
            None => At::Below(nothing),
        }
    }

    fn last_before(&self, bound: &[u8]) -> Option<Vec<u8>> {
        self.table.last_before(bound).map(<[u8]>::to_vec)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        self.table.first_from(bound).map(<[u8]>::to_vec)
    }
}
