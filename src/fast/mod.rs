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

use std::net::IpAddr;

use crate::answer::{Outcome, Transport};
use crate::dataset::{Listing, Span};
use crate::prefix_table::{Machine, State, UNLISTED, widest};
use crate::snapshot::Snapshot;
use crate::wire::rcode;
use opt::Context;
use question::{Meant, Plain};
use reply::Verdict;
use signed::Replies;
use view::{Last, Plan, Planned, Zones};

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
    /// How those of the zone are answered; `None` where a packet is not plain.
    plans: [Option<&'s Plan>; BATCH],
    questions: [Plain; BATCH],
    addresses: [u128; BATCH],
}

/// Whose packets are answered from the data of a zone.
struct Audience<'s> {
    snapshot: &'s Snapshot,
    plan: Option<&'s Plan>,
    /// Who were found to see it last: those of one span of the access lists, as nearly all clients often are.
    v4: Span<u32>,
    v6: Span<u128>,
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
        let zone = |apex| self.zones.find(&buffer, apex, &mut Last::default());
        let read = Plain::read(&buffer, packet.len(), &self.meant, Machine::ANY, zone);
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
        let (plans, questions) = ([None; BATCH], [Plain::NONE; BATCH]);
        let mut asked = Asked { plans, questions, addresses: [0; BATCH] };
        // The steps are compiled each by itself: together they need more registers than there are.
        let [mut v4, mut v6] = widest(
            #[inline(always)]
            |machine| self.read(machine, batch, &mut asked),
        );
        let mut audience = Audience { snapshot, plan: None, v4: Span::NONE, v6: Span::NONE };
        let context = Context::new(&snapshot.settings, now);
        let admitted = self.zones.any_judged().then(|| {
            let mut waiting = audience.among(v4 | v6, batch, &asked);
            let admitted = admission::admit(snapshot, batch, &asked, &context, &mut waiting);
            (v4, v6) = (v4 & waiting, v6 & waiting);
            admitted
        });
        self.respond_to::<u32>(v4, batch, &asked, &mut audience, &context);
        self.respond_to::<u128>(v6, batch, &asked, &mut audience, &context);
        if let Some(admitted) = admitted {
            admitted.finish(snapshot.gate(), batch, &asked);
        }
    }

    /// Finds the plain questions of a batch; returns the places of those of each family.
    #[inline(always)]
    fn read<'s>(&'s self, machine: Machine, batch: &[Exchange<'_>], asked: &mut Asked<'s>) -> [Places; 2] {
        let mut places = [0; 2];
        let mut last = self.zones.first();
        let asked = asked.plans.iter_mut().zip(&mut asked.questions).zip(&mut asked.addresses);
        for ((index, exchange), ((own_plan, question), asked)) in batch.iter().enumerate().zip(asked) {
            // One step after the other: what closures hold is not compiled for wide registers.
            let read = Plain::read(
                exchange.buffer,
                exchange.packet_octets(),
                &self.meant,
                machine,
                #[inline(always)]
                |apex| self.zones.find(exchange.buffer, apex, &mut last),
            );
            let Some((plain, address, plan)) = read else { continue };
            if exchange.client.transport == Transport::Udp && plan.decides(plain.family, address) {
                (*own_plan, *question, *asked) = (Some(plan), plain, address);
                places[plain.family as usize] |= 1 << index;
            }
        }
        places
    }

    /// Answers the questions at places of a batch, which are all of one family, those of one zone together.
    #[inline(always)]
    fn respond_to<'s, A: Planned>(
        &self,
        mut waiting: Places,
        batch: &mut [Exchange<'_>],
        asked: &Asked<'s>,
        audience: &mut Audience<'s>,
        context: &Context<'_>,
    ) {
        while let Some(&Some(plan)) = asked.plans.get(waiting.trailing_zeros() as usize) {
            audience.turn_to(plan);
            if plan.signed {
                let place = waiting.trailing_zeros() as usize;
                waiting ^= 1 << place;
                let exchange = &mut batch[place];
                if audience.includes(plan, exchange.client.address) {
                    let (question, address) = (&asked.questions[place], asked.addresses[place]);
                    self.replies.respond(exchange, question, address, plan, context);
                }
            } else {
                waiting &= !answer::<A>(batch, asked, waiting, plan, audience, context);
            }
        }
    }
}

