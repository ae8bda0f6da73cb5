//! What one worker counts, and how: one counter for all that a query is counted by, two sums for its
//! octets and a bin for the size of its reply. Everything else is found out by the reader.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::ZoneSlot;
use super::histogram::{Sizes, Times};
use super::labels::{CELLS, Dropped, Limited, Origin, cell};
use super::passages::Passages;
use super::totals::{Totals, ZoneTotals};
use crate::answer::Outcome;
use crate::cookie::Standing;

/// Zones whose counters are allocated together.
const CHUNK: usize = 16;
const CHUNKS: usize = super::ZONES / CHUNK;

/// What one worker counts. Aligned to two cache lines, since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub(super) origin: Origin,
    /// Several threads count here: additions must be atomic as a whole.
    shared: bool,
    truncated: AtomicU64,
    unanswered: AtomicU64,
    unsent: AtomicU64,
    receive_errors: AtomicU64,
    connections: AtomicU64,
    ended_connections: AtomicU64,
    refused_connections: AtomicU64,
    limited: [AtomicU64; Limited::ALL.len()],
    cookies: [AtomicU64; Standing::TOLD.len()],
    dropped: [AtomicU64; Dropped::ALL.len()],
    sizes: Sizes,
    times: Times,
    passages: Passages,
    /// What no zone answers, or one without a slot.
    elsewhere: ZoneCounters,
    zones: Box<[OnceLock<Box<ZoneChunk>>]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct ZoneChunk([ZoneCounters; CHUNK]);

#[derive(Debug)]
struct ZoneCounters {
    queries: [AtomicU64; CELLS],
    octets_in: AtomicU64,
    octets_out: AtomicU64,
}

impl Default for ZoneCounters {
    fn default() -> Self {
        Self {
            queries: std::array::from_fn(|_| AtomicU64::default()),
            octets_in: AtomicU64::default(),
            octets_out: AtomicU64::default(),
        }
    }
}

impl WorkerCounters {
    pub(super) fn new(origin: Origin, shared: bool) -> Self {
        Self {
            origin,
            shared,
            truncated: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            unsent: AtomicU64::default(),
            receive_errors: AtomicU64::default(),
            connections: AtomicU64::default(),
            ended_connections: AtomicU64::default(),
            refused_connections: AtomicU64::default(),
            limited: Default::default(),
            cookies: Default::default(),
            dropped: Default::default(),
            sizes: Sizes::default(),
            times: Times::default(),
            passages: Passages::default(),
            elsewhere: ZoneCounters::default(),
            zones: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts the packets of a batch.
    pub fn tally(&self) -> Tally<'_> {
        Tally { counters: self, zone: NO_ZONE, place: &self.elsewhere, octets_in: 0, octets_out: 0 }
    }

    /// Counts an answer that was sent so long after the system had received its query.
    pub fn answered_within(&self, nanoseconds: u64) {
        let (bin, sum) = self.times.bin(nanoseconds);
        self.increase(bin, 1);
        self.increase(sum, nanoseconds);
    }

    /// Counts replies that the system would not send.
    pub fn unsent(&self, replies: usize) {
        self.increase(&self.unsent, replies as u64);
    }

    /// Counts an error of the system while receiving or accepting.
    pub fn receive_error(&self) {
        self.increase(&self.receive_errors, 1);
    }

    /// Counts a message that was no query.
    pub fn unanswered(&self) {
        self.increase(&self.unanswered, 1);
    }

    /// Counts a connection that was closed at once because its client has too many.
    pub fn refused_connection(&self) {
        self.increase(&self.refused_connections, 1);
    }

    /// Counts a packet, or a connection, that was dropped unread.
    pub fn dropped(&self, why: Dropped) {
        self.increase(&self.dropped[why as usize], 1);
    }

    /// Counts an answer over the rate limit.
    pub fn limited(&self, what: Limited) {
        self.increase(&self.limited[what as usize], 1);
    }

    /// Counts a connection; [`Self::connection_ended`] takes it from those that are open.
    pub fn connection(&self) {
        self.increase(&self.connections, 1);
    }

    /// See [`Self::connection`].
    pub fn connection_ended(&self) {
        self.increase(&self.ended_connections, 1);
    }

    fn zone(&self, slot: Option<ZoneSlot>) -> &ZoneCounters {
        let Some(slot) = slot.map(|slot| slot.0 as usize) else { return &self.elsewhere };
        let chunk = self.zones.get(slot / CHUNK).map(|chunk| {
            chunk.get_or_init(|| Box::new(ZoneChunk(std::array::from_fn(|_| ZoneCounters::default()))))
        });
        chunk.map_or(&self.elsewhere, |chunk| &chunk.0[slot % CHUNK])
    }

    /// A worker that is one thread need not pay for an atomic read-modify-write.
    #[inline(always)]
    fn increase(&self, counter: &AtomicU64, by: u64) {
        if self.shared {
            counter.fetch_add(by, Relaxed);
        } else {
            counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
        }
    }

    /// As [`Self::increase`] for several counters, each by one.
    #[inline(always)]
    fn increase_each<const N: usize>(&self, counters: [&AtomicU64; N]) {
        if self.shared {
            counters.into_iter().for_each(|counter| _ = counter.fetch_add(1, Relaxed));
        } else {
            counters
                .into_iter()
                .for_each(|counter| counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed));
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let origin = totals.origins.entry(self.origin).or_default();
        origin.truncated += self.truncated.load(Relaxed);
        origin.unanswered += self.unanswered.load(Relaxed);
        origin.unsent += self.unsent.load(Relaxed);
        origin.receive_errors += self.receive_errors.load(Relaxed);
        origin.refused_connections += self.refused_connections.load(Relaxed);
        add_each(&mut origin.limited, &self.limited);
        add_each(&mut origin.cookies, &self.cookies);
        add_each(&mut origin.dropped, &self.dropped);
        // What ended is read first, so that it is never more.
        let ended = self.ended_connections.load(Relaxed);
        let connections = self.connections.load(Relaxed);
        origin.connections += connections;
        origin.open_connections += connections.saturating_sub(ended);
        self.sizes.add_to(&mut origin.sizes);
        self.times.add_to(&mut origin.times);
        for (passage, count) in self.passages.counted() {
            *totals.passages.entry(passage).or_default() += count;
        }
        let mut add = |counters: &ZoneCounters, zone: &mut ZoneTotals| {
            let octets_out = counters.octets_out.load(Relaxed);
            zone.octets_in += counters.octets_in.load(Relaxed);
            zone.octets_out += octets_out;
            origin.sizes.sum += octets_out as f64;
            zone.add(self.origin, counters.queries.iter().map(|counter| counter.load(Relaxed)));
        };
        add(&self.elsewhere, &mut totals.elsewhere);
        for (chunk, zones) in self.zones.iter().zip(totals.zones.chunks_mut(CHUNK)) {
            let counters = chunk.get().into_iter().flat_map(|chunk| &chunk.0);
            zones.iter_mut().zip(counters).for_each(|((_, zone), counters)| add(counters, zone));
        }
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], counters: &[AtomicU64; N]) {
    sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.load(Relaxed));
}

