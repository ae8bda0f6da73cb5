//! Writes the reply to a plain question in the place of its packet: behind header and question at
//! most one record that points to the name, the encoded tail of the zone, OPT.
//!
//! Nothing is written before it is certain that all of it fits, so that the general path finds the
//! packet whole where it has to answer.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::exchange::{BUFFER_OCTETS, Buffer, Exchange};
use super::question::{OPT_OCTETS, Plain};
use super::tail;
use super::view::Plan;
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

/// The record of an answer.
enum Answer<'v> {
    None,
    Address([u8; 4], u32),
    Text(Text<'v>, u32),
}

/// The character-string of a TXT record.
struct Text<'v> {
    template: &'v Template,
    /// What stands for the address in it.
    address: SmallVec<[u8; 48]>,
    octets: u8,
}

/// A pointer to the name in the question.
const NAME: u16 = 0xc000 | HEADER_OCTETS as u16;
/// Octets of a record before its rdata.
const RECORD_OCTETS: usize = 12;

/// Writes the reply. `false` where it is not that simple (it does not fit, or the text is too long for
/// one character-string); then nothing has happened.
#[inline(always)]
pub(super) fn write(
    exchange: &mut Exchange<'_>,
    plain: &Plain,
    address: u128,
    plan: &Plan,
    verdict: Verdict<'_>,
    udp_size: u16,
) -> bool {
    let Some((answer, code)) = answer(plain, address, plan, verdict) else { return false };
    let (octets, answers, tail) = match &answer {
        Answer::None => (0, 0, &plan.negative),
        Answer::Address(address, _) => (RECORD_OCTETS + address.len(), 1, &plan.positive),
        Answer::Text(text, _) => (RECORD_OCTETS + 1 + usize::from(text.octets), 1, &plan.positive),
    };
    let opt_octets = if plain.edns.is_some() { OPT_OCTETS } else { 0 };
    let end = plain.end() + octets + tail.len() + opt_octets;
    if end > limit(plain, udp_size) {
        return false;
    }
    let buffer = &mut *exchange.buffer;
    match &answer {
        Answer::None => {}
        Answer::Address(address, ttl) => {
            let fixed = record(record_type::A, *ttl, address.len() as u16);
            if let Some((place, rdata)) = buffer[plain.end()..].split_first_chunk_mut() {
                *place = fixed;
                rdata[..address.len()].copy_from_slice(address);
            }
        }
        Answer::Text(text, ttl) => text.write(*ttl, &mut buffer[plain.end()..plain.end() + octets]),
    }
    tail.write(plain.apex(), &mut buffer[plain.end() + octets..]);
    if let Some(edns) = plain.edns {
        write_opt(edns.dnssec_ok, udp_size, &mut buffer[end - OPT_OCTETS..]);
    }
    let additionals = tail.additionals + u16::from(plain.edns.is_some());
    finish_header(buffer, flag::AUTHORITATIVE, code, [1, answers, tail.authorities, additionals]);
    let outcome = Outcome {
        reply: true,
        zone: Some(plan.index),
        rcode: code,
        query_type: plain.record_type,
        query_class: class::IN,
        answers,
        family: Some(plain.family),
        listed: matches!(verdict, Verdict::Listed(..)),
        ..Outcome::default()
    };
    exchange.replied(end, outcome);
    true
}

/// The record of the answer, if there is one, and the response code.
#[inline(always)]
fn answer<'v>(plain: &Plain, address: u128, plan: &Plan, verdict: Verdict<'v>) -> Option<(Answer<'v>, u16)> {
    let Verdict::Listed(saying, ttl) = verdict else { return Some((Answer::None, rcode::NXDOMAIN)) };
    let answer = match (plain.record_type, &saying.text) {
        (record_type::A, _) => Answer::Address(saying.address, ttl),
        (record_type::TXT, Some(template)) => {
            Answer::Text(Text::new(template, plain.family, address, plan.zone.options().dropin)?, ttl)
        }
        _ => Answer::None,
    };
    Some((answer, rcode::NOERROR))
}

