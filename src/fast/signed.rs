//! The fast path for signed zones: replies that the general path made before, given again.
//!
//! Making the reply takes neighbours and signatures, so here it is not made but found. What it depends
//! on is not the address but the block round it: of the run of addresses of which the same is said, the
//! widest part that is a prefix at a label's end. No name of the zone lies inside such a block, so all its
//! addresses have one closest encloser, one wildcard and one gap between existing names; but for the
//! question the octets of their replies are the same, the pointers counted from the apex. So a
//! reply of the general path is kept by its block, and one lookup finds it for all the others.
//!
//! Blocks are taken narrower than that where the other family has names: one of IPv6 has four labels at
//! least, as no name of IPv4 has more, and one of IPv4 has a label that is no nibble.
//!
//! Replies are kept until a signature in them should be made again, and no longer than the snapshot
//! lives.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use super::exchange::{Buffer, Exchange};
use super::opt::{self, Context, ROOM};
use super::question::{OPT_OCTETS, Plain};
use super::reply;
use super::tail::ONE_QUESTION;
use super::view::{Plan, Planned};
use crate::address::{MAPPED, MAPPED_LAST, SIX_TO_FOUR, SIX_TO_FOUR_LENGTH};
use crate::answer::Outcome;
use crate::dataset::TEST_V4;
use crate::prefix_table::{Address, Range};
use crate::rate_limit;
use crate::wire::{HEADER_OCTETS, class, flag, rcode, record_type};
use crate::zone::Family;

/// Replies of signed zones.
#[derive(Debug)]
pub(super) struct Replies {
    kept: Cache<Question, Arc<Kept>, ByOctets>,
}

/// What a reply depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    /// The place of the zone in the snapshot.
    zone: u32,
    block: Block,
    kind: Kind,
    dnssec_ok: bool,
}

/// A prefix of whole labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Block {
    family: Family,
    first: u128,
    length: u8,
}

/// The types that are asked for, as far as they make a difference at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Address,
    Text,
    /// One that no address has.
    Other,
}

/// A reply, from the end of the question to OPT.
#[derive(Debug)]
struct Kept {
    octets: Box<[u8]>,
    pointers: SmallVec<[Pointer; 8]>,
    /// Records in the answer and the authority section.
    counts: [u16; 2],
    outcome: Outcome,
}

/// A compression pointer to the apex or a name between the question's and that.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    /// Where it stands in the octets.
    at: u16,
    /// How far before or behind the beginning of the apex it points.
    distance: i16,
}

/// What an entry takes beside its octets: its places in the cache and on the heap.
const ENTRY_OCTETS: usize = 224;
/// What a usual entry takes.
const USUAL_OCTETS: usize = 768;
/// The fewest bits of a block of IPv6: names of IPv4 have four labels, and no wildcard of IPv6 has fewer.
const LEAST_V6: u8 = 16;

#[derive(Clone, Debug)]
struct ByOctets;

impl Weighter<Question, Arc<Kept>> for ByOctets {
    fn weight(&self, _: &Question, kept: &Arc<Kept>) -> u64 {
        (kept.octets.len() + ENTRY_OCTETS) as u64
    }
}

impl Replies {
    /// Room for replies of so many octets.
    pub(super) fn new(octets: usize) -> Self {
        Self { kept: Cache::with_weighter(octets / USUAL_OCTETS, octets as u64, ByOctets) }
    }

    /// About how many octets they take.
    pub(super) fn octets(&self) -> u64 {
        self.kept.weight()
    }

    /// Answers a plain question to a signed zone as one like it was answered before. Does nothing where
    /// there is no such reply, or it holds no longer, or does not fit.
    pub(super) fn respond(
        &self,
        exchange: &mut Exchange<'_>,
        plain: &Plain,
        address: u128,
        plan: &Plan,
        context: &Context<'_>,
    ) {
        let Some(question) = Question::of(exchange.buffer, plain, address, plan) else { return };
        let Some(kept) = self.kept.get(&question) else { return };
        if kept.outcome.holds_until.is_none_or(|until| context.now < until) {
            kept.write(exchange, plain, address, plan, context);
        }
    }

