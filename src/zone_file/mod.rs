//! Data files in rbldnsd's formats, and in our own `ip`: text in, entries and diagnostics out.
//!
//! [`Parser`] reads the files of a dataset. A line goes through `lexer` (blocks of octets to lines),
//! `special` if it begins with `$`, and else the module of its format, which gives its entry to the
//! `list` in the making; `parts` of a large file are read side by side. A line that is wrong is skipped and reported, with its place; the rest of
//! the file counts. Everything is octets: data files have no encoding.

mod acl;
mod combined;
pub mod diagnostic;
mod dnset;
mod entry_value;
mod generic;
mod ip4;
mod ip6;
mod lexer;
mod list;
mod native;
mod parser;
mod parts;
mod report;
mod special;
#[cfg(test)]
mod tests;
mod warnings;

use std::time::SystemTime;

use ipnet::IpNet;

use crate::name::Name;
use crate::name_table::NameEntries;
use crate::prefix_table::Entry;
use crate::value::{Value, ValueTable, Variables};

pub use parser::Parser;

/// The dataset types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One list for both families, longest match, exceptions: our own type.
    Ip,
    /// IPv4 ranges by octet level, many values an address.
    Ip4set,
    /// Single IPv4 addresses.
    Ip4tset,
    /// IPv4 prefixes, longest match.
    Ip4trie,
    /// IPv6 /64s and excluded single addresses.
    Ip6tset,
    /// IPv6 prefixes, longest match.
    Ip6trie,
    /// Domain names and wildcards. `dnhash` is an alias.
    #[serde(alias = "dnhash")]
    Dnset,
    /// Records of any type at names.
    Generic,
    /// Sections of the other types, each for sub-zones.
    Combined,
    /// Client addresses and what they are answered.
    Acl,
}

/// What is wrong with `192.0.2.1/24`, unless [`ReadOptions::accept_host_bits`].
const HOST_BITS: &str =
    "address bits are set after the prefix length (`accept_host_bits` clears them, -e of rbldnsd)";

/// How data files are read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// rbldnsd's letter: TXT of at most 255 octets of input, and a line with a byte order mark is bad.
    pub dropin: bool,
    /// rbldnsd's `-e`: entries with host bits set are taken, with the bits cleared.
    pub accept_host_bits: bool,
    /// rbldnsd's `-C` clears it: compressed files are taken.
    pub decompress: bool,
    /// The TTL where no `$TTL` stands, in seconds; `$SOA 0 …` takes it.
    pub default_ttl: u32,
    /// No TTL of an entry is below this.
    pub min_ttl: u32,
    /// No TTL of an entry is above this; 0 is no limit.
    pub max_ttl: u32,
    /// Listings wider than this many bits draw a warning: 19 in IPv6 ...
    pub widest_v6: u8,
    /// ... and 8 in IPv4.
    pub widest_v4: u8,
    /// The time, for `$TIMESTAMP`.
    pub now: SystemTime,
}

/// What makes a whole dataset fail: it has a place, as a diagnostic has.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file cannot be read, decompressed, or changed while it was read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that no dataset survives: data of a combined dataset that belongs to no section, say.
    #[error("{0}")]
    Line(diagnostic::Diagnostic),
    /// A line of data from the future: it may do at another time.
    #[error("{0}")]
    Early(diagnostic::Diagnostic),
}

/// `$SOA`, in the order of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// TTL of the record in seconds.
    pub ttl: u32,
    /// MNAME.
    pub primary: Name,
    /// RNAME.
    pub mailbox: Name,
    /// Serial; 0 takes the newest modification time of the zone's files.
    pub serial: u32,
    /// Refresh, retry, expire, minimum, in seconds.
    pub refresh: u32,
    /// See `refresh`.
    pub retry: u32,
    /// See `refresh`.
    pub expire: u32,
    /// The TTL of negative answers (RFC 2308).
    pub minimum: u32,
}

/// `$NS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServers {
    /// TTL in seconds.
    pub ttl: u32,
    /// The hosts, in order, without duplicates.
    pub hosts: Vec<Name>,
}

/// The special lines of a dataset.
#[derive(Clone, Debug, Default)]
pub struct Specials {
    /// `$SOA`: the first.
    pub soa: Option<Soa>,
    /// `$NS`: the first.
    pub name_servers: Option<NameServers>,
    /// `$TTL`: the last, clamped; `None` where none stands.
    pub ttl: Option<u32>,
    /// `$TIMESTAMP`'s expiry as seconds since 1970.
    pub expires: Option<u64>,
    /// `$0` to `$9` and `$=`.
    pub variables: Variables,
}

/// The entries of a list of addresses. An entry's state is 0 for an exception, else 1 + the
/// `ValueId` of its value.
#[derive(Debug, Default)]
pub struct AddressEntries {
    /// IPv4 entries.
    pub v4: Vec<Entry<u32>>,
    /// IPv6 entries.
    pub v6: Vec<Entry<u128>>,
}

/// One record of a generic dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenericRecord {
    /// Owner, relative to the zone; the root is the apex.
    pub owner: Name,
    /// Type code.
    pub record_type: u16,
    /// TTL in seconds: its own, or what was in force at its line.
    pub ttl: u32,
    /// Rdata in uncompressed wire form.
    pub rdata: Box<[u8]>,
}

/// One rule of an acl.
#[derive(Clone, Debug)]
pub struct AccessRule {
    /// The clients.
    pub clients: IpNet,
    /// What they get.
    pub action: AccessAction,
}

/// What an acl gives a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessAction {
    /// No reply at all.
    Ignore,
    /// REFUSED for everything.
    Refuse,
    /// As if nothing were listed.
    Empty,
    /// As without an acl.
    Pass,
    /// Every complete key is listed with this value.
    Always(Value),
}

/// One `$DATASET` section of a combined dataset.
#[derive(Debug)]
pub struct Section {
    /// The sub-zones, relative to the zone; the root is the zone itself.
    pub sub_zones: Vec<Name>,
    /// Its name for reports, if it has one.
    pub title: Option<String>,
    /// The section's own entries; its specials hold what is in force for it (TTL, variables).
    pub parsed: Parsed,
}

/// The entries of a dataset.
#[derive(Debug)]
pub enum Content {
    /// `ip4set`, `ip4tset`, `ip4trie`, `ip6tset`, `ip6trie`, `ip`.
    Addresses(AddressEntries),
    /// `dnset`. States as in [`AddressEntries`].
    Names(NameEntries),
    /// `generic`.
    Generic(Vec<GenericRecord>),
    /// `combined`.
    Combined(Vec<Section>),
    /// `acl`.
    Access(Vec<AccessRule>),
}

/// A dataset, read but not compiled.
#[derive(Debug)]
pub struct Parsed {
    /// Its type.
    pub kind: Kind,
    /// Its entries.
    pub content: Content,
    /// The values that the entries' states mean.
    pub values: ValueTable,
    /// Its special lines. In a combined dataset: the common ones, and SOA and NS of all sections.
    pub specials: Specials,
    /// The newest modification time of its files, as seconds since 1970.
    pub modified: u64,
    /// Entries read (listings and exceptions), for reports and for the guard against bad reloads.
    pub entries: u64,
    /// How many of them are exceptions.
    pub exceptions: u64,
}
