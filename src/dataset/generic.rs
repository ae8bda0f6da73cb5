//! The compiled form of a generic dataset: RRsets by owner, in canonical order, so that names
//! which only exist because of others below them are found.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use crate::name::push_key_label;
use crate::zone_file::GenericRecord;

/// RRsets by owner.
#[derive(Debug, Default)]
pub struct GenericTable {
    /// By [`crate::name::Name::key`] of the owner, relative to the zone.
    owners: BTreeMap<Box<[u8]>, Vec<GenericSet>>,
}

/// One RRset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenericSet {
    /// The type code.
    pub record_type: u16,
    /// The TTL in seconds, the lowest of its records (RFC 2181, section 5.2).
    pub ttl: u32,
    /// The rdata of the records, in the order of the file, without repetition.
    pub rdata: Vec<Box<[u8]>>,
}

impl GenericTable {
    pub(super) fn new(records: Vec<GenericRecord>) -> Self {
        let mut owners = BTreeMap::<Box<[u8]>, Vec<GenericSet>>::new();
        for GenericRecord { owner, record_type, ttl, rdata } in records {
            let sets = owners.entry(owner.key().into()).or_default();
            match sets.iter_mut().find(|set| set.record_type == record_type) {
                Some(set) => {
                    set.ttl = set.ttl.min(ttl);
                    set.rdata.push(rdata);
                }
                None => sets.push(GenericSet { record_type, ttl, rdata: vec![rdata] }),
            }
        }
        for set in owners.values_mut().flatten().filter(|set| set.rdata.len() > 1) {
            let mut met = HashSet::with_capacity(set.rdata.len());
            set.rdata.retain(|rdata| met.insert(rdata.clone()));
        }
        Self { owners }
    }

    /// The RRsets of a name, given by its labels left to right; and whether any name below it
    /// has some.
    pub fn lookup(&self, labels: &[&[u8]]) -> (&[GenericSet], bool) {
        let mut key = Vec::with_capacity(64);
        for label in labels.iter().rev() {
            push_key_label(&mut key, label);
        }
        let mut from_here = self.owners.range::<[u8], _>((Bound::Included(&key[..]), Bound::Unbounded));
        let (mut sets, mut next): (&[GenericSet], _) = (&[], from_here.next());
        if let Some((owner, own)) = next
            && **owner == key[..]
        {
            (sets, next) = (own, from_here.next());
        }
        (sets, next.is_some_and(|(owner, _)| owner.starts_with(&key)))
    }

    /// All owners in canonical order, by their keys, with their RRsets.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[GenericSet])> {
        self.owners.iter().map(|(owner, sets)| (&**owner, &sets[..]))
    }

    /// The RRsets of the owner with this key, if it is one.
    pub fn get(&self, key: &[u8]) -> Option<&[GenericSet]> {
        self.owners.get(key).map(|sets| &sets[..])
    }

    /// The key of the last owner before `bound`.
    pub fn last_before(&self, bound: &[u8]) -> Option<&[u8]> {
        let before = (Bound::Unbounded, Bound::Excluded(bound));
        self.owners.range::<[u8], _>(before).next_back().map(|(owner, _)| &**owner)
    }

    /// The key of the first owner at or after `bound`.
    pub fn first_from(&self, bound: &[u8]) -> Option<&[u8]> {
        let from = (Bound::Included(bound), Bound::Unbounded);
        self.owners.range::<[u8], _>(from).next().map(|(owner, _)| &**owner)
    }

    pub(super) fn bytes(&self) -> usize {
        let set = |set: &GenericSet| {
            size_of_val(set) + set.rdata.iter().map(|rdata| rdata.len() + 16).sum::<usize>()
        };
        self.owners.iter().map(|(owner, sets)| owner.len() + 40 + sets.iter().map(set).sum::<usize>()).sum()
    }
}
