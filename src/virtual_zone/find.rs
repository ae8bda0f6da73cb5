//! One name of the virtual zone, and its neighbours: what an answer from a signed zone is made of.

use std::cmp::Ordering;

use super::sources::behind;
use super::{ANY, ASTERISK, VirtualZone, fits, marker};
use crate::zone::{EmptyNonTerminals, Found, RecordSets};

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

/// A name that exists, or the wildcard under it.
#[derive(Clone, Copy)]
struct Candidate<'k> {
    name: &'k [u8],
    is_wildcard: bool,
}

impl<'z> VirtualZone<'z> {
    /// What the zone says of the name with this key.
    pub fn find(&self, key: &[u8]) -> Match<'z> {
        if let Some((cut, sets)) = self.zone.delegation_above(key) {
            let mut records = Found::new(self.zone.options().dropin);
            records.push_generic(sets);
            return Match::Delegated { cut: cut.to_vec(), records: records.records(ANY) };
        }
        let encloser = self.sources.iter().map(|source| source.encloser(key)).max().unwrap_or(0);
        if encloser == key.len() {
            return Match::Name { records: self.records(Candidate { name: key, is_wildcard: false }) };
        }
        let encloser = &key[..encloser];
        let wildcard = Candidate { name: encloser, is_wildcard: true };
        let records = self.records(wildcard);
        match key.strip_prefix(&wildcard.key()[..]).filter(|_| !records.is_empty()) {
            Some([]) => Match::Name { records },
            // A wildcard is itself the closest encloser of the names below it.
            Some(_) => Match::Nothing { encloser: wildcard.key() },
            None if records.is_empty() => Match::Nothing { encloser: encloser.to_vec() },
            None => Match::Wildcard { encloser: encloser.to_vec(), records },
        }
    }

    /// The NSEC record that the name with this key owns, or that covers it: of the last name at or
    /// before it that owns records.
    pub fn gap(&self, key: &[u8]) -> Gap<'z> {
        let bound = behind(key);
        let before = self.last_before(&bound);
        let after = self.first_from(&bound);
        let next = self.next_owner(bound.clone(), before.as_deref(), after.clone());
        let (owner, records) = self.last_owner(bound, before, after);
        Gap { owner, records, next }
    }

    /// The last name before `bound` that owns records, if these are the last existing name before it and the
    /// first one from it on.
    ///
    /// What a source has between two of its neighbours are only names above the second, and wildcards under
    /// names at or above either of them; so it is with all of them together.
    fn last_owner(
        &self,
        mut bound: Vec<u8>,
        mut before: Option<Vec<u8>>,
        mut after: Option<Vec<u8>>,
    ) -> (Vec<u8>, RecordSets<'z>) {
        while let Some(last) = before {
            let between =
                |owner: &Candidate<'_>| owner.compare(&last).is_ge() && owner.compare(&bound).is_lt();
            for owner in candidates(Some(&last), after.as_deref(), between).into_iter().rev() {
                let records = self.records(owner);
                if !records.is_empty() {
                    return (owner.key(), records);
                }
            }
            before = self.last_before(&last);
            after = Some(last.clone());
            bound = last;
        }
        // Only in a zone whose apex owns nothing.
        (Vec::new(), RecordSets::new())
    }

    /// The first name from `bound` on that owns records, else the apex. As for [`Self::last_owner`].
    fn next_owner(&self, mut bound: Vec<u8>, before: Option<&[u8]>, mut after: Option<Vec<u8>>) -> Vec<u8> {
        let mut before = before.map(<[u8]>::to_vec);
        loop {
            let between = |owner: &Candidate<'_>| {
                let is_behind = |after: &Vec<u8>| owner.compare(after).is_gt();
                owner.compare(&bound).is_ge() && !after.as_ref().is_some_and(is_behind)
            };
            let owners = candidates(before.as_deref(), after.as_deref(), between);
            if let Some(owner) = owners.into_iter().find(|owner| self.owns(*owner)) {
                return owner.key();
            }
            let Some(name) = after else { return Vec::new() };
            bound = behind(&name);
            after = self.first_from(&bound);
            before = Some(name);
        }
    }

    /// What a name that exists owns, or the wildcard under it.
    fn records(&self, owner: Candidate<'_>) -> RecordSets<'z> {
        let (own, below) = self.at(owner.name);
        if owner.is_wildcard {
            return if self.has_wildcard(owner.name, &below) {
                below.records(ANY)
            } else {
                RecordSets::new()
            };
        }
        let mut records = own.records(ANY);
        if records.is_empty() && self.is_marked(owner.name, &below) {
            records.push(marker(self.zone));
        }
        records
    }

    /// True if [`Self::records`] gives any.
    fn owns(&self, owner: Candidate<'_>) -> bool {
        if !owner.is_wildcard && self.empty_non_terminals == EmptyNonTerminals::Marker {
            return true;
        }
        let (own, below) = self.at(owner.name);
        match owner.is_wildcard {
            true => self.has_wildcard(owner.name, &below),
            false => own.has_records() || self.is_marked(owner.name, &below),
        }
    }

    fn has_wildcard(&self, name: &[u8], below: &Found<'z>) -> bool {
        below.has_records() && fits(self.zone, name, ASTERISK.len())
    }

    /// True if a name that exists has the marker, should it own nothing else.
    fn is_marked(&self, name: &[u8], below: &Found<'z>) -> bool {
        match self.empty_non_terminals {
            EmptyNonTerminals::Marker => true,
            EmptyNonTerminals::Plain => {
                let next = self.first_from(&behind(name));
                !self.has_wildcard(name, below) && !next.is_some_and(|next| next.starts_with(name))
            }
        }
    }

    /// What is said of an existing name, and of the names below it.
    fn at(&self, key: &[u8]) -> (Found<'z>, Found<'z>) {
        let nothing = Found::new(self.zone.options().dropin);
        let (mut own, mut below) = (nothing.clone(), nothing);
        self.sources.iter().for_each(|source| source.add(key, &mut own, &mut below));
        (own, below)
    }

    /// The last name before `bound` that a source makes exist.
    fn last_before(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let mut last: Option<Vec<u8>> = None;
        for source in &self.sources {
            let other = source.last_before(bound, last.as_deref().unwrap_or_default());
            last = last.max(other);
        }
        last
    }

    /// The first name from `bound` on that a source makes exist.
    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let mut first: Option<Vec<u8>> = None;
        for source in &self.sources {
            let other = source.first_from(bound, first.as_deref());
            first = match (first, other) {
                (Some(first), Some(other)) => Some(first.min(other)),
                (first, other) => first.or(other),
            };
        }
        first
    }
}

