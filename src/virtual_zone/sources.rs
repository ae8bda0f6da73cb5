//! What makes names exist in a zone: its lists, and those of its sub-zones, each mounted at its name.

use std::cell::RefCell;
use std::rc::Rc;

use super::address_tree::AddressTree;
use super::domain_names::DomainNames;
use super::nodes::Nodes;
use super::range_blocks::{Limit, RangeBlocks};
use super::range_values::{self, CanonicalNames};
use super::records::{GenericNames, Single};
use super::{CNAME, Node, common, fits};
use crate::address::ReversedName;
use crate::name::push_key_label;
use crate::range_record;
use crate::zone::{Family, Found, List, Zone};

/// Names at and below a mount, which are a standard zone by themselves.
pub(super) struct Source<'z> {
    zone: &'z Zone,
    nodes: Box<dyn Nodes<'z> + 'z>,
    mount: Vec<u8>,
    reach: Reach,
    /// The names below which others speak, though they exist here, in order; none is below another.
    holes: Vec<Vec<u8>>,
}

/// Which names a source speaks of beside those that it makes exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Complete keys of a family of addresses.
    Addresses(Family),
    /// All names.
    Names,
}

/// The octets of the longest name of an address or a block.
const LONGEST_ADDRESS: usize = 64;
/// Greater than every key: a label has at most 63 octets.
const BEHIND_ALL: [u8; 64] = [0xff; 64];

impl<'z> Source<'z> {
    fn new(zone: &'z Zone, mount: &[u8], reach: Reach, nodes: impl Nodes<'z> + 'z) -> Self {
        Self { zone, nodes: Box::new(nodes), mount: mount.into(), reach, holes: Vec::new() }
    }

    /// Leaves the names below each of `holes` to others; `None` if nothing is left.
    fn without(mut self, holes: impl Iterator<Item = impl AsRef<[u8]>>) -> Option<Self> {
        for hole in holes {
            if self.mount.starts_with(hole.as_ref()) {
                return None;
            }
            if hole.as_ref().starts_with(&self.mount) {
                self.holes.push(hole.as_ref().to_vec());
            }
        }
        self.holes.sort();
        self.holes.dedup_by(|inner, outer| inner.starts_with(outer));
        Some(self)
    }

    /// All names, in canonical order.
    pub(super) fn walk(&self) -> impl Iterator<Item = Node<'z>> + 'z {
        let mount = self.mount.clone();
        let mut nodes = self
            .nodes
            .walk()
            .map(move |node| match mount.is_empty() {
                true => node,
                false => Node { key: [&mount[..], &node.key].concat(), ..node },
            })
            .peekable();
        let mut holes = self.holes.clone().into_iter().peekable();
        let mut hole: Option<Vec<u8>> = None;
        let zone = self.zone;
        std::iter::from_fn(move || {
            if let Some(hole) = &hole {
                while nodes.next_if(|node| node.key.starts_with(hole)).is_some() {}
            }
            let begins = |key: &Vec<u8>| nodes.peek().is_none_or(|node| *key <= node.key);
            match holes.peek().is_some_and(begins) {
                true => {
                    hole = holes.next();
                    hole.clone().map(|key| empty(zone, key))
                }
                false => nodes.next(),
            }
        })
    }

    /// Adds what is said of an existing name to `own`, and of the names below it to `below`.
    pub(super) fn add(&self, key: &[u8], own: &mut Found<'z>, below: &mut Found<'z>) {
        let Some(left) = key.strip_prefix(&self.mount[..]) else { return };
        if self.hole_of(key).is_some() {
            return;
        }
        let at = self.nodes.at(left);
        match at.own {
            Some(found) => {
                own.extend(found);
                below.extend(at.below);
            }
            None => self.inherit(key, &at.below, own, below),
        }
    }

    /// As [`Self::add`], for a name that does not exist here: `inherited` is what the nearest one above
    /// says of the names below it.
    pub(super) fn inherit(
        &self,
        key: &[u8],
        inherited: &Found<'z>,
        own: &mut Found<'z>,
        below: &mut Found<'z>,
    ) {
        if inherited.is_empty() {
            return;
        }
        let (speaks, speaks_below) = self.reach.of(&key[self.mount.len()..]);
        if speaks {
            own.extend(inherited.clone());
        }
        if speaks_below {
            below.extend(inherited.clone());
        }
    }

