//! One dataset, compiled: the entries that `zone_file` read from the files of one
//! `zone:type:files` specification, as tables that are searched and never changed.
//!
//! A dataset is the unit of reloading: zones that name the same type and files share one, and only
//! a dataset whose files changed is compiled again. What several datasets of a zone say together
//! is `zone`'s matter.

mod access;
mod generic;
mod listing;
mod remarks;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

pub use access::{Access, AccessTable, ClientAddress, Span};
pub use generic::{GenericSet, GenericTable};
pub use listing::{Listing, Saying};

use crate::name::Name;
use crate::name_table::{NameTable, Scope};
use crate::prefix_table::{Address, Entry, PrefixTable, Remark, TooManyPrefixes, UNLISTED, sort};
use crate::zone_file::diagnostic::Diagnostics;
use crate::zone_file::{AddressEntries, Content, Kind, NameServers, Parsed, Soa, Specials};
use remarks::Remarks;

/// A compiled dataset.
#[derive(Debug)]
pub struct Dataset {
    /// Its type.
    pub kind: Kind,
    /// What it says.
    pub data: Data,
    /// `$SOA`, the first in its files.
    pub soa: Option<Soa>,
    /// `$NS`, the first in its files.
    pub name_servers: Option<NameServers>,
    /// `$TIMESTAMP`'s expiry, in seconds since 1970.
    pub expires: Option<u64>,
    /// The newest modification time of its files, in seconds since 1970.
    pub modified: u64,
    /// What a report says of it.
    pub summary: Summary,
}

/// The tables of a dataset.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a server holds a handful, and every look-up reads through one"
)]
pub enum Data {
    /// Prefixes of either family.
    Addresses(AddressList),
    /// Domain names.
    Names(NameList),
    /// Records of any type.
    Generic(GenericTable),
    /// Datasets for sub-zones.
    Combined(Vec<SubList>),
    /// Client addresses.
    Access(AccessTable),
}

/// Prefixes and what they say.
#[derive(Debug)]
pub struct AddressList {
    /// The IPv4 prefixes; `None` in a dataset that is not about IPv4 (which matters for the
    /// IPv4-mapped names of the whole zone).
    pub v4: Option<PrefixTable<u32>>,
    /// The IPv6 prefixes; `None` in a dataset that is not about IPv6.
    pub v6: Option<PrefixTable<u128>>,
    /// What the states of both mean.
    pub listing: Listing,
    /// An exception covers one of the RFC 5782 test entries, 127.0.0.2 or ::ffff:7f00:2.
    pub test_excluded: bool,
}

/// Domain names and what they say.
#[derive(Debug)]
pub struct NameList {
    /// The names and wildcards.
    pub table: NameTable,
    /// What its states mean.
    pub listing: Listing,
    /// An exception names TEST, the test entry of RFC 5782.
    pub test_excluded: bool,
}

/// One section of a combined dataset.
#[derive(Debug)]
pub struct SubList {
    /// The sub-zones that ask it, relative to the zone; the root is the zone itself.
    pub sub_zones: Vec<Name>,
    /// Its data.
    pub dataset: Arc<Dataset>,
}

/// What a report says of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries read, exceptions included.
    pub entries: u64,
    /// How many of them are exceptions.
    pub exceptions: u64,
    /// Distinct values.
    pub values: u64,
    /// The shortest prefix length among IPv4 listings, and the longest.
    pub v4_lengths: Option<(u8, u8)>,
    /// The shortest prefix length among IPv6 listings, and the longest.
    pub v6_lengths: Option<(u8, u8)>,
    /// Memory of the compiled tables and values, in octets.
    pub bytes: usize,
}

/// RFC 5782, section 5: the address that every IPv4 list holds.
pub const TEST_V4: u32 = 0x7f00_0002;
/// RFC 5782, section 5: the address that every IPv6 list holds, ::ffff:127.0.0.2.
pub const TEST_V6: u128 = 0xffff_7f00_0002;
/// RFC 5782, section 5: the name that every domain list holds, as the key of a table.
const TEST_NAME_KEY: &[u8] = b"test\0";

