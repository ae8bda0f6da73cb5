//! The fast path: plain questions for addresses, a batch at a time.
//!
//! Nearly all that a DNSBL is asked has one form: a complete reversed address under an apex, class IN,
//! with or without EDNS. `question` recognises this form in the bytes of a packet, `view` knows the
//! zones that are simple enough, the keys of the whole batch are looked up together in each table, so
//! that their cache misses overlap, and `reply` writes the answer behind the question, in the buffer
//! of the packet. Nothing is allocated, nothing is copied and nothing waits.
//!
//! What is not of that form is left as it is, and the general path (`query`, `answer`) answers it.
//! Both give the same bytes for every packet; where a case is rare, this path leaves it to the other
//! rather than know it too. Its tests hold it against `answer::respond`.
//!
//! A [`FastPath`] belongs to one snapshot and is made when that is published. It keeps no copy of what
//! values say: a record is put together from the value in as many instructions as it would be copied.

mod admission;
mod exchange;
mod nibbles;
mod opt;
mod question;
mod reply;
mod signed;
#[cfg(test)]
mod signed_tests;
mod tail;
#[cfg(test)]
mod tests;
mod view;

pub use exchange::{BUFFER_OCTETS, Buffer, Exchange};

use crate::answer::{Outcome, Transport};
use crate::dataset::{AddressList, Listing};
use crate::prefix_table::{Address, PrefixTable, State, UNLISTED, widest};
use crate::snapshot::Snapshot;
use crate::wire::rcode;
use crate::zone::{Family, View};
use opt::Context;
use question::{Meant, Plain};
use reply::Verdict;
use signed::Replies;
use view::{Plan, Zones};

/// Packets answered together.
pub const BATCH: usize = 64;

/// The fast path through a snapshot.
#[derive(Debug)]
pub struct FastPath {
    zones: Zones,
    /// The options that mean something.
    meant: Meant,
    /// What was replied from signed zones.
    replies: Replies,
}