    /// How much of a key is at or above a name that can be asked for. Where others speak of such a name as
    /// well, theirs may be more.
    pub(super) fn encloser(&self, key: &[u8]) -> usize {
        let Some(left) = key.strip_prefix(&self.mount[..]) else {
            return if fits(self.zone, &self.mount, 0) { common(key, &self.mount) } else { 0 };
        };
        if let Some(hole) = self.hole_of(key) {
            return hole.len();
        }
        let all_fit = fits(self.zone, &self.mount, LONGEST_ADDRESS);
        if let Some(length) = self.nodes.encloser(left).filter(|_| all_fit) {
            return self.mount.len() + length;
        }
        let neighbours = [self.last_before(key, &[]), self.first_from(key, None)];
        neighbours.into_iter().flatten().map(|name| common(key, &name)).max().unwrap_or(0)
    }

    /// The last name before `bound` that can be asked for. If it is before `than` it may be left out.
    pub(super) fn last_before(&self, bound: &[u8], than: &[u8]) -> Option<Vec<u8>> {
        if *than > *self.mount && !than.starts_with(&self.mount) {
            return None;
        }
        let mut bound = bound.to_vec();
        loop {
            let last = self.last_node_before(&bound, than)?;
            if fits(self.zone, &last, 0) {
                return Some(last);
            }
            bound = last;
        }
    }

    /// The first name at or after `bound` that can be asked for, if it is before `than`.
    pub(super) fn first_from(&self, bound: &[u8], than: Option<&[u8]>) -> Option<Vec<u8>> {
        if than.is_some_and(|than| *than <= *self.mount) {
            return None;
        }
        let mut bound = bound.to_vec();
        loop {
            let first = self.first_node_from(&bound)?;
            if fits(self.zone, &first, 0) {
                return Some(first);
            }
            bound = behind(&first);
        }
    }

    fn last_node_before(&self, bound: &[u8], than: &[u8]) -> Option<Vec<u8>> {
        if *bound <= *self.mount {
            return None;
        }
        if let Some(hole) = self.hole_above(bound) {
            return Some(hole.to_vec());
        }
        let left = bound.strip_prefix(&self.mount[..]).unwrap_or(&BEHIND_ALL);
        let than = than.strip_prefix(&self.mount[..]).unwrap_or_default();
        let last = self.nodes.last_before(left, than).map(|key| [&self.mount[..], &key].concat());
        let hole =
            self.holes.partition_point(|hole| **hole < *bound).checked_sub(1).map(|at| &self.holes[at]);
        match hole {
            // What lies between it and the bound is at or below it, or after that.
            Some(hole) if last.as_ref().is_none_or(|last| last < hole || last.starts_with(hole)) => {
                Some(hole.clone())
            }
            _ => last,
        }
    }

    fn first_node_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let bound = match self.hole_above(bound) {
            Some(hole) => behind_all_below(hole),
            None => bound.to_vec(),
        };
        let left = match bound.strip_prefix(&self.mount[..]) {
            Some(left) => left,
            None if bound < self.mount => &[],
            None => return None,
        };
        let first = self.nodes.first_from(left).map(|key| [&self.mount[..], &key].concat());
        let hole = self.holes.get(self.holes.partition_point(|hole| *hole < bound));
        match hole {
            Some(hole) if first.as_ref().is_none_or(|first| hole <= first) => Some(hole.clone()),
            _ => first,
        }
    }

    /// The hole that a key is, or lies below: there the source is silent.
    fn hole_of(&self, key: &[u8]) -> Option<&[u8]> {
        let last = self.holes.partition_point(|hole| **hole <= *key).checked_sub(1)?;
        Some(&self.holes[last][..]).filter(|hole| key.starts_with(hole))
    }

    /// The hole that a key lies below.
    fn hole_above(&self, key: &[u8]) -> Option<&[u8]> {
        self.hole_of(key).filter(|hole| hole.len() < key.len())
    }
}