    /// Keeps what the general path replied to a plain question.
    pub(super) fn keep(
        &self,
        buffer: &Buffer,
        plain: &Plain,
        address: u128,
        plan: &Plan,
        outcome: &Outcome,
        reply: &[u8],
    ) {
        if let Some(question) = Question::of(buffer, plain, address, plan)
            && let Some(kept) = Kept::new(plain, outcome, reply)
        {
            self.kept.insert(question, Arc::new(kept));
        }
    }
}

#[cfg(test)]
impl Replies {
    pub(super) fn clear(&self) {
        self.kept.clear();
    }
}

impl Question {
    #[inline(always)]
    fn of(buffer: &Buffer, plain: &Plain, address: u128, plan: &Plan) -> Option<Self> {
        let kind = Kind::of(plain.record_type)?;
        let block = Block::of(buffer, plain.family, address, plan)?;
        let dnssec_ok = plain.edns.dnssec_ok() != 0;
        Some(Self { zone: plan.index, block, kind, dnssec_ok })
    }
}

impl Kind {
    /// `None` for types of which more is to be said.
    fn of(wanted: u16) -> Option<Self> {
        const RP: u16 = 17;
        match wanted {
            record_type::A => Some(Self::Address),
            record_type::TXT => Some(Self::Text),
            // The marker, those of signed zones, and those that are none.
            RP | 41..=63 | 128..=255 => None,
            _ => Some(Self::Other),
        }
    }
}

impl Block {
    /// The block of the question's address; `None` where it may have names inside.
    #[inline(always)]
    fn of(buffer: &Buffer, family: Family, address: u128, plan: &Plan) -> Option<Self> {
        if !plan.decides(family, address) {
            return None;
        }
        match family {
            Family::V4 => {
                let address = address as u32;
                let mut run = around(u32::tables(plan).map(|(_, table)| table.range(address)));
                run.leave_out(address, TEST_V4, TEST_V4);
                let least = 8 * labels_to_an_octet(buffer, address)?;
                let length = run.widest(address, 8, least);
                Some(Self { family: Family::V4, first: address.masked(length).into(), length })
            }
            Family::V6 => {
                let mut run = around(u128::tables(plan).map(|(_, table)| table.range(address)));
                run.leave_out(address, MAPPED, MAPPED_LAST);
                if u32::tables(plan).next().is_some() {
                    run.leave_out(address, SIX_TO_FOUR, SIX_TO_FOUR.last_of(SIX_TO_FOUR_LENGTH));
                }
                let length = run.widest(address, 4, LEAST_V6);
                Some(Self { family: Family::V6, first: address.masked(length), length })
            }
        }
    }
}

/// Addresses of which the same is said.
struct Run<A> {
    first: A,
    last: A,
}

/// The addresses that all of `ranges` have.
#[inline(always)]
fn around<A: Address>(ranges: impl Iterator<Item = Range<A>>) -> Run<A> {
    let mut run = Run { first: A::MIN, last: A::MAX };
    for range in ranges {
        run.first = run.first.max(range.first);
        run.last = run.last.min(range.last);
    }
    run
}

impl<A: Address> Run<A> {
    /// Leaves out what lies beyond a part of the addresses that is another matter, and that part itself;
    /// `address` is not in it.
    #[inline(always)]
    fn leave_out(&mut self, address: A, first: A, last: A) {
        match address < first {
            true => self.last = self.last.min(first.predecessor().unwrap_or(A::MIN)),
            false => self.first = self.first.max(last.successor().unwrap_or(A::MAX)),
        }
    }

    /// The length of the widest prefix in the run that contains `address` and has whole labels of
    /// `stride` bits, and `least` bits or more.
    #[inline(always)]
    fn widest(&self, address: A, stride: u8, least: u8) -> u8 {
        // A prefix lies in the run if the neighbours of the run are not in it.
        let outside = [self.first.predecessor(), self.last.successor()].into_iter().flatten();
        let common = |outside: A| {
            let difference: u128 = address.into() ^ outside.into();
            difference.leading_zeros() as u8 - (u128::BITS as u8 - A::BITS)
        };
        let length = outside.map(|outside| common(outside) + 1).max().unwrap_or(0);
        length.next_multiple_of(stride).max(least)
    }
}

