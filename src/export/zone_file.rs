//! A standard zone file (RFC 1035, section 5): the virtual zone, written down name for name, which NSD, Knot
//! DNS and BIND load. Every complete key gets the same answer from them as from nibbl, but for NXDOMAIN, which
//! is NODATA where an exception needs a name. BIND wants `check-names primary ignore` for domain lists whose
//! names are no host names (`a_b.example`).

use std::fmt::Write as _;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ExportError;
use crate::name::{labels, write_label};
use crate::virtual_zone::{Names, VirtualName, VirtualZone};
use crate::zone::Zone;
use crate::zone_file::diagnostic::{Diagnostics, Severity};

const CNAME: u16 = 5;

/// Writes a zone. The SOA record comes first, all names follow in canonical order.
///
/// # Errors
/// The output could not be written, or standard servers would not take such a zone.
pub fn write(zone: &Zone, out: &mut impl Write, diagnostics: &mut Diagnostics) -> Result<(), ExportError> {
    write_names(zone, VirtualZone::new(zone)?.names(), out, diagnostics)
}

/// Writes the range records of a zone and its apex, for a server that is to host only them.
///
/// # Errors
/// As [`write()`], or the zone has no range records.
pub fn write_ranges(
    zone: &Zone,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), ExportError> {
    if !zone.has_ranges() {
        return Err(ExportError::NoRanges(zone.name().to_string()));
    }
    write_names(zone, VirtualZone::new(zone)?.range_names(), out, diagnostics)
}

fn write_names(
    zone: &Zone,
    mut names: Names<'_>,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), ExportError> {
    let soa = zone.apex().soa().ok_or_else(|| ExportError::NoSoa(zone.name().to_string()))?;
    let mut warn = |message: String| {
        diagnostics.push_plain(Severity::Warning, format!("zone {}: {message}", zone.name()))
    };
    if zone.apex().hosts().is_empty() {
        warn("no $NS: BIND does not load such a zone".into());
    }
    writeln!(out, "$ORIGIN {}", name_text(zone.name().wire()))?;
    for mut name in names.by_ref() {
        if name.key.is_empty() {
            name.records.sort_by_key(|set| set.record_type != soa.record_type);
        }
        write_name(&name, out)?;
    }
    if names.too_long() > 0 {
        warn(format!(
            "{} names left out: with the zone's own they have more than 255 octets",
            names.too_long()
        ));
    }
    Ok(())
}

fn write_name(name: &VirtualName<'_>, out: &mut impl Write) -> Result<(), ExportError> {
    let owner = owner_text(name);
    if name.records.len() > 1 && name.records.iter().any(|set| set.record_type == CNAME) {
        return Err(ExportError::CnameAndOther(owner));
    }
    for set in &name.records {
        for rdata in &set.rdata {
            let (kind, data) = (type_text(set.record_type), rdata_text(set.record_type, rdata));
            writeln!(out, "{owner} {} IN {kind} {data}", set.ttl)?;
        }
    }
    Ok(())
}

/// The part left of the origin.
fn owner_text(name: &VirtualName<'_>) -> String {
    let labels: Vec<String> = name.labels().iter().map(|label| label_text(label)).collect();
    if labels.is_empty() { "@".into() } else { labels.join(".") }
}

/// A name in wire form as text, with its final dot.
fn name_text(wire: &[u8]) -> String {
    let text: String = labels(wire).map(|label| label_text(label) + ".").collect();
    if text.is_empty() { ".".into() } else { text }
}

fn label_text(label: &[u8]) -> String {
    let mut text = String::with_capacity(label.len());
    write_label(label, &mut |octet| {
        // Parentheses go on over lines, in zone files only.
        if matches!(octet, b'(' | b')') {
            text.push('\\');
        }
        text.push(char::from(octet));
    });
    text
}

fn type_text(record_type: u16) -> String {
    match record_type {
        1 => "A".into(),
        2 => "NS".into(),
        5 => "CNAME".into(),
        6 => "SOA".into(),
        12 => "PTR".into(),
        15 => "MX".into(),
        16 => "TXT".into(),
        17 => "RP".into(),
        28 => "AAAA".into(),
        code => format!("TYPE{code}"),
    }
}

/// Rdata as text: the common types as usual, any other as RFC 3597 says.
pub(super) fn rdata_text(record_type: u16, rdata: &[u8]) -> String {
    readable(record_type, rdata).unwrap_or_else(|| {
        let mut text = format!("\\# {} ", rdata.len());
        text.extend(rdata.iter().map(|octet| format!("{octet:02x}")));
        text
    })
}

fn readable(record_type: u16, rdata: &[u8]) -> Option<String> {
    Some(match record_type {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?).to_string(),
        28 => Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?).to_string(),
        2 | 5 | 12 => name_text(rdata),
        15 => {
            let (preference, host) = rdata.split_first_chunk::<2>()?;
            format!("{} {}", u16::from_be_bytes(*preference), name_text(host))
        }
        17 => {
            let (mailbox, text) = two_names(rdata)?;
            format!("{} {}", name_text(mailbox), name_text(text))
        }
        6 => {
            let (primary, rest) = two_names(rdata)?;
            let numbers = rest.get(name_length(rest)..)?;
            let mut text = format!("{} {}", name_text(primary), name_text(rest));
            for number in numbers.chunks_exact(4) {
                let number = number.iter().fold(0u32, |value, octet| value << 8 | u32::from(*octet));
                write!(text, " {number}").ok()?;
            }
            text
        }
        16 => {
            let mut text = String::new();
            let mut rest = rdata;
            while let Some((&length, after)) = rest.split_first() {
                let (string, after) = after.split_at_checked(length.into())?;
                let separator = if text.is_empty() { "" } else { " " };
                write!(text, "{separator}\"{}\"", quoted(string)).ok()?;
                rest = after;
            }
            text
        }
        _ => return None,
    })
}

/// A name, and what follows it.
fn two_names(rdata: &[u8]) -> Option<(&[u8], &[u8])> {
    rdata.split_at_checked(name_length(rdata))
}

/// How many octets the name at the beginning has, the root label included.
fn name_length(wire: &[u8]) -> usize {
    labels(wire).map(|label| label.len() + 1).sum::<usize>() + 1
}

/// A character-string between quotes.
fn quoted(string: &[u8]) -> String {
    let mut text = String::with_capacity(string.len());
    for &octet in string {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            b' '..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text
}
