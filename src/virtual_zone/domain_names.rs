//! A domain list as names and wildcards.
//!
//! A listed name is a name, a listed `*.name` is the same wildcard, and both mean what they mean in
//! the list as long as no other name exists in between: so each existing name says of itself, and of
//! the names below it, what the entries above it say, unless it has an entry of its own.

use super::{Node, labels_of};
use crate::dataset::NameList;
use crate::prefix_table::State;
use crate::zone::{Found, Subject, entry_text};

/// The names of a list with its own labels under `mount`, in canonical order.
pub(super) fn nodes<'z>(
    data: &'z NameList,
    mount: Vec<u8>,
    dropin: bool,
) -> impl Iterator<Item = Node<'z>> + 'z {
    // The entries that speak of the names below them, each below the one before.
    let mut open: Vec<(Vec<u8>, State)> = Vec::new();
    let found = move |entry: Option<(&[u8], State)>| {
        let mut found = Found::new(dropin);
        if let Some((key, state)) = entry {
            let labels = labels_of(key);
            let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
            found.push_state(&data.listing, state, &Subject::Name(entry_text(&labels)));
        }
        found
    };
    data.table.entries_from(&[]).map(move |(key, states)| {
        while open.pop_if(|(above, _)| !key.starts_with(above)).is_some() {}
        let nearest =
            |open: &[(Vec<u8>, State)]| found(open.last().map(|(above, state)| (&above[..], *state)));
        let own = states.exact.map_or_else(|| nearest(&open), |state| found(Some((&key, state))));
        if let Some(state) = states.below {
            open.push((key.clone(), state));
        }
        Node { key: [&mount[..], &key].concat(), own, below: nearest(&open) }
    })
}
