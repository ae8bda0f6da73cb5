//! Counters: what the server did, readable by anybody at any time.
//!
//! Each worker counts into a [`WorkerCounters`] of its own, so counting takes no lock and no cache
//! line is written by two workers; readers add the workers up ([`Metrics::totals`]).
//!
//! Zones come and go on reload, and each snapshot numbers its zones anew. [`Metrics::zone_slots`]
//! therefore gives every zone *name* a slot that it keeps for ever; the publisher asks once per
//! snapshot, and a query finds its counters by two array accesses: the snapshot's slot of the zone,
//! then the worker's counters of the slot. Counters are allocated in chunks that never move, so
//! neither a new zone nor a reader makes a worker wait.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::answer::{Outcome, Transport};
use crate::name::Name;

/// Response codes counted one by one: 0 (NOERROR) to 23 (BADCOOKIE); the last counter is for all others.
pub const RCODES: usize = 25;

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

const CHUNK: usize = 64;
const CHUNKS: usize = 1024;

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    zones: Mutex<ZoneNames>,
}

#[derive(Debug, Default)]
struct ZoneNames {
    slots: HashMap<Name, ZoneSlot>,
    names: Vec<Name>,
}

/// Where the counters of a zone are; the same for a name as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSlot(u32);

impl Metrics {
    /// Counters for one more worker that is a single thread.
    pub fn worker(&self) -> Arc<WorkerCounters> {
        self.add(WorkerCounters::new(false))
    }

    /// Counters for a worker whose work is spread over several threads.
    pub fn shared_worker(&self) -> Arc<WorkerCounters> {
        self.add(WorkerCounters::new(true))
    }

    fn add(&self, counters: WorkerCounters) -> Arc<WorkerCounters> {
        let counters = Arc::new(counters);
        lock(&self.workers).push(counters.clone());
        counters
    }

    /// The slots of the zones of a snapshot, in its order. `None` for a zone that comes when the
    /// process has already seen 65,536 names: such a zone counts only in the sums over all zones.
    pub fn zone_slots<'n>(&self, apexes: impl IntoIterator<Item = &'n Name>) -> Box<[Option<ZoneSlot>]> {
        let mut zones = lock(&self.zones);
        apexes.into_iter().map(|apex| zones.slot(apex)).collect()
    }

    /// The sums over all workers.
    pub fn totals(&self) -> Totals {
        let names = lock(&self.zones).names.clone();
        let mut totals = Totals {
            zones: names.into_iter().map(|name| (name, ZoneTotals::default())).collect(),
            ..Totals::default()
        };
        for worker in lock(&self.workers).iter() {
            worker.add_to(&mut totals);
        }
        totals
    }
}

impl ZoneNames {
    fn slot(&mut self, apex: &Name) -> Option<ZoneSlot> {
        if let Some(&slot) = self.slots.get(apex) {
            return Some(slot);
        }
        let slot = u32::try_from(self.names.len()).ok().filter(|&n| (n as usize) < CHUNK * CHUNKS)?;
        self.names.push(apex.clone());
        self.slots.insert(apex.clone(), ZoneSlot(slot));
        Some(ZoneSlot(slot))
    }
}

/// What one worker counts. Aligned to two cache lines, since processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// Several threads count here: additions must be atomic as a whole.
    shared: bool,
    transports: [AtomicU64; 3],
    rcodes: [AtomicU64; RCODES],
    octets_in: AtomicU64,
    octets_out: AtomicU64,
    truncated: AtomicU64,
    unanswered: AtomicU64,
    unsent: AtomicU64,
    receive_errors: AtomicU64,
    refused_connections: AtomicU64,
    zones: Box<[OnceLock<Box<ZoneChunk>>]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct ZoneChunk([ZoneCounters; CHUNK]);

#[derive(Debug, Default)]
struct ZoneCounters {
    ok: AtomicU64,
    nxdomain: AtomicU64,
    errors: AtomicU64,
    octets_in: AtomicU64,
    octets_out: AtomicU64,
}