/// Stands for no zone.
const NO_ZONE: u64 = u64::MAX;

/// Counts the packets of a batch. Those that follow each other mostly concern the same zone, which is
/// then looked for once.
#[derive(Debug)]
pub struct Tally<'c> {
    counters: &'c WorkerCounters,
    /// The zone of the last packet, by its place in the snapshot, or [`NO_ZONE`].
    zone: u64,
    /// Its counters.
    place: &'c ZoneCounters,
    /// Octets that are not yet counted there.
    octets_in: u64,
    octets_out: u64,
}

impl Tally<'_> {
    /// Counts one packet of `octets_in` octets and its reply of `octets_out`. `slot` tells where the
    /// counters of a zone are. All but packets without a reply count where the zone's do.
    #[inline(always)]
    pub fn count(
        &mut self,
        outcome: &Outcome,
        slot: impl FnOnce(u32) -> Option<ZoneSlot>,
        octets_in: usize,
        octets_out: usize,
    ) {
        let counters = self.counters;
        if !outcome.reply {
            return counters.increase(&counters.unanswered, 1);
        }
        let zone = outcome.zone.map_or(NO_ZONE, u64::from);
        if zone != self.zone {
            self.turn_to(zone, outcome.zone.and_then(slot));
        }
        self.octets_in += octets_in as u64;
        self.octets_out += octets_out as u64;
        counters.increase_each([&self.place.queries[cell(outcome) % CELLS], counters.sizes.bin(octets_out)]);
        if outcome.truncated {
            counters.increase(&counters.truncated, 1);
        }
        if let Some(counter) = outcome.access.and_then(|passage| counters.passages.counter(passage)) {
            counters.increase(counter, 1);
        }
        if let Some(counter) = counters.cookies.get((outcome.cookie as usize).wrapping_sub(1)) {
            counters.increase(counter, 1);
        }
    }

    /// Goes on with another zone.
    #[inline(never)]
    fn turn_to(&mut self, zone: u64, slot: Option<ZoneSlot>) {
        self.add_octets();
        (self.zone, self.place) = (zone, self.counters.zone(slot));
    }

    fn add_octets(&mut self) {
        self.counters.increase(&self.place.octets_in, std::mem::take(&mut self.octets_in));
        self.counters.increase(&self.place.octets_out, std::mem::take(&mut self.octets_out));
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.add_octets();
    }
}