/// How many labels of an IPv4 address, from the right end, it takes to have one that is no nibble. `None`
/// where a label has a leading zero: that is another name.
fn labels_to_an_octet(buffer: &Buffer, address: u32) -> Option<u8> {
    let mut at = HEADER_OCTETS;
    for octet in address.to_le_bytes() {
        let octets = if octet < 10 {
            1
        } else if octet < 100 {
            2
        } else {
            3
        };
        if buffer[at] != octets {
            return None;
        }
        at += 1 + usize::from(octets);
    }
    address.to_be_bytes().iter().position(|&octet| octet > 9).map(|place| place as u8 + 1)
}

impl Kept {
    /// Takes a reply to a plain question apart. `None` for one that is not of this kind.
    fn new(plain: &Plain, outcome: &Outcome, reply: &[u8]) -> Option<Self> {
        const POINTER: u16 = 0xc000;
        const FIXED: usize = 10;
        let word = |at: usize| Some(u16::from_be_bytes(*reply.get(at..)?.first_chunk()?));
        let counts = [word(6)?, word(8)?];
        let mut pointers = SmallVec::new();
        let mut at = plain.end();
        for _ in 0..counts.iter().sum() {
            while let length @ 1..=63 = *reply.get(at)? {
                at += 1 + usize::from(length);
            }
            if reply[at] == 0 {
                at += 1;
            } else {
                let target = word(at)? & !POINTER;
                // The name in the question is always at the same place.
                if usize::from(target) != HEADER_OCTETS {
                    let distance = target.checked_signed_diff(plain.apex() as u16)?;
                    pointers.push(Pointer { at: (at - plain.end()) as u16, distance });
                }
                at += 2;
            }
            at += FIXED + usize::from(word(at + FIXED - 2)?);
        }
        let octets = reply.get(plain.end()..at)?.into();
        // OPT and nothing more; it is made anew for each reply.
        let additionals = word(10)?;
        let rest = if additionals == 0 { 0 } else { OPT_OCTETS + usize::from(word(at + OPT_OCTETS - 2)?) };
        let is_plain = additionals == u16::from(plain.edns.is_there()) && at + rest == reply.len();
        let is_of_data = matches!(outcome.rcode, rcode::NOERROR | rcode::NXDOMAIN);
        (is_plain && is_of_data).then(|| Self { octets, pointers, counts, outcome: *outcome })
    }

    /// Writes the reply to a question like that in the place of its packet, if it fits.
    #[inline(always)]
    fn write(
        &self,
        exchange: &mut Exchange<'_>,
        plain: &Plain,
        address: u128,
        plan: &Plan,
        context: &Context<'_>,
    ) {
        let start = plain.end();
        let (mut room, code) = (ROOM, self.outcome.rcode);
        let Ok((options, cookie)) = opt::options(&mut room, exchange, plain, plan, code, context) else {
            return;
        };
        let records_end = start + self.octets.len();
        let end = records_end + opt::octets(plain, options);
        if !context.allows(plain, end) {
            return;
        }
        let buffer = &mut *exchange.buffer;
        buffer[start..start + self.octets.len()].copy_from_slice(&self.octets);
        for pointer in &self.pointers {
            let value = 0xc000 | (plain.apex() as u16).wrapping_add_signed(pointer.distance);
            if let Some(place) = buffer[start + usize::from(pointer.at)..].first_chunk_mut() {
                *place = value.to_be_bytes();
            }
        }
        opt::write(buffer, records_end, plain, options, context);
        let [answers, authorities] = self.counts.map(u64::from);
        let counts = ONE_QUESTION | answers << 32 | authorities << 16 | u64::from(plain.edns.is_there());
        reply::finish_header(buffer, flag::AUTHORITATIVE, code, counts);
        let outcome =
            Outcome { query_type: plain.record_type, query_class: class::IN, cookie, ..self.outcome };
        exchange.replied(end, outcome, rate_limit::of_address(address, plan.index, plain.record_type));
    }
}
