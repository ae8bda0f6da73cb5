//! Writes the reply to a plain question: header and question as they came, at most one record that
//! points to the name, the encoded tail of the zone, OPT.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::question::Plain;
use super::view::Plan;
use crate::address::Key;
use crate::answer::Outcome;
use crate::dataset::Saying;
use crate::value::Template;
use crate::wire::{HEADER_OCTETS, class, flag, rcode, record_type};
use crate::zone::Family;

/// What a zone says of the key of a plain question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'v> {
    /// Nothing: the name does not exist.
    Unlisted,
    /// One thing, with its TTL in seconds.
    Listed(&'v Saying, u32),
}

/// A pointer to the name in the question.
const NAME: u16 = 0xc000 | HEADER_OCTETS as u16;
/// Octets of OPT without options.
const OPT_OCTETS: usize = 11;

/// Writes the reply into `reply`, which is empty. `None` where it is not that simple (it does not
/// fit, or the text is too long for one character-string); then `reply` holds anything.
#[inline(always)]
pub(super) fn write(
    packet: &[u8],
    plain: &Plain,
    plan: &Plan,
    verdict: Verdict<'_>,
    udp_size: u16,
    reply: &mut Vec<u8>,
) -> Option<Outcome> {
    reply.extend_from_slice(packet.get(..plain.end())?);
    let mut code = rcode::NOERROR;
    let mut answers = 0;
    match verdict {
        Verdict::Unlisted => code = rcode::NXDOMAIN,
        Verdict::Listed(saying, ttl) => match (plain.record_type, &saying.text) {
            (record_type::A, _) => {
                record(record_type::A, ttl, saying.address.len(), reply);
                reply.extend_from_slice(&saying.address);
                answers = 1;
            }
            (record_type::TXT, Some(template)) => {
                write_text(template, plain.key, plan.zone.options().dropin, ttl, reply)?;
                answers = 1;
            }
            _ => {}
        },
    }
    let tail = if answers > 0 { &plan.positive } else { &plan.negative };
    let opt_octets = plain.edns.map_or(0, |_| OPT_OCTETS);
    if reply.len() + tail.len() + opt_octets > limit(plain, udp_size) {
        return None;
    }
    tail.write(plain.apex(), reply);
    if let Some(edns) = plain.edns {
        const TYPE: [u8; 2] = record_type::OPT.to_be_bytes();
        let [s0, s1] = udp_size.to_be_bytes();
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        reply.extend_from_slice(&[0, TYPE[0], TYPE[1], s0, s1, 0, 0, dnssec_ok, 0, 0, 0]);
    }
    let additionals = tail.additionals + u16::from(plain.edns.is_some());
    finish_header(reply, code, [1, answers, tail.authorities, additionals]);
    Some(Outcome {
        reply: true,
        zone: Some(plan.index),
        rcode: code,
        query_type: plain.record_type,
        query_class: class::IN,
        answers,
        family: Some(match plain.key {
            Key::V4(_) => Family::V4,
            Key::V6(_) => Family::V6,
        }),
        listed: matches!(verdict, Verdict::Listed(..)),
        ..Outcome::default()
    })
}

/// The most octets that a reply may have (RFC 6891, section 6.2.5).
fn limit(plain: &Plain, udp_size: u16) -> usize {
    const WITHOUT_EDNS: u16 = 512;
    plain.edns.map_or(WITHOUT_EDNS, |edns| edns.udp_size.min(udp_size).max(WITHOUT_EDNS)).into()
}

/// Appends a record up to its rdata.
#[inline(always)]
fn record(record_type: u16, ttl: u32, rdata_octets: usize, reply: &mut Vec<u8>) {
    let mut octets = [0; 12];
    octets[..2].copy_from_slice(&NAME.to_be_bytes());
    octets[2..4].copy_from_slice(&record_type.to_be_bytes());
    octets[4..6].copy_from_slice(&class::IN.to_be_bytes());
    octets[6..10].copy_from_slice(&ttl.to_be_bytes());
    octets[10..].copy_from_slice(&(rdata_octets as u16).to_be_bytes());
    reply.extend_from_slice(&octets);
}

/// Appends a TXT record of one character-string, expanded in its place.
fn write_text(template: &Template, key: Key, dropin: bool, ttl: u32, reply: &mut Vec<u8>) -> Option<()> {
    const LONGEST_IN_DROPIN: usize = 254;
    let mut address = SmallVec::<[u8; 48]>::new();
    if !template.is_literal() {
        // Writing to memory cannot fail.
        let _ = match key {
            Key::V4(v4) => write!(address, "{}", Ipv4Addr::from(v4)),
            Key::V6(v6) => write!(address, "{}", Ipv6Addr::from(v6)),
        };
    }
    let start = reply.len();
    record(record_type::TXT, ttl, 0, reply);
    reply.push(0);
    let text = reply.len();
    template.expand(&address, reply);
    if dropin {
        reply.truncate(text + LONGEST_IN_DROPIN);
    }
    let octets = u8::try_from(reply.len() - text).ok()?;
    reply[text - 1] = octets;
    reply[start + 10..start + 12].copy_from_slice(&(u16::from(octets) + 1).to_be_bytes());
    Some(())
}

/// Makes the header of the query that of its reply: RD and CD are copied, RA, AD and Z are clear.
#[inline(always)]
fn finish_header(reply: &mut [u8], code: u16, counts: [u16; 4]) {
    let Some(header) = reply.first_chunk_mut::<HEADER_OCTETS>() else { return };
    const COPIED: u16 = flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    let asked = u16::from_be_bytes([header[2], header[3]]);
    let flags = flag::RESPONSE | flag::AUTHORITATIVE | asked & COPIED | code;
    header[2..4].copy_from_slice(&flags.to_be_bytes());
    for (place, count) in header[4..].chunks_exact_mut(2).zip(counts) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}