impl Reach {
    /// Whether a name is one that the source speaks of, and whether any name below it is.
    fn of(self, key: &[u8]) -> (bool, bool) {
        let Self::Addresses(family) = self else { return (true, true) };
        let mut labels: smallvec::SmallVec<[&[u8]; 33]> = key.split(|&octet| octet == 0).collect();
        labels.pop();
        labels.reverse();
        let read = ReversedName::read(&labels);
        let length = match family {
            Family::V4 => read.v4.map(|(_, length)| length),
            Family::V6 => read.v6.map(|(_, length)| length),
        };
        (length == Some(family.bits()), length.map_or(labels.is_empty(), |length| length < family.bits()))
    }
}

/// All sources of a zone, which make no more blocks of range records than they may.
pub(super) fn of<'z>(zone: &'z Zone, limit: &Rc<Limit<'z>>) -> Vec<Source<'z>> {
    with_cuts(zone, of_data(zone, limit))
}

/// The cuts at or below which the zone's own data has names, or answers by a wildcard, which nobody will see.
pub(super) fn cuts_in_data(zone: &Zone) -> impl Iterator<Item = &[u8]> {
    let sources = zone.delegations().next().map_or_else(Vec::new, |_| of_data(zone, &unlimited()));
    let has_data = move |cut: &[u8]| {
        let (mut own, mut below) = (Found::new(zone.options().dropin), Found::new(zone.options().dropin));
        sources.iter().for_each(|source| source.add(cut, &mut own, &mut below));
        let mut names = sources.iter().filter_map(|source| source.first_from(cut, None));
        own.has_records() || below.has_records() || names.any(|first| first.starts_with(cut))
    };
    zone.delegations().map(|(cut, _)| cut).filter(move |cut| has_data(cut))
}

/// As many blocks as are needed.
pub(super) fn unlimited<'z>() -> Rc<Limit<'z>> {
    Rc::new(Limit::new(|_| true))
}

/// The sources but for the cuts.
fn of_data<'z>(zone: &'z Zone, limit: &Rc<Limit<'z>>) -> Vec<Source<'z>> {
    let mut sources = vec![apex(zone)];
    of_list(zone, zone.list(), &[], &mut sources);
    for sub_zones in zone.combined() {
        let mounts: Vec<Vec<u8>> = sub_zones.keys().map(|labels| mount(labels)).collect();
        for (at, list) in mounts.iter().zip(sub_zones.values()) {
            let mut own = Vec::new();
            of_list(zone, list, at, &mut own);
            let others = || mounts.iter().filter(|other| *other != at && other.starts_with(at));
            sources.extend(own.into_iter().filter_map(|source| source.without(others())));
        }
    }
    with_ranges(zone, sources, limit)
}

/// The apex and the range records; of all other names only those that clients of range records ask for.
pub(super) fn of_ranges(zone: &Zone) -> Vec<Source<'_>> {
    let mut sources = vec![apex(zone)];
    for (sub_zone, ranges) in zone.all_ranges() {
        for family in [Family::V4, Family::V6] {
            let names = CanonicalNames { zone, sub_zone, ranges, family };
            sources.push(Source::new(zone, &mount(sub_zone), Reach::Names, names));
        }
    }
    sources.extend(range_values::own_hosts(zone).map(|(key, own)| {
        let host = Single { own, nothing: Found::new(zone.options().dropin) };
        Source::new(zone, &key, Reach::Names, host)
    }));
    let cuts = || zone.delegations().map(|(key, _)| key);
    with_ranges(zone, sources.into_iter().filter_map(|source| source.without(cuts())).collect(), &unlimited())
}

fn apex(zone: &Zone) -> Source<'_> {
    let mut apex = single(zone);
    apex.own.push_apex(zone.apex());
    Source::new(zone, &[], Reach::Names, apex)
}

/// Adds the range records: at and below their names nothing else has a meaning.
fn with_ranges<'z>(zone: &'z Zone, sources: Vec<Source<'z>>, limit: &Rc<Limit<'z>>) -> Vec<Source<'z>> {
    let root = |labels: &[Box<[u8]>]| {
        let mut root = mount(labels);
        push_key_label(&mut root, range_record::name::LABEL.as_bytes());
        root
    };
    let roots = zone.all_ranges().map(|(sub_zone, ranges)| (root(sub_zone), ranges));
    let roots: Vec<_> = roots.filter(|(root, _)| zone.delegation_above(root).is_none()).collect();
    let keys = || roots.iter().map(|(root, _)| root);
    let mut sources: Vec<_> = sources.into_iter().filter_map(|source| source.without(keys())).collect();
    for (root, ranges) in &roots {
        let (limit, seen) = (limit.clone(), RefCell::default());
        let blocks = RangeBlocks { ranges, dropin: zone.options().dropin, limit, seen };
        let others = keys().filter(|other| *other != root);
        sources.extend(Source::new(zone, root, Reach::Names, blocks).without(others));
    }
    sources
}

