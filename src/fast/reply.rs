//! Writes the reply to a plain question in the place of its packet: behind header and question at
//! most one record that points to the name, the encoded tail of the zone, OPT.
//!
//! Nothing is written before it is certain that all of it fits, so that the general path finds the
//! packet whole where it has to answer.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::exchange::{Buffer, Exchange};
use super::opt::{self, Context, ROOM};
use super::question::Plain;
use super::tail::Tail;
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
    let has_options = !opt::has_none(plain, plan, context);
    match verdict {
        Verdict::Unlisted if !has_options => {
            Reply { plain, address, plan, context }.write_denial(exchange, Options::default())
        }
        Verdict::Listed(saying, ttl) if !has_options && plain.record_type == record_type::A => {
            Reply { plain, address, plan, context }.write_address(exchange, saying, ttl, Options::default())
        }
        Verdict::Unlisted => Reply { plain, address, plan, context }.write_other(exchange, None, 0),
        Verdict::Listed(saying, ttl) => {
            Reply { plain, address, plan, context }.write_other(exchange, Some(saying), ttl)
        }
    }
}

/// What a reply is made of, besides its record and its options.
#[derive(Clone, Copy)]
struct Reply<'r> {
    plain: &'r Plain,
    address: u128,
    plan: &'r Plan,
    context: &'r Context<'r>,
}

/// The options of a reply, and what the packet's says of its client.
#[derive(Clone, Copy, Default)]
struct Options<'o> {
    octets: &'o [u8],
    standing: Standing,
}

/// What is said of a key, and what follows: the code, whether the key is listed, and the tail.
type Said<'r> = (u16, bool, &'r Tail);

impl Reply<'_> {
    /// Writes what is rarer: options, TXT, or an empty answer for any other type than A.
    #[inline(never)]
    fn write_other(self, exchange: &mut Exchange<'_>, saying: Option<&Saying>, ttl: u32) -> bool {
        let Self { plain, address, plan, context } = self;
        let code = if saying.is_some() { rcode::NOERROR } else { rcode::NXDOMAIN };
        let mut room = ROOM;
        let Ok((octets, standing)) = opt::options(&mut room, exchange, plain, plan, code, context) else {
            return false;
        };
        let options = Options { octets, standing };
        let Some(saying) = saying else { return self.write_denial(exchange, options) };
        if plain.record_type == record_type::A {
            return self.write_address(exchange, saying, ttl, options);
        }
        let text = match &saying.text {
            Some(template) if plain.record_type == record_type::TXT => {
                let dropin = plan.zone.options().dropin;
                let Some(text) = Text::new(template, plain.family, address, dropin) else { return false };
                Some(text)
            }
            _ => None,
        };
        let tail = if text.is_some() { &plan.positive } else { &plan.negative };
        let octets = |text: &Text<'_>| RECORD_OCTETS + 1 + usize::from(text.octets);
        let record = text.map(|text| (octets(&text), move |place: &mut [u8]| text.write(ttl, place)));
        self.write(exchange, (code, true, tail), record, options)
    }

    /// Writes that the name does not exist.
    #[inline(always)]
    fn write_denial(self, exchange: &mut Exchange<'_>, options: Options<'_>) -> bool {
        let said = (rcode::NXDOMAIN, false, &self.plan.negative);
        self.write(exchange, said, None::<(usize, fn(&mut [u8]))>, options)
    }

    /// Writes an A record.
    #[inline(always)]
    fn write_address(
        self,
        exchange: &mut Exchange<'_>,
        saying: &Saying,
        ttl: u32,
        options: Options<'_>,
    ) -> bool {
        let octets = RECORD_OCTETS + saying.address.len();
        let record = |place: &mut [u8]| {
            if let Some((fixed, rdata)) = place.split_first_chunk_mut()
                && let Some(rdata) = rdata.first_chunk_mut()
            {
                *fixed = record(record_type::A, ttl, saying.address.len() as u16);
                *rdata = saying.address;
            }
        };
        self.write(exchange, (rcode::NOERROR, true, &self.plan.positive), Some((octets, record)), options)
    }

    /// Writes the reply with at most one record, of so many octets.
    #[inline(always)]
    fn write(
        self,
        exchange: &mut Exchange<'_>,
        (code, listed, tail): Said<'_>,
        record: Option<(usize, impl FnOnce(&mut [u8]))>,
        options: Options<'_>,
    ) -> bool {
        let Self { plain, address, plan, context } = self;
        let answers = u16::from(record.is_some());
        let octets = record.as_ref().map_or(0, |(octets, _)| *octets);
        let records_end = plain.end() + octets + tail.len();
        let end = records_end + opt::octets(plain, options.octets);
        if !context.allows(plain, end) {
            return false;
        }
        let buffer = &mut *exchange.buffer;
        if let Some((octets, write)) = record
            && let Some(place) = buffer.get_mut(plain.end()..plain.end() + octets)
        {
            write(place);
        }
        tail.write(buffer, plain.end() + octets, plain.apex());
        opt::write(buffer, records_end, plain, options.octets, context);
        let counts = tail.counts + (u64::from(answers) << 32) + u64::from(plain.edns.is_there());
        finish_header(buffer, flag::AUTHORITATIVE, code, counts);
        let outcome = Outcome {
            reply: true,
            zone: Some(plan.index),
            rcode: code,
            query_type: plain.record_type,
            query_class: class::IN,
            answers,
            family: Some(plain.family),
            listed,
            cookie: options.standing,
            ..Outcome::default()
        };
        exchange.replied(end, outcome, rate_limit::of_address(address, plan.index, plain.record_type));
        true
    }
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
pub(super) fn finish_header(buffer: &mut Buffer, authoritative: u16, code: u16, counts: u64) {
    const COPIED: u16 = flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    let asked = u16::from_be_bytes([buffer[2], buffer[3]]);
    let flags = flag::RESPONSE | authoritative | asked & COPIED | code;
    buffer[2..4].copy_from_slice(&flags.to_be_bytes());
    buffer[4..HEADER_OCTETS].copy_from_slice(&counts.to_be_bytes());
}
