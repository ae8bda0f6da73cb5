//! A response policy zone: resolvers that load it drop the queries of listed clients.
//!
//! Triggers are client addresses (`24.0.2.0.192.rpz-client-ip`), of which the longest match decides;
//! exceptions are `rpz-passthru`. Resolvers take no trigger for all addresses, and read those inside
//! `::ffff:0:0/96` as IPv4: two halves stand for the one, and the others, which no client has, are left out.
//! Though it is a zone, it is a filter like the other formats for clients, and has no test entries: nobody asks
//! it for 127.0.0.2, the resolver would drop what comes from there. The file names no origin: it can be loaded
//! under any name. Where another action is wanted than to drop, resolvers override it for a whole zone
//! (BIND: `policy nxdomain`).

use std::io::Write;

use super::prefixes::{Order, Prefixes, halves};
use super::{ExportError, MAPPED_PREFIX, client_run, record_text, warn_of_left_out};
use crate::zone::{Family, Prefix, Zone};
use crate::zone_file::diagnostic::Diagnostics;

/// Writes the policy zone of a zone.
///
/// # Errors
/// The output could not be written, or the zone has no SOA.
pub fn write(zone: &Zone, out: &mut impl Write, diagnostics: &mut Diagnostics) -> Result<(), ExportError> {
    warn_of_left_out(zone, "rpz", diagnostics);
    let soa = zone.apex().soa().ok_or_else(|| ExportError::NoSoa(zone.name().to_string()))?;
    writeln!(out, "; clients listed by {}, serial {}", zone.name(), zone.apex().serial())?;
    let ttl = soa.ttl;
    writeln!(out, "$TTL {ttl}")?;
    for rdata in &soa.rdata {
        writeln!(out, "@ SOA {}", record_text::rdata_text(soa.record_type, rdata))?;
    }
    writeln!(out, "@ NS localhost.")?;
    let map = zone.addresses();
    for family in [Family::V4, Family::V6] {
        let run = |address| {
            let (first, last, listed) = client_run(&map, family, address);
            (first, last, listed.is_some())
        };
        let mut emit = |prefix: Prefix, &listed: &bool| {
            if prefix == MAPPED_PREFIX {
                return Ok(());
            }
            let action = if listed { "rpz-drop." } else { "rpz-passthru." };
            writeln!(out, "{}.rpz-client-ip CNAME {action}", trigger(prefix))
        };
        let mut prefixes = Prefixes { family, order: Order::OuterFirst, run: &run, emit: &mut emit };
        for half in halves(Prefix::all(family)) {
            prefixes.within(half, &false)?;
        }
    }
    Ok(())
}

/// A prefix as a trigger's name: its length, and its octets or groups from the last to the first. The
/// longest run of zero groups, where it has more than one, is `zz`.
fn trigger(prefix: Prefix) -> String {
    let Prefix { family, first, length } = prefix;
    let mut parts: Vec<String> = match family {
        Family::V4 => (first as u32).to_be_bytes().map(|octet| octet.to_string()).into(),
        Family::V6 => std::net::Ipv6Addr::from(first).segments().map(|group| format!("{group:x}")).into(),
    };
    if family == Family::V6 {
        let zeros = |begin: usize| parts[begin..].iter().take_while(|part| *part == "0").count();
        // The first of equally long ones.
        let longest = (0..parts.len()).rev().max_by_key(|&begin| zeros(begin));
        if let Some((begin, count)) =
            longest.map(|begin| (begin, zeros(begin))).filter(|&(_, count)| count > 1)
        {
            parts.splice(begin..begin + count, ["zz".to_string()]);
        }
    }
    parts.reverse();
    format!("{length}.{}", parts.join("."))
}
