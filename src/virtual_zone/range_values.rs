//! The ordinary names that readers of range records ask: what a server that hosts nothing else needs beside
//! the blocks.
//!
//! An item that no TXT record names has its value at its canonical address (docs/range-records.md, section 5).
//! Here are the names of these addresses, and those of the zone's own name servers, each with all that the zone
//! says there. Only whoever writes everything down needs them: elsewhere all names of the zone are there.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::nodes::{At, Nodes};
use super::{Node, labels_of};
use crate::address::{MAPPED, MAPPED_LENGTH, mapped};
use crate::name::push_key_label;
use crate::range_record::content;
use crate::range_record::name::address_text;
use crate::range_record::value::ValueRecord;
use crate::range_record::{Content, Prefix, canonical_address, key_of};
use crate::zone::{Family, Found, Lookup, Ranges, SubZone, View, Zone};

/// The names of the canonical addresses of one family that are asked for.
pub(super) struct CanonicalNames<'z> {
    pub(super) zone: &'z Zone,
    pub(super) sub_zone: &'z SubZone,
    pub(super) ranges: &'z Ranges,
    pub(super) family: Family,
}

impl<'z> CanonicalNames<'z> {
    fn node(&self, key: &[u8]) -> Option<Node<'z>> {
        let own = said(self.zone, key, self.sub_zone)?;
        Some(Node { key: key.to_vec(), own, below: Found::new(self.zone.options().dropin) })
    }
}

impl<'z> Nodes<'z> for CanonicalNames<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let names = Self { ..*self };
        let keys = Addresses::new(self.ranges, self.family).map(key);
        match self.family {
            Family::V6 => Box::new(keys.filter_map(move |key| names.node(&key))),
            // Octets sort as the text that they are in names.
            Family::V4 => {
                let keys: BTreeSet<_> = keys.collect();
                Box::new(keys.into_iter().filter_map(move |key| names.node(&key)))
            }
        }
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        let own = self.walk().find(|node| node.key == key).map(|node| node.own);
        At { own, below: Found::new(self.zone.options().dropin) }
    }

    fn last_before(&self, bound: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        self.walk().map(|node| node.key).take_while(|key| **key < *bound).last()
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        self.walk().map(|node| node.key).find(|key| **key >= *bound)
    }
}

/// The zone's name servers with names in the zone: the keys left of its name, and what it says there.
pub(super) fn own_hosts(zone: &Zone) -> impl Iterator<Item = (Vec<u8>, Found<'_>)> {
    let apex = zone.name().key();
    let hosts = zone.apex().hosts().iter().map(crate::name::Name::key);
    let keys: BTreeSet<_> = hosts.filter_map(|host| Some(host.strip_prefix(&apex[..])?.to_vec())).collect();
    keys.into_iter().filter_map(|key| said(zone, &key, &[]).map(|said| (key, said)))
}

/// All that a zone says at a name, given by the key that it has left of a sub-zone.
fn said<'z>(zone: &'z Zone, key: &[u8], sub_zone: &[Box<[u8]>]) -> Option<Found<'z>> {
    let labels = labels_of(key);
    let labels: Vec<&[u8]> =
        labels.iter().map(|label| &**label).chain(sub_zone.iter().map(|label| &**label)).collect();
    match zone.lookup(&labels, &View::Data) {
        Lookup::Found(found) => Some(found),
        Lookup::NoData | Lookup::NxDomain => None,
    }
}

fn key(address: u128) -> Vec<u8> {
    let mut key = Vec::new();
    address_text(key_of(address)).rsplit('.').for_each(|label| push_key_label(&mut key, label.as_bytes()));
    key
}

/// The canonical addresses of all items of reachable blocks that no TXT record names, in order.
struct Addresses<'z> {
    ranges: &'z Ranges,
    family: Family,
    /// Blocks that were named and not visited, the next one on top: at most those of one path.
    named: Vec<Prefix>,
    /// Addresses of blocks that were visited: at most those of one path, too.
    waiting: BinaryHeap<Reverse<u128>>,
}

impl<'z> Addresses<'z> {
    fn new(ranges: &'z Ranges, family: Family) -> Self {
        Self { ranges, family, named: vec![Prefix::ROOT], waiting: BinaryHeap::new() }
    }

    fn visit(&mut self, prefix: Prefix) {
        let Some(block) = self.ranges.make(prefix) else { return };
        let v4 = Prefix::containing(MAPPED, MAPPED_LENGTH);
        let matters = |prefix: &Prefix| match self.family {
            Family::V4 => prefix.covers(v4) || v4.covers(*prefix),
            Family::V6 => !v4.covers(*prefix),
        };
        self.named.extend(block.named.iter().copied().rev().filter(matters));
        // As a client reads them.
        let Ok(content) = content::Block::read(prefix, &block.items) else { return };
        let values: Vec<_> = block.values.iter().filter_map(|rdata| ValueRecord::read(rdata)).collect();
        for (index, item) in content.items().iter().enumerate() {
            if let Content::Listed(number) = item.content
                && !values.iter().any(|value| value.names(number))
                && let Some(address) = canonical_address(content.items(), index)
                && mapped(address).is_some() == (self.family == Family::V4)
            {
                self.waiting.push(Reverse(address));
            }
        }
    }
}

impl Iterator for Addresses<'_> {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        loop {
            // Blocks to come have no address before their first.
            let next = self.named.last().map(|prefix| prefix.first());
            if let Some(&Reverse(address)) = self.waiting.peek()
                && next.is_none_or(|first| address < first)
            {
                self.waiting.pop();
                return Some(address);
            }
            let prefix = self.named.pop()?;
            self.visit(prefix);
        }
    }
}
