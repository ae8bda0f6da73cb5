//! Postfix: a table for `check_client_access cidr:FILE` (cidr_table(5)).
//!
//! The first line that matches decides, so every prefix comes after those inside it. A listed prefix is
//! rejected with its text, in which `$` has become the prefix; an exception is DUNNO, which lets the next
//! restriction decide. Postfix reads such a table from end to end for every client: a list of many thousand
//! prefixes is better asked by DNS.

use std::io::{self, Write};

use super::prefixes::{Order, Prefixes};
use super::{Listed, client_run, warn_of_left_out};
use crate::zone::{AddressMap, Family, Prefix, Zone};
use crate::zone_file::diagnostic::Diagnostics;

const TXT: u16 = 16;

/// Writes the table of a zone.
///
/// # Errors
/// The output could not be written.
pub fn write(zone: &Zone, out: &mut impl Write, diagnostics: &mut Diagnostics) -> io::Result<()> {
    warn_of_left_out(zone, "postfix-cidr", diagnostics);
    writeln!(out, "# {}, serial {}", zone.name(), zone.apex().serial())?;
    let map = zone.addresses();
    for family in [Family::V4, Family::V6] {
        let mut emit = |prefix: Prefix, listed: &Listed| {
            let Prefix { length, .. } = prefix;
            let address = prefix.to_string();
            let address = address.split('/').next().unwrap_or_default();
            match text(&map, prefix, listed) {
                None => writeln!(out, "{address}/{length} DUNNO"),
                Some(text) if text.is_empty() => writeln!(out, "{address}/{length} REJECT"),
                Some(text) => {
                    write!(out, "{address}/{length} REJECT ")?;
                    out.write_all(&text)?;
                    out.write_all(b"\n")
                }
            }
        };
        let run = |address| client_run(&map, family, address);
        Prefixes { family, order: Order::InnerFirst, run: &run, emit: &mut emit }.cover(&None)?;
    }
    Ok(())
}

/// The first text of a listed prefix, empty where it has none; `None` for an exception.
fn text(map: &AddressMap<'_>, prefix: Prefix, listed: &Listed) -> Option<Vec<u8>> {
    let texts = map.found(listed.as_ref()?, prefix).records(TXT);
    let mut rest = texts.first().and_then(|set| set.rdata.first()).map_or(&[][..], |rdata| rdata);
    let mut text = Vec::new();
    while let Some((&length, after)) = rest.split_first() {
        let (string, after) = after.split_at(usize::from(length).min(after.len()));
        text.extend(string.iter().map(|&octet| if octet < b' ' { b' ' } else { octet }));
        rest = after;
    }
    Some(text.trim_ascii().to_vec())
}
