//! What the fast path knows of a snapshot: its apexes in the order in which they are searched, and of
//! each zone that is simple enough a [`Plan`].
//!
//! A zone is simple where the answer to a complete address follows from its address tables alone. Not
//! so with domain lists, combined datasets, records at names like an address, or a zone nested below
//! a label like one; nor at the root, whose name has no place that a pointer could lead to.

use std::ops::Range;
use std::sync::Arc;

use super::tail::Tail;
use crate::address;
use crate::address::Key;
use crate::dataset::{AddressList, Data, Dataset, TEST_V4};
use crate::name::labels;
use crate::prefix_table::PrefixTable;
use crate::snapshot::Snapshot;
use crate::zone::{Signing, Status, Zone};

/// All apexes of a snapshot.
#[derive(Debug)]
pub(super) struct Zones {
    /// In order of their lengths, then of their names.
    entries: Box<[Entry]>,
    /// Where in `entries` the names of a length begin, by that length, and where the longest end.
    by_length: Box<[u32; LENGTHS + 1]>,
}

/// One more than the longest name.
const LENGTHS: usize = 256;

#[derive(Debug)]
struct Entry {
    /// The name in wire form and in lower case.
    apex: Box<[u8]>,
    /// For each octet of it the bits that do not matter: that of the letter case, in letters.
    letter_case: Box<[u8]>,
    plan: Option<Plan>,
}

/// How the plain questions of a zone are answered.
#[derive(Debug)]
pub(super) struct Plan {
    /// The place of the zone in the snapshot.
    pub(super) index: u32,
    pub(super) zone: Arc<Zone>,
    /// No access list looks at its clients.
    pub(super) open: bool,
    /// What follows the answer section of a negative answer: the SOA.
    pub(super) negative: Tail,
    /// What follows the answer section of a positive one: nothing, or NS and glue.
    pub(super) positive: Tail,
    /// The datasets with IPv4 prefixes.
    v4: Box<[Arc<Dataset>]>,
    /// The datasets with IPv6 prefixes.
    v6: Box<[Arc<Dataset>]>,
}

impl Zones {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let names: Vec<Box<[u8]>> =
            snapshot.zones().iter().map(|zone| zone.name().lowercase_wire()).collect();
        let mut places: Vec<usize> = (0..names.len()).collect();
        places.sort_by_key(|&place| (names[place].len(), &names[place]));
        let plan = |place: usize| Plan::new(snapshot, place, &names);
        let entries: Box<[Entry]> =
            places.into_iter().map(|place| Entry::new(names[place].clone(), plan(place))).collect();
        let by_length =
            std::array::from_fn(|length| entries.partition_point(|entry| entry.apex.len() < length) as u32);
        Self { entries, by_length: Box::new(by_length) }
    }

    /// The plan of the zone with a name, in wire form and any letter case.
    #[inline(always)]
    pub(super) fn find(&self, name: &[u8]) -> Option<&Plan> {
        let [start, end] = *self.by_length.get(name.len()..)?.first_chunk()?;
        let candidates: Range<usize> = start as usize..end as usize;
        let candidate = match candidates.len() {
            0 => return None,
            1 => candidates.start,
            _ => {
                let lowercase = name.to_ascii_lowercase();
                let found =
                    self.entries[candidates.clone()].binary_search_by(|entry| (*entry.apex).cmp(&lowercase));
                candidates.start + found.ok()?
            }
        };
        let entry = &self.entries[candidate];
        if entry.is_named(name) { entry.plan.as_ref() } else { None }
    }
}

impl Entry {
    fn new(apex: Box<[u8]>, plan: Option<Plan>) -> Self {
        let letter_case =
            apex.iter().map(|octet| if octet.is_ascii_lowercase() { 0x20 } else { 0 }).collect();
        Self { apex, letter_case, plan }
    }

    /// True for the name of this entry, or any of the same length that differs from it in letter case.
    #[inline(always)]
    fn is_named(&self, name: &[u8]) -> bool {
        let differ = |[apex, ignored, name]: [&[u8; 8]; 3]| {
            (u64::from_le_bytes(*apex) ^ u64::from_le_bytes(*name)) & !u64::from_le_bytes(*ignored)
        };
        let parts = [&self.apex, &self.letter_case, name];
        // The last eight octets may overlap those before.
        let [Some(apex), Some(ignored), Some(last)] = parts.map(<[u8]>::last_chunk) else {
            return self.apex.eq_ignore_ascii_case(name);
        };
        let [(apexes, _), (ignoreds, _), (names, _)] = parts.map(<[u8]>::as_chunks);
        let words = apexes.iter().zip(ignoreds).zip(names);
        words.fold(differ([apex, ignored, last]), |sum, ((apex, ignored), name)| {
            sum | differ([apex, ignored, name])
        }) == 0
    }
}

