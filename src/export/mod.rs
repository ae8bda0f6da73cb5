//! `nibbl export`: the data of a zone for other software.
//!
//! Every writer takes a [`Zone`] and an `impl Write`, goes through the tables once from the lowest address
//! to the highest, and holds one path of them: memory stays flat however large the zone. What a format has
//! no place for is left out, with a warning.
//!
//! - [`zone_file`]: a standard zone file, for NSD, Knot DNS and BIND: the virtual zone, written down; [`signed`]
//!   adds signatures.
//! - [`rbldnsd`]: data files for rbldnsd, or for nibbl again.
//! - [`nft`]: two sets of intervals for nftables.
//! - [`postfix_cidr`]: a `cidr:` table for Postfix.
//! - [`rpz`]: a response policy zone with client-IP triggers.
//!
//! The last three decide what becomes of clients: domain lists, generic records and sub-zones are not for
//! them, nor are IPv4-mapped addresses, which clients do not have, nor loopback addresses: with the test entry
//! 127.0.0.2 (RFC 5782, section 5) a firewall or a resolver would drop what its own machine sends.

pub mod nft;
pub mod postfix_cidr;
mod prefixes;
pub mod rbldnsd;
mod record_text;
pub mod rpz;
pub mod signed;
#[cfg(test)]
mod tests;
pub mod zone_file;

use std::io;

use crate::address::{MAPPED, MAPPED_LENGTH};
use crate::dnssec::signer::SigningFailed;
use crate::virtual_zone::Unwritable;
use crate::zone::{AddressMap, Family, Prefix, Run, Said, Zone};
use crate::zone_file::diagnostic::{Diagnostics, Severity};

/// Why an export ended early: what has been written is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output could not be written.
    #[error("cannot write the export: {0}")]
    Io(#[from] io::Error),
    /// A standard zone cannot say it.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The zone has no SOA record (in drop-in mode none is made up).
    #[error("zone {0} has no $SOA: standard servers refuse such a zone")]
    NoSoa(String),
    /// Range records are switched off, or the zone cannot have any.
    #[error("zone {0} has no range records: `ranges = true` or --ranges makes them")]
    NoRanges(String),
    /// A signature could not be made.
    #[error(transparent)]
    Signing(#[from] SigningFailed),
    /// A text with variables that rbldnsd's format cannot say in one line.
    #[error("a text cannot be written as one line of a data file: {0}")]
    Text(String),
}

/// What is said of an address, as the formats for clients need it: nothing where it is not listed.
type Listed = Option<Said>;

/// 127.0.0.0/8 and ::1, which the formats for clients leave out.
const LOOPBACK: [Prefix; 2] = [
    Prefix { family: Family::V4, first: 127 << 24, length: 8 },
    Prefix { family: Family::V6, first: 1, length: 128 },
];
/// 127.0.0.2.
const TEST_ENTRY: u128 = 127 << 24 | 2;
/// `::ffff:0:0/96`, which they leave out too: it has the loopback addresses of IPv4 again.
const MAPPED_PREFIX: Prefix = Prefix { family: Family::V6, first: MAPPED, length: MAPPED_LENGTH };

/// The run of addresses round one of them, for the formats that speak of clients: what they leave out is
/// not listed, whatever the zone says of it.
fn client_run(map: &AddressMap<'_>, family: Family, address: u128) -> (u128, u128, Listed) {
    let Run { mut first, mut last, said } = map.run(family, address);
    for left_out in LOOPBACK.into_iter().chain([MAPPED_PREFIX]).filter(|prefix| prefix.family == family) {
        if left_out.last() < address {
            first = first.max(left_out.last() + 1);
        } else if address < left_out.first {
            last = last.min(left_out.first - 1);
        } else {
            return (left_out.first, left_out.last(), None);
        }
    }
    (first, last, said.is_listed().then_some(said))
}

/// Warns of what the formats for clients leave out.
fn warn_of_left_out(zone: &Zone, format: &str, diagnostics: &mut Diagnostics) {
    let mut warn = |what: &str, why: &str| {
        let message = format!("zone {}: {what} left out: {format} {why}", zone.name());
        diagnostics.push_plain(Severity::Warning, message);
    };
    let map = zone.addresses();
    for prefix in LOOPBACK.into_iter().filter(|prefix| lists_more_than_the_test_entry(&map, *prefix)) {
        warn(&prefix.to_string(), "would shut out the machine itself");
    }
    let mut warn = |what: &str| warn(what, "has only addresses");
    if zone.list().names().next().is_some() {
        warn("domain lists");
    }
    if zone.list().generic().next().is_some() {
        warn("generic records");
    }
    if zone.combined().iter().flat_map(|sub_zones| sub_zones.keys()).any(|labels| !labels.is_empty()) {
        warn("sub-zones");
    }
}

/// True if an address of a prefix is listed that is not 127.0.0.2, which every list has (RFC 5782, section 5).
fn lists_more_than_the_test_entry(map: &AddressMap<'_>, prefix: Prefix) -> bool {
    let mut address = prefix.first;
    loop {
        let Run { first, last, said } = map.run(prefix.family, address);
        let listed = said.is_listed() && (first, last) != (TEST_ENTRY, TEST_ENTRY);
        if listed || last >= prefix.last() {
            return listed;
        }
        address = last + 1;
    }
}
