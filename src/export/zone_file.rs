//! A standard zone file (RFC 1035, section 5): the virtual zone, written down name for name, which NSD, Knot
//! DNS and BIND load. Every complete key gets the same answer from them as from nibbl, but for NXDOMAIN, which
//! is NODATA where an exception needs a name. BIND wants `check-names primary ignore` for domain lists whose
//! names are no host names (`a_b.example`).

use std::io::Write;

use super::ExportError;
use super::record_text::{label_text, name_text, rdata_text, type_text};
use super::signed::Signing;
use crate::virtual_zone::{Names, VirtualName, VirtualZone};
use crate::zone::{EmptyNonTerminals, Zone};
use crate::zone_file::diagnostic::{Diagnostics, Severity};

/// What is written of a zone.
#[derive(Clone, Copy, Debug)]
pub enum Form<'s> {
    /// Its data, and this at empty non-terminals.
    Plain(EmptyNonTerminals),
    /// All that it has when it is signed.
    Signed(Signing<'s>),
}

/// Writes a zone. The SOA record comes first, all names follow in canonical order.
///
/// # Errors
/// The output could not be written, or standard servers would not take such a zone.
pub fn write(
    zone: &Zone,
    form: Form<'_>,
    out: &mut impl Write,
    diagnostics: &mut Diagnostics,
) -> Result<(), ExportError> {
    VirtualZone::check(zone)?;
    let (empty_non_terminals, signing) = match form {
        Form::Plain(empty_non_terminals) => (empty_non_terminals, None),
        Form::Signed(signing) => (signing.empty_non_terminals, Some(signing)),
    };
    write_names(zone, VirtualZone::new(zone, empty_non_terminals).names(), signing, out, diagnostics)
}

/// Writes the range records of a zone and its apex, for a server that is to host only them; beside them what
/// clients ask for that find no value there (A and TXT at canonical addresses), and the zone's own name servers.
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
    VirtualZone::check_labels(zone)?;
    let names = VirtualZone::new(zone, EmptyNonTerminals::Plain).range_names();
    write_names(zone, names, None, out, diagnostics)
}

fn write_names(
    zone: &Zone,
    mut names: Names<'_>,
    signing: Option<Signing<'_>>,
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
    let soa_first = names.by_ref().map(|mut name| {
        if name.key.is_empty() {
            name.records.sort_by_key(|set| set.record_type != soa.record_type);
        }
        name
    });
    match signing {
        None => soa_first.into_iter().try_for_each(|name| write_name(&name, out))?,
        Some(signing) => signing.each(soa_first, |name| write_name(&name, out))?,
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