impl WorkerCounters {
    fn new(shared: bool) -> Self {
        Self {
            shared,
            transports: Default::default(),
            rcodes: Default::default(),
            octets_in: AtomicU64::default(),
            octets_out: AtomicU64::default(),
            truncated: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            unsent: AtomicU64::default(),
            receive_errors: AtomicU64::default(),
            refused_connections: AtomicU64::default(),
            zones: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts one packet of `octets_in` octets and its reply of `octets_out`. The counters by
    /// transport, response code, octets and zone are of answered packets only, as in rbldnsd.
    pub fn answered(
        &self,
        outcome: &Outcome,
        transport: Transport,
        slot: Option<ZoneSlot>,
        octets_in: usize,
        octets_out: usize,
    ) {
        if !outcome.reply {
            return self.increase(&self.unanswered, 1);
        }
        let (octets_in, octets_out) = (octets_in as u64, octets_out as u64);
        self.increase(&self.transports[transport_index(transport)], 1);
        self.increase(&self.rcodes[usize::from(outcome.rcode).min(RCODES - 1)], 1);
        self.increase(&self.octets_in, octets_in);
        self.increase(&self.octets_out, octets_out);
        if outcome.truncated {
            self.increase(&self.truncated, 1);
        }
        if let Some(zone) = slot.and_then(|slot| self.zone(slot)) {
            let kind = match outcome.rcode {
                NOERROR => &zone.ok,
                NXDOMAIN => &zone.nxdomain,
                _ => &zone.errors,
            };
            self.increase(kind, 1);
            self.increase(&zone.octets_in, octets_in);
            self.increase(&zone.octets_out, octets_out);
        }
    }

    /// Counts replies that the system would not send.
    pub fn unsent(&self, replies: usize) {
        self.increase(&self.unsent, replies as u64);
    }

    /// Counts an error of the system while receiving or accepting.
    pub fn receive_error(&self) {
        self.increase(&self.receive_errors, 1);
    }

    /// Counts a TCP connection that was closed at once because its client has too many.
    pub fn refused_connection(&self) {
        self.increase(&self.refused_connections, 1);
    }

    fn zone(&self, slot: ZoneSlot) -> Option<&ZoneCounters> {
        let chunk = self.zones.get(slot.0 as usize / CHUNK)?;
        let chunk =
            chunk.get_or_init(|| Box::new(ZoneChunk(std::array::from_fn(|_| ZoneCounters::default()))));
        chunk.0.get(slot.0 as usize % CHUNK)
    }

    /// A worker that is one thread need not pay for an atomic read-modify-write.
    fn increase(&self, counter: &AtomicU64, by: u64) {
        if self.shared {
            counter.fetch_add(by, Relaxed);
        } else {
            counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
        }
    }

    fn add_to(&self, totals: &mut Totals) {
        for (sum, counter) in totals.transports.iter_mut().zip(&self.transports) {
            *sum += counter.load(Relaxed);
        }
        for (sum, counter) in totals.rcodes.iter_mut().zip(&self.rcodes) {
            *sum += counter.load(Relaxed);
        }
        totals.octets_in += self.octets_in.load(Relaxed);
        totals.octets_out += self.octets_out.load(Relaxed);
        totals.truncated += self.truncated.load(Relaxed);
        totals.unanswered += self.unanswered.load(Relaxed);
        totals.unsent += self.unsent.load(Relaxed);
        totals.receive_errors += self.receive_errors.load(Relaxed);
        totals.refused_connections += self.refused_connections.load(Relaxed);
        for (index, (_, sum)) in totals.zones.iter_mut().enumerate() {
            let Some(chunk) = self.zones.get(index / CHUNK).and_then(OnceLock::get) else { continue };
            let counters = &chunk.0[index % CHUNK];
            sum.ok += counters.ok.load(Relaxed);
            sum.nxdomain += counters.nxdomain.load(Relaxed);
            sum.errors += counters.errors.load(Relaxed);
            sum.octets_in += counters.octets_in.load(Relaxed);
            sum.octets_out += counters.octets_out.load(Relaxed);
        }
    }
}

fn transport_index(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
    }
}

/// Sums over all workers since the process started. Counters are read one after the other while
/// the workers go on, so sums of the same moment may differ by the packets in between.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Answered packets over UDP, TCP and DNS over TLS.
    pub transports: [u64; 3],
    /// Answered packets by response code; the last is for all codes from 24.
    pub rcodes: [u64; RCODES],
    /// Octets of the packets that were answered.
    pub octets_in: u64,
    /// Octets of the answers.
    pub octets_out: u64,
    /// Answers cut for UDP.
    pub truncated: u64,
    /// Packets that deserve no answer, or whose client is ignored.
    pub unanswered: u64,
    /// Answers that the system would not send.
    pub unsent: u64,
    /// Errors of the system while receiving or accepting.
    pub receive_errors: u64,
    /// TCP connections closed at once because their client has too many.
    pub refused_connections: u64,
    /// Each zone that was ever served, in the order in which they came.
    pub zones: Vec<(Name, ZoneTotals)>,
}