/// The most octets that a reply may have (RFC 6891, section 6.2.5), and that may be written here: a
/// tail is copied in whole pieces.
#[inline(always)]
pub(super) fn limit(plain: &Plain, udp_size: u16) -> usize {
    const WITHOUT_EDNS: u16 = 512;
    let limit = plain.edns.map_or(WITHOUT_EDNS, |edns| edns.udp_size.min(udp_size).max(WITHOUT_EDNS));
    usize::from(limit).min(BUFFER_OCTETS - tail::COPIED)
}

/// A record up to its rdata.
#[inline(always)]
fn record(record_type: u16, ttl: u32, rdata_octets: u16) -> [u8; RECORD_OCTETS] {
    let [n0, n1] = NAME.to_be_bytes();
    let [t0, t1] = record_type.to_be_bytes();
    let [c0, c1] = class::IN.to_be_bytes();
    let [s0, s1, s2, s3] = ttl.to_be_bytes();
    let [o0, o1] = rdata_octets.to_be_bytes();
    [n0, n1, t0, t1, c0, c1, s0, s1, s2, s3, o0, o1]
}

impl<'v> Text<'v> {
    /// `None` if it is too long for one character-string.
    fn new(template: &'v Template, family: Family, address: u128, dropin: bool) -> Option<Self> {
        const LONGEST_IN_DROPIN: usize = 254;
        let mut text = SmallVec::new();
        if !template.is_literal() {
            // Writing to memory cannot fail.
            let _ = match family {
                Family::V4 => write!(text, "{}", Ipv4Addr::from(address as u32)),
                Family::V6 => write!(text, "{}", Ipv6Addr::from(address)),
            };
        }
        let octets = template.octets(text.len());
        let octets = if dropin { octets.min(LONGEST_IN_DROPIN) } else { octets };
        Some(Self { template, address: text, octets: u8::try_from(octets).ok()? })
    }

    /// Writes a TXT record that fills `place`.
    fn write(&self, ttl: u32, place: &mut [u8]) {
        let Some((fixed, rdata)) = place.split_first_chunk_mut() else { return };
        *fixed = record(record_type::TXT, ttl, u16::from(self.octets) + 1);
        let Some((octets, mut text)) = rdata.split_first_mut() else { return };
        *octets = self.octets;
        self.template.pieces(&self.address).for_each(|piece| {
            let written = piece.len().min(text.len());
            let (place, rest) = std::mem::take(&mut text).split_at_mut(written);
            place.copy_from_slice(&piece[..written]);
            text = rest;
        });
    }
}

/// Writes OPT without options.
#[inline(always)]
pub(super) fn write_opt(dnssec_ok: bool, udp_size: u16, place: &mut [u8]) {
    const TYPE: [u8; 2] = record_type::OPT.to_be_bytes();
    let [s0, s1] = udp_size.to_be_bytes();
    if let Some(place) = place.first_chunk_mut::<OPT_OCTETS>() {
        *place = [0, TYPE[0], TYPE[1], s0, s1, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0];
    }
}

/// Makes the header of the query that of its reply: RD and CD are copied, RA, AD and Z are clear; AA is
/// what `authoritative` is.
#[inline(always)]
pub(super) fn finish_header(buffer: &mut Buffer, authoritative: u16, code: u16, counts: [u16; 4]) {
    const COPIED: u16 = flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    let asked = u16::from_be_bytes([buffer[2], buffer[3]]);
    let flags = flag::RESPONSE | authoritative | asked & COPIED | code;
    buffer[2..4].copy_from_slice(&flags.to_be_bytes());
    let counts = counts.iter().fold(0, |counts, &count| counts << 16 | u64::from(count));
    buffer[4..HEADER_OCTETS].copy_from_slice(&counts.to_be_bytes());
}