impl Candidate<'_> {
    fn key(&self) -> Vec<u8> {
        [self.name, if self.is_wildcard { ASTERISK } else { &[] }].concat()
    }

    /// Compares [`Self::key`].
    fn compare(&self, key: &[u8]) -> Ordering {
        match key.strip_prefix(self.name) {
            Some(rest) if self.is_wildcard => ASTERISK.cmp(rest),
            Some(rest) => 0.cmp(&rest.len()),
            None => self.name.cmp(key),
        }
    }
}

/// The names at and above two neighbours and the wildcards under them, as far as wanted, in canonical order.
fn candidates<'k>(
    before: Option<&'k [u8]>,
    after: Option<&'k [u8]>,
    is_wanted: impl Fn(&Candidate<'k>) -> bool,
) -> Vec<Candidate<'k>> {
    let names = [before, after].into_iter().flatten().flat_map(|name| enclosers(name).chain([name]));
    let owners = names.flat_map(|name| [false, true].map(|is_wildcard| Candidate { name, is_wildcard }));
    let mut owners: Vec<_> = owners.filter(is_wanted).collect();
    owners.sort_by_key(Candidate::key);
    owners.dedup_by_key(|owner| owner.key());
    owners
}

/// The keys above a key, from the apex down.
fn enclosers(key: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    (0..key.len()).filter(|&end| end == 0 || key[end - 1] == 0).map(|end| &key[..end])
}