/// What was answered from one zone, or from all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneTotals {
    /// Answers with NOERROR.
    pub ok: u64,
    /// Answers with NXDOMAIN.
    pub nxdomain: u64,
    /// Answers with any other response code.
    pub errors: u64,
    /// Octets of the queries.
    pub octets_in: u64,
    /// Octets of the answers.
    pub octets_out: u64,
}

impl Totals {
    /// Everything that was answered, from zones or not.
    pub fn all(&self) -> ZoneTotals {
        let total: u64 = self.rcodes.iter().sum();
        let (ok, nxdomain) = (self.rcodes[usize::from(NOERROR)], self.rcodes[usize::from(NXDOMAIN)]);
        ZoneTotals {
            ok,
            nxdomain,
            errors: total - ok - nxdomain,
            octets_in: self.octets_in,
            octets_out: self.octets_out,
        }
    }
}

impl ZoneTotals {
    /// All answers.
    pub fn total(&self) -> u64 {
        self.ok + self.nxdomain + self.errors
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            ok: self.ok - earlier.ok,
            nxdomain: self.nxdomain - earlier.nxdomain,
            errors: self.errors - earlier.errors,
            octets_in: self.octets_in - earlier.octets_in,
            octets_out: self.octets_out - earlier.octets_out,
        }
    }
}

/// Renders rbldnsd's statistics file (`-s`), one line per interval:
/// `EPOCH zone:total:ok:nxdomain:in:out … *:total:ok:nxdomain:in:out`.
#[derive(Debug, Default)]
pub struct StatisticsFile {
    /// What was counted up to the last line; only kept where lines are differences (`-s +file`).
    earlier: Option<Totals>,
}

impl StatisticsFile {
    /// Lines of counts since the start, or (`differences`) since the line before.
    pub fn new(differences: bool) -> Self {
        Self { earlier: differences.then(Totals::default) }
    }

    /// The line, with its LF, for `totals` at `epoch` (seconds since 1970).
    pub fn line(&mut self, epoch: u64, totals: Totals) -> String {
        let none = Totals::default();
        let earlier = self.earlier.as_ref().unwrap_or(&none);
        let mut line = epoch.to_string();
        for (index, (name, counted)) in totals.zones.iter().enumerate() {
            // Zones are only ever added, at the end.
            let before = earlier.zones.get(index).map_or(ZoneTotals::default(), |(_, before)| *before);
            push_statistics(&mut line, &name.to_string(), &counted.since(&before));
        }
        push_statistics(&mut line, "*", &totals.all().since(&earlier.all()));
        line.push('\n');
        if self.earlier.is_some() {
            self.earlier = Some(totals);
        }
        line
    }
}

fn push_statistics(line: &mut String, name: &str, counted: &ZoneTotals) {
    let ZoneTotals { ok, nxdomain, octets_in, octets_out, .. } = counted;
    // Writing to a String cannot fail.
    let _ = write!(line, " {name}:{}:{ok}:{nxdomain}:{octets_in}:{octets_out}", counted.total());
}

