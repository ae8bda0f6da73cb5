//! nftables: a table with two sets of intervals, `listed4` and `listed6`, all listed addresses in each
//! whatever their values, but those of the machine itself (`127.0.0.0/8` and `::1`).
//!
//! `nft -f FILE` makes the table or fills its sets anew, in one transaction; rules of the operator's own refer
//! to the sets, as in `ip6 saddr @listed6 drop`. Intervals need no exceptions: they end where one begins.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{client_run, warn_of_left_out};
use crate::zone::{Family, Zone};
use crate::zone_file::diagnostic::Diagnostics;

/// How many intervals one command adds.
const A_COMMAND: usize = 1000;

/// Writes the sets of a zone, in a table that is named after it.
///
/// # Errors
/// The output could not be written.
pub fn write(zone: &Zone, out: &mut impl Write, diagnostics: &mut Diagnostics) -> io::Result<()> {
    warn_of_left_out(zone, "nft", diagnostics);
    let table = format!("inet nibbl_{}", identifier(&zone.name().to_string()));
    writeln!(out, "# {}, serial {}: the listed addresses", zone.name(), zone.apex().serial())?;
    writeln!(out, "add table {table}")?;
    for (family, set, kind) in [(Family::V4, "listed4", "ipv4_addr"), (Family::V6, "listed6", "ipv6_addr")] {
        writeln!(out, "add set {table} {set} {{ type {kind}; flags interval; }}")?;
        writeln!(out, "flush set {table} {set}")?;
        let mut count = 0;
        for_each_interval(zone, family, |first, last| {
            let separator = match count % A_COMMAND {
                0 if count > 0 => format!(" }}\nadd element {table} {set} {{ "),
                0 => format!("add element {table} {set} {{ "),
                _ => ", ".into(),
            };
            count += 1;
            let (first, last) = (address(family, first), address(family, last));
            match first == last {
                true => write!(out, "{separator}{first}"),
                false => write!(out, "{separator}{first}-{last}"),
            }
        })?;
        if count > 0 {
            writeln!(out, " }}")?;
        }
    }
    Ok(())
}

/// The maximal intervals of listed addresses, in order.
fn for_each_interval(
    zone: &Zone,
    family: Family,
    mut interval: impl FnMut(u128, u128) -> io::Result<()>,
) -> io::Result<()> {
    let map = zone.addresses();
    let mut open: Option<(u128, u128)> = None;
    let mut next = Some(0);
    while let Some(address) = next {
        let (_, last, listed) = client_run(&map, family, address);
        open = match (listed, open.take()) {
            (Some(_), Some((begin, _))) => Some((begin, last)),
            (Some(_), None) => Some((address, last)),
            (None, Some((begin, end))) => {
                interval(begin, end)?;
                None
            }
            (None, None) => None,
        };
        next = last.checked_add(1).filter(|_| last < family.last());
    }
    open.map_or(Ok(()), |(begin, end)| interval(begin, end))
}

fn address(family: Family, address: u128) -> String {
    match family {
        Family::V4 => Ipv4Addr::from(address as u32).to_string(),
        Family::V6 => Ipv6Addr::from(address).to_string(),
    }
}

/// A name as a part of nftables' identifiers, no two names alike: `_` is a dot, and `__` with two hexadecimal
/// digits is an octet that is neither letter nor digit.
fn identifier(name: &str) -> String {
    let letter = |octet: u8| match octet {
        b'.' => "_".to_owned(),
        octet if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
        octet => format!("__{octet:02x}"),
    };
    name.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn names_of_tables() {
        let names =
            ["a.b.example", "a-b.example", "a_b.example", "a.-b.example", "a-.b.example", "a.2d.b.example"];
        let tables = names.map(identifier);
        assert_eq!(tables[..2], ["a_b_example", "a__2db_example"]);
        let distinct: std::collections::BTreeSet<_> = tables.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{tables:?}");
    }
}
