//! One name of the virtual zone, and its neighbours: what an answer from a signed zone is made of.

use super::{VirtualName, VirtualZone};
use crate::zone::RecordSets;

/// A wildcard label as it stands in a key.
const ASTERISK: &[u8] = b"*\0";

/// What the zone says of a name, as RFC 4592 reads it. All keys are canonical (see
/// [`crate::name::Name::key`]) and left of the apex, which is the empty key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<'z> {
    /// The name exists.
    Name {
        /// What it owns; nothing at an empty non-terminal.
        records: RecordSets<'z>,
    },
    /// The name does not exist, and the wildcard under its closest encloser answers.
    Wildcard {
        /// The closest encloser: the wildcard is `*.` and this name.
        encloser: Vec<u8>,
        /// What the wildcard owns; never empty.
        records: RecordSets<'z>,
    },
    /// Neither the name exists nor a wildcard for it.
    Nothing {
        /// The closest encloser.
        encloser: Vec<u8>,
    },
    /// The name lies below a zone cut: another zone speaks of it.
    Delegated {
        /// The name of that zone.
        cut: Vec<u8>,
        /// What this zone has there: NS, and DS if it says that the other one is signed.
        records: RecordSets<'z>,
    },
}

/// An NSEC record: a name that owns records, and the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap<'z> {
    /// The owner.
    pub owner: Vec<u8>,
    /// What it owns; never empty.
    pub records: RecordSets<'z>,
    /// The next name that owns records; the apex behind the last.
    pub next: Vec<u8>,
}

impl<'z> VirtualZone<'z> {
    /// What the zone says of the name with this key.
    pub fn find(&self, key: &[u8]) -> Match<'z> {
        let names: Vec<VirtualName<'z>> = self.names().collect();
        let exists = |key: &[u8]| names.iter().any(|name| name.key.starts_with(key));
        let records = |key: &[u8]| names.iter().find(|name| name.key == key).map(|name| name.records.clone());
        if exists(key) {
            return Match::Name { records: records(key).unwrap_or_default() };
        }
        let ends = (0..key.len()).rev().filter(|&end| end == 0 || key[end - 1] == 0);
        let encloser = ends.map(|end| &key[..end]).find(|key| exists(key)).unwrap_or_default().to_vec();
        match records(&[&encloser[..], ASTERISK].concat()) {
            Some(records) => Match::Wildcard { encloser, records },
            None => Match::Nothing { encloser },
        }
    }

    /// The NSEC record that the name with this key owns, or that covers it: of the last name at or
    /// before it that owns records.
    pub fn gap(&self, key: &[u8]) -> Gap<'z> {
        let mut names = self.names().peekable();
        let mut at = VirtualName { key: Vec::new(), records: RecordSets::new() };
        while let Some(name) = names.next_if(|name| *name.key <= *key) {
            at = name;
        }
        let next = names.next().map(|name| name.key).unwrap_or_default();
        Gap { owner: at.key, records: at.records, next }
    }
}
