//! The fast path: plain questions for addresses, a batch at a time.
//!
//! Nearly all that a DNSBL is asked has one form: a complete reversed address under an apex, class IN,
//! with or without EDNS. `question` recognises this form in the bytes of a packet, `view` knows the
//! zones that are simple enough, the keys of the whole batch are looked up together in each table, so
//! that their cache misses overlap, and `reply` writes the answer behind the echoed question.
//! Nothing is allocated and nothing waits.
//!
//! What is not of that form is left out (`None`), and the general path (`query`, `answer`) answers it.
//! Both give the same bytes for every packet; where a case is rare, this path leaves it to the other
//! rather than know it too. Its tests hold it against `answer::respond`.
//!
//! A [`FastPath`] belongs to one snapshot and is made when that is published. It keeps no copy of what
//! values say: a record is put together from the value in as many instructions as it would be copied.

mod nibbles;
mod question;
mod reply;
mod tail;
#[cfg(test)]
mod tests;
mod view;

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::address::Key;
use crate::answer::{Client, Outcome, Transport};
use crate::dataset::{AddressList, Listing};
use crate::prefix_table::{Address, PrefixTable, State, UNLISTED, widest};
use crate::snapshot::Snapshot;
use crate::zone::View;
use question::Plain;
use reply::Verdict;
use view::{Plan, Zones};

/// Packets answered together.
pub const BATCH: usize = 64;

/// The fast path through a snapshot.
#[derive(Debug)]
pub struct FastPath {
    zones: Zones,
}

/// A packet, and who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'p> {
    /// The message.
    pub packet: &'p [u8],
    /// Its sender.
    pub client: Client,
}

/// A plain question of the batch.
struct Asked<'s> {
    /// Its place in the batch.
    packet: usize,
    plain: Plain,
    plan: &'s Plan,
    found: Found<'s>,
}

/// What the tables say of a key.
enum Found<'s> {
    /// It was not looked up yet.
    Waiting,
    Nothing,
    One(&'s Listing, State),
    /// More than this path can merge.
    Several,
}

type Batch<'s> = SmallVec<[Asked<'s>; BATCH]>;

impl FastPath {
    /// Finds out which zones of a snapshot can be answered from this way, and how.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self { zones: Zones::new(snapshot) }
    }

    /// Answers the plain questions among `received`, each into the empty buffer at its place.
    /// `outcomes` tells which: where it is `None`, the buffer may hold anything.
    ///
    /// # Panics
    /// If the three slices differ in length.
    pub fn respond(
        &self,
        snapshot: &Snapshot,
        received: &[Received<'_>],
        replies: &mut [Vec<u8>],
        outcomes: &mut [Option<Outcome>],
    ) {
        assert!(
            received.len() == replies.len() && received.len() == outcomes.len(),
            "a place for every reply"
        );
        let batches = received.chunks(BATCH).zip(replies.chunks_mut(BATCH)).zip(outcomes.chunks_mut(BATCH));
        for ((received, replies), outcomes) in batches {
            outcomes.fill(None);
            widest(
                #[inline(always)]
                || self.respond_together(snapshot, received, replies, outcomes),
            );
        }
    }

    /// As [`Self::respond`] for at most [`BATCH`] packets.
    #[inline(always)]
    fn respond_together(
        &self,
        snapshot: &Snapshot,
        received: &[Received<'_>],
        replies: &mut [Vec<u8>],
        outcomes: &mut [Option<Outcome>],
    ) {
        let mut asked = Batch::new();
        self.read(snapshot, received, &mut asked);
        look_up(&mut asked);
        for Asked { packet, plain, plan, found } in &asked {
            let verdict = match *found {
                Found::Nothing => Some(Verdict::Unlisted),
                Found::One(listing, state) => {
                    listing.only_saying(state).map(|saying| Verdict::Listed(saying, listing.ttl))
                }
                Found::Waiting | Found::Several => None,
            };
            let Some(verdict) = verdict else { continue };
            let (bytes, reply) = (received[*packet].packet, &mut replies[*packet]);
            outcomes[*packet] = reply::write(bytes, plain, plan, verdict, snapshot.settings.udp_size, reply);
        }
    }

    /// The plain questions of a batch whose clients see the data.
    #[inline(always)]
    fn read<'s>(&'s self, snapshot: &'s Snapshot, received: &[Received<'_>], asked: &mut Batch<'s>) {
        let mut known = None;
        for (index, &Received { packet, client }) in received.iter().enumerate() {
            // One step after the other: what closures hold is not compiled for wide registers.
            let Some(plain) = Plain::read(packet) else { continue };
            let Some(plan) = self.zones.find(&packet[plain.apex()..plain.name_end()]) else { continue };
            if client.transport != Transport::Udp || !plan.decides(plain.key) {
                continue;
            }
            if plan.open || sees_data(snapshot, plan, client.address, &mut known) {
                asked.push(Asked { packet: index, plain, plan, found: Found::Waiting });
            }
        }
    }
}

/// Whether the access lists let a client see the data of a zone. `known` is what was found last:
/// packets of one resolver often follow each other.
fn sees_data(
    snapshot: &Snapshot,
    plan: &Plan,
    client: IpAddr,
    known: &mut Option<(u32, IpAddr, bool)>,
) -> bool {
    match *known {
        Some((zone, address, sees)) if zone == plan.index && address == client => sees,
        _ => {
            let sees = matches!(snapshot.view(&plan.zone, client), View::Data | View::WithoutRanges);
            *known = Some((plan.index, client, sees));
            sees
        }
    }
}

/// Looks all keys up, those of one zone and one family together.
#[inline(always)]
fn look_up(asked: &mut [Asked<'_>]) {
    let v4 = |key| if let Key::V4(address) = key { Some(address) } else { None };
    let v6 = |key| if let Key::V6(address) = key { Some(address) } else { None };
    each_zone(asked, v4, Plan::v4);
    each_zone(asked, v6, Plan::v6);
}

/// Looks the keys of one family up, zone by zone.
#[inline(always)]
fn each_zone<'s, A: Address, T>(
    asked: &mut [Asked<'s>],
    address: impl Fn(Key) -> Option<A>,
    tables: impl Fn(&'s Plan) -> T,
) where
    T: Iterator<Item = (&'s AddressList, &'s PrefixTable<A>)>,
{
    let mut places = [0; BATCH];
    let mut keys = [A::MIN; BATCH];
    let mut states = [UNLISTED; BATCH];
    let waits =
        |asked: &Asked<'_>| matches!(asked.found, Found::Waiting) && address(asked.plain.key).is_some();
    while let Some(first) = asked.iter().position(waits) {
        let plan = asked[first].plan;
        let mut count = 0;
        for (place, asked) in asked.iter_mut().enumerate().skip(first) {
            if let Some(address) = address(asked.plain.key)
                && asked.plan.index == plan.index
            {
                asked.found = Found::Nothing;
                (places[count], keys[count]) = (place, address);
                count += 1;
            }
        }
        for (list, table) in tables(plan) {
            table.lookup_batch(&keys[..count], &mut states[..count]);
            for (&place, &state) in places[..count].iter().zip(&states) {
                if state != UNLISTED {
                    let found = &mut asked[place].found;
                    *found = match found {
                        Found::Nothing => Found::One(&list.listing, state),
                        _ => Found::Several,
                    };
                }
            }
        }
    }
}