/// Adds the names where other zones begin: at and below them nothing else has a meaning.
fn with_cuts<'z>(zone: &'z Zone, sources: Vec<Source<'z>>) -> Vec<Source<'z>> {
    let keys = || zone.delegations().map(|(key, _)| key);
    let mut sources: Vec<_> = sources.into_iter().filter_map(|source| source.without(keys())).collect();
    for (key, sets) in zone.delegations() {
        let mut cut = single(zone);
        cut.own.push_generic(sets);
        sources.push(Source::new(zone, key, Reach::Names, cut));
    }
    sources
}

/// The keys of all names that have CNAME records in the data.
pub(super) fn aliases_of(zone: &Zone) -> impl Iterator<Item = Vec<u8>> + '_ {
    mounted(zone).flat_map(|(mount, list)| {
        let names = list.generic().flat_map(|table| table.iter());
        let aliases = names.filter(|(_, sets)| sets.iter().any(|set| set.record_type == CNAME));
        aliases.map(move |(key, _)| [&mount[..], key].concat())
    })
}

/// The keys of all names that the data of a zone writes out.
pub(super) fn names_of(zone: &Zone) -> impl Iterator<Item = Vec<u8>> + '_ {
    mounted(zone).flat_map(|(mount, list)| {
        let names = list.names().flat_map(|data| data.table.entries_from(&[])).map(|(key, _)| key);
        let generic = list.generic().flat_map(|table| table.iter()).map(|(key, _)| key.to_vec());
        std::iter::once(Vec::new()).chain(names).chain(generic).map(move |key| [&mount[..], &key].concat())
    })
}

/// The lists of a zone, each with the key of the name that it stands at.
fn mounted(zone: &Zone) -> impl Iterator<Item = (Vec<u8>, &List)> {
    let sub_zones = zone.combined().iter().flatten();
    sub_zones.map(|(labels, list)| (mount(labels), list)).chain([(Vec::new(), zone.list())])
}

fn of_list<'z>(zone: &'z Zone, list: &'z List, mount: &[u8], sources: &mut Vec<Source<'z>>) {
    let dropin = zone.options().dropin;
    let mut add = |source| sources.push(source);
    add(Source::new(zone, mount, Reach::Names, single(zone)));
    for family in [Family::V4, Family::V6] {
        if list.has_addresses() {
            let tree = AddressTree::new(zone.address_map([list]), family);
            add(Source::new(zone, mount, Reach::Addresses(family), tree));
        }
    }
    for data in list.names() {
        add(Source::new(zone, mount, Reach::Names, DomainNames { data, dropin }));
    }
    let mut test = single(zone);
    list.test_name(&mut test.own);
    if !test.own.is_empty() {
        let mut key = mount.to_vec();
        push_key_label(&mut key, b"test");
        add(Source::new(zone, &key, Reach::Names, test));
    }
    for table in list.generic() {
        add(Source::new(zone, mount, Reach::Names, GenericNames { table, dropin }));
    }
}

/// One name of which nothing is said.
fn single(zone: &Zone) -> Single<'_> {
    let nothing = Found::new(zone.options().dropin);
    Single { own: nothing.clone(), nothing }
}

/// A name that exists, of which nothing is said.
fn empty(zone: &Zone, key: Vec<u8>) -> Node<'_> {
    let nothing = Found::new(zone.options().dropin);
    Node { key, own: nothing.clone(), below: nothing }
}

/// The key of a sub-zone, given by its labels left to right.
fn mount(labels: &[Box<[u8]>]) -> Vec<u8> {
    let mut key = Vec::new();
    for label in labels.iter().rev() {
        push_key_label(&mut key, label);
    }
    key
}

/// The first bound behind a key.
pub(super) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The first bound behind a key that is not the apex's and all keys below it.
fn behind_all_below(key: &[u8]) -> Vec<u8> {
    let mut bound = key.to_vec();
    if let Some(last) = bound.last_mut() {
        // It was 0, the end of a label.
        *last = 1;
    }
    bound
}
