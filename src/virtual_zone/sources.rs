//! What makes names exist in a zone: its lists, and those of its sub-zones, each as a stream of names.

use super::address_tree::AddressTree;
use super::{Node, domain_names, range_blocks};
use crate::address::ReversedName;
use crate::name::push_key_label;
use crate::range_record;
use crate::zone::{Family, Found, List, Zone};

/// A stream of names in canonical order, which is a standard zone by itself.
pub(super) struct Source<'z> {
    nodes: Box<dyn Iterator<Item = Node<'z>> + 'z>,
    /// Where the stream's own labels begin in its keys.
    pub mount: Vec<u8>,
    pub reach: Reach,
}

/// Which names a source speaks of beside those that it makes exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Complete keys of a family of addresses.
    Addresses(Family),
    /// All names.
    Names,
}

impl<'z> Source<'z> {
    fn new(mount: &[u8], reach: Reach, nodes: impl Iterator<Item = Node<'z>> + 'z) -> Self {
        Self { nodes: Box::new(nodes), mount: mount.into(), reach }
    }

    /// Leaves the names below each of `holes` to others; the names themselves exist.
    fn without(self, holes: Vec<Vec<u8>>, dropin: bool) -> Self {
        if holes.is_empty() {
            return self;
        }
        let mut holes = holes.into_iter().peekable();
        let mut nodes = self.nodes.peekable();
        let mut hole: Option<Vec<u8>> = None;
        let punched = std::iter::from_fn(move || {
            if let Some(hole) = &hole {
                while nodes.next_if(|node| node.key.starts_with(hole)).is_some() {}
            }
            let begins = |key: &Vec<u8>| nodes.peek().is_none_or(|node| *key <= node.key);
            match holes.peek().is_some_and(begins) {
                true => {
                    hole = holes.next();
                    hole.clone().map(|key| empty(key, dropin))
                }
                false => nodes.next(),
            }
        });
        Self { nodes: Box::new(punched), ..self }
    }
}

impl<'z> Iterator for Source<'z> {
    type Item = Node<'z>;

    fn next(&mut self) -> Option<Node<'z>> {
        self.nodes.next()
    }
}

impl Reach {
    /// Whether a name with these labels, left to right, is one that the source speaks of, and whether
    /// any name below it is.
    pub(super) fn of(self, labels: &[Vec<u8>]) -> (bool, bool) {
        let Self::Addresses(family) = self else { return (true, true) };
        let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        let read = ReversedName::read(&labels);
        let length = match family {
            Family::V4 => read.v4.map(|(_, length)| length),
            Family::V6 => read.v6.map(|(_, length)| length),
        };
        (length == Some(family.bits()), length.map_or(labels.is_empty(), |length| length < family.bits()))
    }
}

/// All sources of a zone.
pub(super) fn of(zone: &Zone) -> Vec<Source<'_>> {
    let dropin = zone.options().dropin;
    let mut apex = empty(Vec::new(), dropin);
    apex.own.push_apex(zone.apex());
    let mut sources = vec![Source::new(&[], Reach::Names, std::iter::once(apex))];
    of_list(zone, zone.list(), &[], &mut sources);
    for sub_zones in zone.combined() {
        let mounts: Vec<Vec<u8>> = sub_zones.keys().map(|labels| mount(labels)).collect();
        for (at, list) in mounts.iter().zip(sub_zones.values()) {
            let mut own = Vec::new();
            of_list(zone, list, at, &mut own);
            let holes = holes(mounts.iter().filter(|other| *other != at), at);
            sources.extend(own.into_iter().map(|source| source.without(holes.clone(), dropin)));
        }
    }
    with_ranges(zone, sources)
}

/// Adds the range records: at and below their names nothing else has a meaning.
fn with_ranges<'z>(zone: &'z Zone, sources: Vec<Source<'z>>) -> Vec<Source<'z>> {
    let dropin = zone.options().dropin;
    let mut labels = Vec::new();
    push_key_label(&mut labels, range_record::name::LABEL.as_bytes());
    let mounts: Vec<_> = zone.all_ranges().map(|(sub_zone, ranges)| (mount(sub_zone), ranges)).collect();
    let roots: Vec<Vec<u8>> = mounts.iter().map(|(mount, _)| [&mount[..], &labels].concat()).collect();
    let without = |source: Source<'z>| {
        let holes = holes(roots.iter(), &source.mount);
        source.without(holes, dropin)
    };
    let mut sources: Vec<_> = sources.into_iter().map(without).collect();
    for (mount, ranges) in mounts {
        let nodes = range_blocks::nodes(ranges, mount.clone(), dropin);
        sources.push(Source::new(&mount, Reach::Names, nodes));
    }
    sources
}

/// The keys below `mount`, in order; of two of which one is below the other, only that.
fn holes<'k>(keys: impl Iterator<Item = &'k Vec<u8>>, mount: &[u8]) -> Vec<Vec<u8>> {
    let mut holes: Vec<Vec<u8>> = keys.filter(|key| key.starts_with(mount)).cloned().collect();
    holes.sort();
    holes.dedup_by(|inner, outer| inner.starts_with(outer));
    holes
}

/// The keys of all names that the data of a zone writes out.
pub(super) fn names_of(zone: &Zone) -> impl Iterator<Item = Vec<u8>> + '_ {
    let sub_zones = zone.combined().iter().flatten();
    let mounted = sub_zones.map(|(labels, list)| (mount(labels), list)).chain([(Vec::new(), zone.list())]);
    mounted.flat_map(|(mount, list)| {
        let names = list.names().flat_map(|data| data.table.entries_from(&[])).map(|(key, _)| key);
        let generic = list.generic().flat_map(|table| table.iter()).map(|(key, _)| key.to_vec());
        std::iter::once(Vec::new()).chain(names).chain(generic).map(move |key| [&mount[..], &key].concat())
    })
}

fn of_list<'z>(zone: &'z Zone, list: &'z List, mount: &[u8], sources: &mut Vec<Source<'z>>) {
    let dropin = zone.options().dropin;
    let mut single = empty(mount.into(), dropin);
    sources.push(Source::new(mount, Reach::Names, std::iter::once(single.clone())));
    for family in [Family::V4, Family::V6] {
        if list.has_addresses() {
            let tree = AddressTree::new(zone.address_map([list]), family, mount.into());
            sources.push(Source::new(mount, Reach::Addresses(family), tree));
        }
    }
    for data in list.names() {
        sources.push(Source::new(mount, Reach::Names, domain_names::nodes(data, mount.into(), dropin)));
    }
    list.test_name(&mut single.own);
    if !single.own.is_empty() {
        push_key_label(&mut single.key, b"test");
        sources.push(Source::new(mount, Reach::Names, std::iter::once(single)));
    }
    for table in list.generic() {
        let mount_key = mount.to_vec();
        let nodes = table.iter().map(move |(key, sets)| {
            let mut node = empty([&mount_key[..], key].concat(), dropin);
            node.own.push_generic(sets);
            node
        });
        sources.push(Source::new(mount, Reach::Names, nodes));
    }
}

/// A name that exists, of which nothing is said.
fn empty<'z>(key: Vec<u8>, dropin: bool) -> Node<'z> {
    Node { key, own: Found::new(dropin), below: Found::new(dropin) }
}

/// The key of a sub-zone, given by its labels left to right.
fn mount(labels: &[Box<[u8]>]) -> Vec<u8> {
    let mut key = Vec::new();
    for label in labels.iter().rev() {
        push_key_label(&mut key, label);
    }
    key
}