impl Dataset {
    /// Compiles what was read. `paths` are the dataset's files in their order, for the remarks that
    /// only compiling can make (duplicates, entries that say nothing new).
    ///
    /// `default_ttl` holds, in seconds, where no `$TTL` stands.
    ///
    /// # Errors
    /// When the entries do not fit the tables' 32-bit indices.
    pub fn compile(
        parsed: Parsed,
        paths: &[Arc<PathBuf>],
        default_ttl: u32,
        diagnostics: &mut Diagnostics,
    ) -> Result<Self, TooManyPrefixes> {
        let Parsed { kind, content, values, specials, modified, entries, exceptions } = parsed;
        let mut summary =
            Summary { entries, exceptions, values: values.values().len() as u64, ..Default::default() };
        let Specials { soa, name_servers, ttl, expires, variables } = specials;
        let ttl = ttl.unwrap_or(default_ttl);
        let listing = Listing::new(values.values(), &variables, ttl);
        let mut remarks = Remarks::new(paths, diagnostics);
        let data = match content {
            Content::Addresses(entries) => {
                summary.v4_lengths = lengths(&entries.v4);
                summary.v6_lengths = lengths(&entries.v6);
                let list = AddressList::compile(kind, entries, listing, &mut remarks)?;
                summary.bytes = list.bytes();
                Data::Addresses(list)
            }
            Content::Names(entries) => {
                let test_excluded = entries.iter().any(|(key, entry)| {
                    key == TEST_NAME_KEY && entry.scope == Scope::Exact && entry.state == UNLISTED
                });
                // States are united and looked up while the table is built.
                let listing = RefCell::new(listing);
                let table = NameTable::build(
                    entries,
                    &mut |states| listing.borrow_mut().union(states),
                    &mut |remark, key| remarks.name(remark, key, &listing.borrow()),
                );
                let listing = listing.into_inner();
                remarks.left_out(listing.left_out());
                summary.bytes = table.bytes() + listing.bytes();
                Data::Names(NameList { table, listing, test_excluded })
            }
            Content::Generic(records) => {
                let table = GenericTable::new(records);
                summary.bytes = table.bytes();
                Data::Generic(table)
            }
            Content::Combined(sections) => {
                let mut lists = Vec::with_capacity(sections.len());
                for section in sections {
                    let dataset = Self::compile(section.parsed, paths, ttl, diagnostics)?;
                    summary.values += dataset.summary.values;
                    summary.bytes += dataset.summary.bytes;
                    summary.v4_lengths = widen(summary.v4_lengths, dataset.summary.v4_lengths);
                    summary.v6_lengths = widen(summary.v6_lengths, dataset.summary.v6_lengths);
                    lists.push(SubList { sub_zones: section.sub_zones, dataset: Arc::new(dataset) });
                }
                Data::Combined(lists)
            }
            Content::Access(rules) => Data::Access(AccessTable::new(rules, &variables, ttl)),
        };
        Ok(Self { kind, data, soa, name_servers, expires, modified, summary })
    }
}

impl AddressList {
    fn compile(
        kind: Kind,
        entries: AddressEntries,
        mut listing: Listing,
        remarks: &mut Remarks<'_>,
    ) -> Result<Self, TooManyPrefixes> {
        let AddressEntries { mut v4, v6 } = entries;
        let (about_v4, about_v6) = match kind {
            Kind::Ip6tset | Kind::Ip6trie => (false, true),
            Kind::Ip => (!v4.is_empty(), true),
            _ => (true, false),
        };
        let test_excluded = v4.iter().any(|entry| entry.state == UNLISTED && covers(entry, TEST_V4))
            || v6.iter().any(|entry| entry.state == UNLISTED && covers(entry, TEST_V6));
        if kind == Kind::Ip4set {
            unite(&mut v4, &mut listing, remarks);
            remarks.left_out(listing.left_out());
        }
        Ok(Self {
            v4: about_v4.then(|| PrefixTable::build(v4, &mut |remark| remarks.prefix(remark))).transpose()?,
            v6: about_v6.then(|| PrefixTable::build(v6, &mut |remark| remarks.prefix(remark))).transpose()?,
            listing,
            test_excluded,
        })
    }

    fn bytes(&self) -> usize {
        let v4 = self.v4.as_ref().map_or(0, PrefixTable::bytes);
        let v6 = self.v6.as_ref().map_or(0, PrefixTable::bytes);
        v4 + v6 + self.listing.bytes()
    }
}

/// Makes one entry of all that name one block, as ip4set has it: an exception wins, else all
/// values are said.
fn unite(entries: &mut Vec<Entry<u32>>, listing: &mut Listing, remarks: &mut Remarks<'_>) {
    sort(entries);
    let mut states = Vec::new();
    let mut told = None; // a range has many blocks
    let mut kept = 0;
    let mut start = 0;
    while start < entries.len() {
        let first = entries[start];
        let same = |entry: &Entry<u32>| (entry.first, entry.length) == (first.first, first.length);
        let count = entries[start..].iter().take_while(|entry| same(entry)).count();
        let block = &entries[start..start + count];
        for pair in block.windows(2).filter(|pair| pair[0].state == pair[1].state) {
            let line = Some((pair[1].file, pair[1].line));
            if told != line {
                remarks.prefix(Remark::Duplicate { kept: pair[0], dropped: pair[1] });
                told = line;
            }
        }
        states.clear();
        states.extend(block.iter().map(|entry| entry.state));
        entries[kept] = Entry { state: listing.union(&states), ..first };
        kept += 1;
        start += count;
    }
    entries.truncate(kept);
}

fn covers<A: Address>(entry: &Entry<A>, address: A) -> bool {
    address.masked(entry.length) == { entry.first }
}

fn lengths<A: Address>(entries: &[Entry<A>]) -> Option<(u8, u8)> {
    let listed = entries.iter().filter(|entry| entry.state != UNLISTED);
    listed.map(|entry| (entry.length, entry.length)).reduce(wider)
}

fn widen(one: Option<(u8, u8)>, other: Option<(u8, u8)>) -> Option<(u8, u8)> {
    one.into_iter().chain(other).reduce(wider)
}

fn wider(one: (u8, u8), other: (u8, u8)) -> (u8, u8) {
    (one.0.min(other.0), one.1.max(other.1))
}
