//! A domain list as names and wildcards.
//!
//! A listed name is a name, a listed `*.name` is the same wildcard, and both mean what they mean in
//! the list as long as no other name exists in between: so each existing name says of itself, and of
//! the names below it, what the entries above it say, unless it has an entry of its own.

use super::nodes::{At, Nodes};
use super::{Node, labels_of};
use crate::dataset::NameList;
use crate::name_table::NameStates;
use crate::prefix_table::State;
use crate::zone::{Found, Subject, entry_text};

/// The names of a list.
#[derive(Clone, Copy)]
pub(super) struct DomainNames<'z> {
    pub(super) data: &'z NameList,
    pub(super) dropin: bool,
}

impl<'z> DomainNames<'z> {
    /// What an entry says.
    fn found(&self, entry: Option<(&[u8], State)>) -> Found<'z> {
        let mut found = Found::new(self.dropin);
        if let Some((key, state)) = entry {
            let labels = labels_of(key);
            let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
            found.push_state(&self.data.listing, state, &Subject::Name(entry_text(&labels)));
        }
        found
    }

    /// The node of an entry; with the nearest entry above it that speaks of names below.
    fn node(&self, key: &[u8], states: NameStates, above: Option<(&[u8], State)>) -> Node<'z> {
        let entry = |state: Option<State>| state.map(|state| (key, state)).or(above);
        Node {
            key: key.to_vec(),
            own: self.found(entry(states.exact)),
            below: self.found(entry(states.below)),
        }
    }
}

impl<'z> Nodes<'z> for DomainNames<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let names = *self;
        // The entries that speak of the names below them, each below the one before.
        let mut open: Vec<(Vec<u8>, State)> = Vec::new();
        Box::new(self.data.table.entries_from(&[]).map(move |(key, states)| {
            while open.pop_if(|(above, _)| !key.starts_with(above)).is_some() {}
            let node = names.node(&key, states, open.last().map(|(above, state)| (&above[..], *state)));
            if let Some(state) = states.below {
                open.push((key, state));
            }
            node
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        let (states, above) = self.data.table.entry(key);
        let above = above.map(|(length, state)| (&key[..length], state));
        let Some(states) = states else { return At { own: None, below: self.found(above) } };
        let Node { own, below, .. } = self.node(key, states, above);
        At { own: Some(own), below }
    }

    fn last_before(&self, bound: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        self.data.table.last_before(bound)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        self.data.table.entries_from(bound).next().map(|(key, _)| key)
    }
}