impl Plan {
    fn new(snapshot: &Snapshot, index: usize, names: &[Box<[u8]>]) -> Option<Self> {
        let zone = &snapshot.zones()[index];
        let simple = zone.status() == Status::Serving
            && matches!(zone.signing(), Signing::None)
            && zone.datasets().iter().all(|dataset| is_simple(dataset))
            && names[index].len() > 1
            && !names.iter().any(|name| is_nested_in_an_address(name, &names[index]));
        if !simple {
            return None;
        }
        let having = |has: fn(&AddressList) -> bool| {
            zone.datasets().iter().filter(|dataset| addresses(dataset).is_some_and(has)).cloned().collect()
        };
        let positive = match (snapshot.settings.minimal, zone.apex().name_servers()) {
            (false, Some(set)) => Tail::positive(&names[index], &set, snapshot.glue(index)),
            _ => Some(Tail::default()),
        };
        Some(Self {
            index: index as u32,
            open: !snapshot.has_access_list() && !zone.has_access_list(),
            negative: zone.apex().negative_soa().map_or_else(Tail::default, |soa| Tail::negative(&soa)),
            positive: positive?,
            v4: having(|list| list.v4.is_some()),
            v6: having(|list| list.v6.is_some()),
            zone: zone.clone(),
        })
    }

    /// True if what is said of an address is what one table of its family says. Left to the general
    /// path are the addresses of both families and the test entries of RFC 5782.
    #[inline(always)]
    pub(super) fn decides(&self, key: Key) -> bool {
        match key {
            Key::V4(address) => address != TEST_V4,
            Key::V6(address) => {
                address::mapped(address).is_none()
                    && (self.v4.is_empty() || address::six_to_four(address).is_none())
            }
        }
    }

    /// The datasets with IPv4 prefixes.
    pub(super) fn v4(&self) -> impl Iterator<Item = (&AddressList, &PrefixTable<u32>)> {
        self.v4
            .iter()
            .filter_map(|dataset| addresses(dataset))
            .filter_map(|list| Some((list, list.v4.as_ref()?)))
    }

    /// The datasets with IPv6 prefixes.
    pub(super) fn v6(&self) -> impl Iterator<Item = (&AddressList, &PrefixTable<u128>)> {
        self.v6
            .iter()
            .filter_map(|dataset| addresses(dataset))
            .filter_map(|list| Some((list, list.v6.as_ref()?)))
    }
}

fn addresses(dataset: &Dataset) -> Option<&AddressList> {
    match &dataset.data {
        Data::Addresses(list) => Some(list),
        _ => None,
    }
}

fn is_simple(dataset: &Dataset) -> bool {
    match &dataset.data {
        Data::Addresses(_) | Data::Access(_) => true,
        Data::Generic(table) => !table.iter().any(|(owner, _)| is_below_an_address(owner)),
        Data::Names(_) | Data::Combined(_) => false,
    }
}

/// True if the owner with this key may be an IPv4 or an IPv6 address, or below one.
fn is_below_an_address(owner: &[u8]) -> bool {
    const FEWEST_LABELS: usize = 4;
    let labels = owner.split(|&octet| octet == 0).take(FEWEST_LABELS);
    labels.clone().count() == FEWEST_LABELS && labels.clone().all(is_digits)
}

/// True if a name lies below `apex`, right behind a label that an address may have.
fn is_nested_in_an_address(name: &[u8], apex: &[u8]) -> bool {
    let above = labels(apex).count();
    let name: Vec<&[u8]> = labels(name).collect();
    let Some(next) = name.len().checked_sub(above + 1) else { return false };
    name[next + 1..].iter().copied().eq(labels(apex)) && is_digits(name[next])
}

/// True for what can be an octet or a nibble of an address.
pub(super) fn is_digits(label: &[u8]) -> bool {
    (1..=3).contains(&label.len()) && label.iter().all(u8::is_ascii_hexdigit)
}