/// What these locks guard is whole after every statement, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rcode: u16) -> Outcome {
        Outcome {
            reply: true,
            zone: None,
            rcode,
            query_type: 1,
            query_class: 1,
            answers: 0,
            ..Outcome::default()
        }
    }

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::from_text(text.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn zones_keep_their_counters_when_their_order_changes() {
        let metrics = Metrics::default();
        let first = metrics.zone_slots(&names(&["a.example", "b.example"]));
        let second = metrics.zone_slots(&names(&["c.example", "B.example"]));
        assert_eq!(first[1], second[1]);
        assert_eq!(metrics.zone_slots(&names(&["a.example"]))[0], first[0]);
        let worker = metrics.worker();
        worker.answered(&outcome(0), Transport::Udp, first[1], 30, 60);
        worker.answered(&outcome(3), Transport::Tcp, second[1], 30, 70);
        let totals = metrics.totals();
        assert_eq!(
            totals.zones[1].1,
            ZoneTotals { ok: 1, nxdomain: 1, errors: 0, octets_in: 60, octets_out: 130 }
        );
        assert_eq!(totals.zones[2].1, ZoneTotals::default());
        assert_eq!(totals.transports, [1, 1, 0]);
    }

    #[test]
    fn more_zones_than_slots_count_only_in_the_sum() {
        let metrics = Metrics::default();
        let zones: Vec<Name> =
            (0..=CHUNK * CHUNKS).map(|n| Name::from_text(format!("z{n}").as_bytes()).unwrap()).collect();
        let slots = metrics.zone_slots(&zones);
        assert_eq!(slots[CHUNK * CHUNKS], None);
        let worker = metrics.worker();
        for slot in [slots[CHUNK * CHUNKS - 1], slots[CHUNK * CHUNKS]] {
            worker.answered(&outcome(5), Transport::Udp, slot, 1, 1);
        }
        let totals = metrics.totals();
        assert_eq!(totals.zones[CHUNK * CHUNKS - 1].1.errors, 1);
        assert_eq!(totals.all().errors, 2);
    }

    #[test]
    fn workers_count_at_the_same_time() {
        let metrics = Metrics::default();
        let slot = metrics.zone_slots(&names(&["a"]))[0];
        let shared = metrics.shared_worker();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let own = metrics.worker();
                    for _ in 0..1000 {
                        own.answered(&outcome(0), Transport::Udp, slot, 1, 2);
                        shared.answered(&outcome(3), Transport::Tcp, slot, 1, 2);
                    }
                });
            }
        });
        let counted = metrics.totals().zones[0].1;
        assert_eq!(
            counted,
            ZoneTotals { ok: 4000, nxdomain: 4000, errors: 0, octets_in: 8000, octets_out: 16000 }
        );
    }

    #[test]
    fn the_statistics_file_is_rbldnsds() {
        let metrics = Metrics::default();
        let slots = metrics.zone_slots(&names(&["bl.ex", "bb.ex"]));
        let worker = metrics.worker();
        let (mut sums, mut differences) = (StatisticsFile::new(false), StatisticsFile::new(true));
        worker.answered(&outcome(3), Transport::Udp, slots[0], 25, 67);
        worker.answered(&outcome(4), Transport::Udp, None, 25, 25);
        worker.answered(&Outcome { reply: false, ..outcome(0) }, Transport::Udp, None, 9, 0);
        let first = "1795301787 bl.ex:1:0:1:25:67 bb.ex:0:0:0:0:0 *:2:0:1:50:92\n";
        assert_eq!(sums.line(1795301787, metrics.totals()), first);
        assert_eq!(differences.line(1795301787, metrics.totals()), first);
        worker.answered(&outcome(0), Transport::Udp, slots[1], 30, 50);
        assert_eq!(
            sums.line(1795301788, metrics.totals()),
            "1795301788 bl.ex:1:0:1:25:67 bb.ex:1:1:0:30:50 *:3:1:1:80:142\n"
        );
        assert_eq!(
            differences.line(1795301788, metrics.totals()),
            "1795301788 bl.ex:0:0:0:0:0 bb.ex:1:1:0:30:50 *:1:1:0:30:50\n"
        );
    }
}