/// The plain questions of a batch, at the places of their packets.
struct Asked<'s> {
    questions: [Option<(Plain, &'s Plan)>; BATCH],
    addresses: [u128; BATCH],
}

/// A place for each packet of a batch, in one word.
type Places = u64;
const _: () = assert!(BATCH == Places::BITS as usize);

/// Stands for states of which more is said than this path can merge. No list has so many.
const SEVERAL: State = State::MAX;

impl FastPath {
    /// Finds out which zones of a snapshot can be answered from this way, and how.
    pub fn new(snapshot: &Snapshot) -> Self {
        let zones = Zones::new(snapshot);
        let octets = if zones.any_signed() { snapshot.settings.reply_cache } else { 0 };
        let meant = Meant::new(&snapshot.settings);
        Self { zones, meant, replies: Replies::new(octets) }
    }

    /// Answers the plain questions of a batch in their buffers; leaves the others as they are. `now` is in
    /// seconds since 1970: when signatures must hold.
    pub fn respond(&self, snapshot: &Snapshot, now: u32, batch: &mut [Exchange<'_>]) {
        batch.chunks_mut(BATCH).for_each(|batch| self.respond_together(snapshot, now, batch));
    }

    /// Keeps the reply to a packet, if that asks a plain question to a signed zone: what is asked like it is
    /// answered so too, until its signatures should be made again.
    pub fn keep(&self, packet: &[u8], outcome: &Outcome, reply: &[u8]) {
        let usable = outcome.reply
            && outcome.rcode != rcode::REFUSED
            && !outcome.truncated
            && !outcome.renew
            && packet.len() <= BUFFER_OCTETS;
        if !usable || !self.zones.any_signed() {
            return;
        }
        let mut buffer = [0; BUFFER_OCTETS];
        buffer[..packet.len()].copy_from_slice(packet);
        let zone = |apex| self.zones.find(&buffer, apex, &mut None);
        let read = Plain::read(&buffer, packet.len(), self.meant, zone);
        if let Some((plain, address, plan)) = read.filter(|(.., plan)| plan.signed) {
            self.replies.keep(&buffer, &plain, address, plan, outcome, reply);
        }
    }

    /// About how many octets the replies take that are kept.
    pub fn kept_octets(&self) -> u64 {
        self.replies.octets()
    }

    /// As [`Self::respond`] for at most [`BATCH`] packets.
    fn respond_together(&self, snapshot: &Snapshot, now: u32, batch: &mut [Exchange<'_>]) {
        let mut asked = Asked { questions: [None; BATCH], addresses: [0; BATCH] };
        // The steps are compiled each by itself: together they need more registers than there are.
        let mut waiting = widest(
            #[inline(always)]
            || self.read(batch, &mut asked),
        );
        waiting &= seen(snapshot, batch, &asked, waiting);
        let context = Context::new(&snapshot.settings, now);
        let admitted = self
            .zones
            .any_judged()
            .then(|| admission::admit(snapshot, batch, &asked, &context, &mut waiting));
        // Those of one zone and one family together.
        while let Some(Some(first)) = asked.questions.get(waiting.trailing_zeros() as usize) {
            let (plain, plan) = first;
            if plan.signed {
                let place = waiting.trailing_zeros() as usize;
                let address = asked.addresses[place];
                self.replies.respond(&mut batch[place], plain, address, plan, &context);
                waiting ^= 1 << place;
                continue;
            }
            waiting &= !match plain.family {
                Family::V4 => {
                    answer(batch, &asked, waiting, first, |address| address as u32, plan.v4(), &context)
                }
                Family::V6 => answer(batch, &asked, waiting, first, |address| address, plan.v6(), &context),
            };
        }
        if let Some(admitted) = admitted {
            admitted.finish(snapshot.gate(), batch, &asked);
        }
    }

    /// Finds the plain questions of a batch; returns their places.
    #[inline(always)]
    fn read<'s>(&'s self, batch: &[Exchange<'_>], asked: &mut Asked<'s>) -> Places {
        let mut places = 0;
        let mut last = None;
        let asked = asked.questions.iter_mut().zip(&mut asked.addresses);
        for ((index, exchange), (question, asked)) in batch.iter().enumerate().zip(asked) {
            // One step after the other: what closures hold is not compiled for wide registers.
            let read = Plain::read(
                exchange.buffer,
                exchange.packet_octets(),
                self.meant,
                #[inline(always)]
                |apex| self.zones.find(exchange.buffer, apex, &mut last),
            );
            let Some((plain, address, plan)) = read else { continue };
            if exchange.client.transport == Transport::Udp && plan.decides(plain.family, address) {
                (*question, *asked) = (Some((plain, plan)), address);
                places |= 1 << index;
            }
        }
        places
    }
}

/// Those places among `waiting` whose clients see the data of the zone that they ask.
fn seen(snapshot: &Snapshot, batch: &[Exchange<'_>], asked: &Asked<'_>, waiting: Places) -> Places {
    let mut seen = waiting;
    // Who sees what, of the packet before: those of one resolver often follow each other.
    let mut last = None;
    for (place, (exchange, question)) in batch.iter().zip(&asked.questions).enumerate() {
        let Some((_, plan)) = question else { continue };
        let asker = (plan.index, exchange.client.address);
        if plan.open || last == Some(asker) {
            continue;
        }
        match snapshot.view(&plan.zone, exchange.client.address) {
            View::Data | View::WithoutRanges => last = Some(asker),
            _ => seen &= !(1 << place),
        }
    }
    seen
}

/// Looks up those addresses among `waiting` that are asked of the zone of the `first` and have its
/// family, and answers the questions. Returns their places.
#[inline(always)]
fn answer<'s, A: Address>(
    batch: &mut [Exchange<'_>],
    asked: &Asked<'s>,
    mut waiting: Places,
    &(Plain { family, .. }, plan): &(Plain, &'s Plan),
    key: impl Fn(u128) -> A,
    mut tables: impl Iterator<Item = (&'s AddressList, &'s PrefixTable<A>)>,
    context: &Context<'_>,
) -> Places {
    let mut taken = 0;
    let mut places = [0; BATCH];
    let mut keys = [A::MIN; BATCH];
    let mut count = 0;
    while waiting != 0 {
        let place = waiting.trailing_zeros() as usize % BATCH;
        waiting &= waiting - 1;
        if let Some((plain, other)) = &asked.questions[place]
            && std::ptr::eq(*other, plan)
            && plain.family == family
        {
            (places[count % BATCH], keys[count % BATCH]) = (place as u8, key(asked.addresses[place]));
            count += 1;
            taken |= 1 << place;
        }
    }
    let (places, keys) = (&places[..count], &keys[..count]);
    let mut states = [UNLISTED; BATCH];
    let mut listings: [Option<&Listing>; BATCH] = [None; BATCH];
    if let Some((list, table)) = tables.next() {
        table.lookup_batch(keys, &mut states[..count]);
        listings = [Some(&list.listing); BATCH];
    }
    for (list, table) in tables {
        let mut more = [UNLISTED; BATCH];
        table.lookup_batch(keys, &mut more[..count]);
        for (index, (state, listing)) in states[..count].iter_mut().zip(&mut listings).enumerate() {
            match (*state, more[index]) {
                (_, UNLISTED) => {}
                (UNLISTED, more) => (*state, *listing) = (more, Some(&list.listing)),
                _ => *state = SEVERAL,
            }
        }
    }
    for (&place, (&state, &listing)) in places.iter().zip(states.iter().zip(&listings)) {
        let place = usize::from(place) % BATCH;
        let verdict = match listing {
            Some(listing) if state != UNLISTED => match listing.only_saying(state) {
                Some(saying) => Verdict::Listed(saying, listing.ttl),
                None => continue,
            },
            _ => Verdict::Unlisted,
        };
        if let (Some(exchange), Some((plain, _))) = (batch.get_mut(place), &asked.questions[place]) {
            reply::write(exchange, plain, asked.addresses[place], plan, verdict, context);
        }
    }
    taken
}
