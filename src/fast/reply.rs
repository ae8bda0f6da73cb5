//! Writes the reply to a plain question in the place of its packet: behind header and question at
//! most one record that points to the name, the encoded tail of the zone, OPT.
//!
//! Nothing is written before it is certain that all of it fits, so that the general path finds the
//! packet whole where it has to answer.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::exchange::{BUFFER_OCTETS, Buffer, Exchange};
use super::opt::{Context, Opt};
use super::question::Plain;
use super::tail;
use super::view::Plan;
use crate::answer::Outcome;
use crate::cookie::Standing;
use crate::dataset::Saying;
use crate::rate_limit;
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
    context: &Context<'_>,
) -> bool {
    let reply = Reply { plain, address, plan, context, listed: matches!(verdict, Verdict::Listed(..)) };
    match verdict {
        Verdict::Unlisted => reply.write(exchange, None::<(usize, fn(&mut [u8]))>),
        Verdict::Listed(saying, ttl) if plain.record_type == record_type::A => {
            let octets = RECORD_OCTETS + saying.address.len();
            let record = |place: &mut [u8]| {
                if let Some((fixed, rdata)) = place.split_first_chunk_mut()
                    && let Some(rdata) = rdata.first_chunk_mut()
                {
                    *fixed = record(record_type::A, ttl, saying.address.len() as u16);
                    *rdata = saying.address;
                }
            };
            reply.write(exchange, Some((octets, record)))
        }
        Verdict::Listed(saying, ttl) => reply.write_text(exchange, saying, ttl),
    }
}

/// What a reply is made of, besides its record.
#[derive(Clone, Copy)]
struct Reply<'r> {
    plain: &'r Plain,
    address: u128,
    plan: &'r Plan,
    context: &'r Context<'r>,
    listed: bool,
}

impl Reply<'_> {
    /// Writes TXT, or an empty answer for any other type.
    #[inline(never)]
    fn write_text(self, exchange: &mut Exchange<'_>, saying: &Saying, ttl: u32) -> bool {
        let text = match &saying.text {
            Some(template) if self.plain.record_type == record_type::TXT => {
                let dropin = self.plan.zone.options().dropin;
                let Some(text) = Text::new(template, self.plain.family, self.address, dropin) else {
                    return false;
                };
                Some(text)
            }
            _ => None,
        };
        let octets = |text: &Text<'_>| RECORD_OCTETS + 1 + usize::from(text.octets);
        self.write(exchange, text.map(|text| (octets(&text), move |place: &mut [u8]| text.write(ttl, place))))
    }

    /// Writes the reply with at most one record, of so many octets.
    #[inline(always)]
    fn write(self, exchange: &mut Exchange<'_>, record: Option<(usize, impl FnOnce(&mut [u8]))>) -> bool {
        let Self { plain, address, plan, context, listed } = self;
        let (code, tail) = match (&record, listed) {
            (Some(_), _) => (rcode::NOERROR, &plan.positive),
            (None, true) => (rcode::NOERROR, &plan.negative),
            (None, false) => (rcode::NXDOMAIN, &plan.negative),
        };
        let answers = u16::from(record.is_some());
        let octets = record.as_ref().map_or(0, |(octets, _)| *octets);
        let Ok(opt) = Opt::new(exchange, plain, plan, code, context) else { return false };
        let records_end = plain.end() + octets + tail.len();
        let end = records_end + opt.as_ref().map_or(0, Opt::octets);
        if end > limit(plain, context.udp_size) {
            return false;
        }
        let buffer = &mut *exchange.buffer;
        let behind = &mut buffer[plain.end()..];
        if let Some((octets, write)) = record {
            write(&mut behind[..octets]);
        }
        tail.write(plain.apex(), &mut behind[octets..]);
        if let Some(opt) = &opt {
            opt.write(&mut buffer[records_end..]);
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
            listed,
            cookie: opt.map_or(Standing::None, |opt| opt.standing),
            ..Outcome::default()
        };
        exchange.replied(end, outcome, rate_limit::of_address(address, plan.index, plain.record_type));
        true
    }
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