impl<'s> Audience<'s> {
    /// Goes on with a zone.
    fn turn_to(&mut self, plan: &'s Plan) {
        if !self.plan.is_some_and(|last| std::ptr::eq(last, plan)) {
            (self.plan, self.v4, self.v6) = (Some(plan), Span::NONE, Span::NONE);
        }
    }

    /// Those of some places whose clients see the data of the zones that they ask.
    #[inline(never)]
    fn among(&mut self, places: Places, batch: &[Exchange<'_>], asked: &Asked<'s>) -> Places {
        let mut seen = places;
        for (place, (exchange, plan)) in batch.iter().zip(&asked.plans).enumerate() {
            let Some(plan) = plan.filter(|_| places >> place & 1 == 1) else { continue };
            self.turn_to(plan);
            if !self.includes(plan, exchange.client.address) {
                seen ^= 1 << place;
            }
        }
        seen
    }

    /// Whether a client sees the data of the zone, which this is the plan of.
    #[inline(always)]
    fn includes(&mut self, plan: &Plan, client: IpAddr) -> bool {
        plan.open
            || match client {
                IpAddr::V4(client) => self.v4.contains(client.into()),
                IpAddr::V6(client) => self.v6.contains(client.into()),
            }
            || self.ask(plan, client)
    }

    /// Asks the access lists.
    #[inline(never)]
    fn ask(&mut self, plan: &Plan, client: IpAddr) -> bool {
        match client {
            IpAddr::V4(client) => take(&mut self.v4, self.snapshot.audience(&plan.zone, client.into())),
            IpAddr::V6(client) => take(&mut self.v6, self.snapshot.audience(&plan.zone, client.into())),
        }
    }
}

/// Puts what was found, if anything was, in the place of what was before.
#[inline(always)]
fn take<A>(place: &mut Span<A>, found: Option<Span<A>>) -> bool {
    let any = found.is_some();
    found.into_iter().for_each(|found| *place = found);
    any
}

/// Looks up those addresses among `waiting` that are asked of a zone, and answers the questions of those who
/// see it. Returns the places of all that ask it.
#[inline(always)]
fn answer<A: Planned>(
    batch: &mut [Exchange<'_>],
    asked: &Asked<'_>,
    mut waiting: Places,
    plan: &Plan,
    audience: &mut Audience<'_>,
    context: &Context<'_>,
) -> Places {
    let mut taken = 0;
    let mut places = [0; BATCH];
    let mut keys = [A::MIN; BATCH];
    let mut count = 0;
    while waiting != 0 {
        let place = waiting.trailing_zeros() as usize % BATCH;
        waiting &= waiting - 1;
        if !asked.plans[place].is_some_and(|other| std::ptr::eq(other, plan)) {
            continue;
        }
        taken |= 1 << place;
        if batch.get(place).is_some_and(|exchange| audience.includes(plan, exchange.client.address)) {
            (places[count % BATCH], keys[count % BATCH]) = (place as u8, A::of(asked.addresses[place]));
            count += 1;
        }
    }
    let (places, keys) = (&places[..count], &keys[..count]);
    let mut states = [UNLISTED; BATCH];
    let mut listings: [Option<&Listing>; BATCH] = [None; BATCH];
    let mut tables = A::tables(plan);
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
    widest(
        #[inline(always)]
        |_| {
            for (&place, (&state, &listing)) in places.iter().zip(states.iter().zip(&listings)) {
                let place = usize::from(place) % BATCH;
                let Some(exchange) = batch.get_mut(place) else { continue };
                let (plain, address) = (&asked.questions[place], asked.addresses[place]);
                // Two calls, so that each is compiled for its verdict.
                if state == UNLISTED {
                    reply::write(exchange, plain, address, plan, Verdict::Unlisted, context);
                } else if let Some(listing) = listing
                    && let Some(saying) = listing.only_saying(state)
                {
                    let verdict = Verdict::Listed(saying, listing.ttl);
                    reply::write(exchange, plain, address, plan, verdict, context);
                }
            }
        },
    );
    taken
}
