//! What stands between the transports and the answers: [`Responder`], and the one of production,
//! which answers from the published [`Snapshot`].

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};

use crate::answer::{self, Client, Effort, Outcome, Signing};
use crate::fast::{Exchange, FastPath};
use crate::metrics::{Metrics, ZoneSlot};
use crate::snapshot::Snapshot;
use crate::zone::Zone;

/// Makes replies for the transports.
pub trait Responder: Send + Sync + 'static {
    /// The data of one moment: all packets of a batch are answered from one.
    type Moment;

    /// The data as they are now.
    fn moment(&self) -> Self::Moment;

    /// Appends the reply to `packet` to `reply`, which is empty, unless it [lacks](Outcome::lacks)
    /// signatures that take more than `effort`. Must not block.
    fn respond(
        &self,
        moment: &Self::Moment,
        packet: &[u8],
        client: Client,
        effort: Effort,
        reply: &mut Vec<u8>,
    ) -> Outcome;

    /// Answers those packets of a batch for which there is a faster way than [`Self::respond`], with
    /// the same replies.
    fn respond_batch(&self, _moment: &Self::Moment, _batch: &mut [Exchange<'_>]) {}

    /// As [`Self::respond`] for a UDP packet that lacks signatures for which there is no time.
    fn put_off(
        &self,
        moment: &Self::Moment,
        packet: &[u8],
        client: Client,
        lacking: &Outcome,
        reply: &mut Vec<u8>,
    ) -> Outcome;

    /// Where the counters of the zone at place `zone` of that moment are.
    fn zone_slot(&self, moment: &Self::Moment, zone: u32) -> Option<ZoneSlot>;
}

/// Answers from the snapshot that was published last.
pub struct SnapshotResponder {
    current: ArcSwap<Published>,
    metrics: Arc<Metrics>,
    look_again: Box<LookAgain>,
    /// What the clock of range records counts from.
    started: Instant,
}

/// Told that a NOTIFY asks to look at the files of a zone now, of all zones for `None`. Called by
/// workers: must not block.
pub type LookAgain = dyn Fn(Option<&Arc<Zone>>) + Send + Sync;

/// A snapshot, the fast path through it, and where the counters of its zones are: one value, so that
/// they always match.
#[derive(Debug)]
pub struct Published {
    snapshot: Arc<Snapshot>,
    fast: FastPath,
    zone_slots: Box<[Option<ZoneSlot>]>,
}

/// What was published last, and the time.
pub struct Moment {
    published: Guard<Arc<Published>>,
    /// Seconds since 1970.
    now: u32,
}

impl Published {
    fn new(snapshot: Arc<Snapshot>, metrics: &Metrics) -> Self {
        let zone_slots = metrics.zone_slots(snapshot.zones().iter().map(|zone| zone.name()));
        Self { fast: FastPath::new(&snapshot), snapshot, zone_slots }
    }
}

impl SnapshotResponder {
    /// Answers from `snapshot` until another is published.
    pub fn new(snapshot: Arc<Snapshot>, metrics: Arc<Metrics>, look_again: Box<LookAgain>) -> Self {
        let current = ArcSwap::from_pointee(Published::new(snapshot, &metrics));
        Self { current, metrics, look_again, started: Instant::now() }
    }

    /// Answers from `snapshot` from now on; batches under way end with the one before. What every
    /// resolver asks of signed zones first is signed before.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        answer::sign_ahead(&snapshot, seconds(SystemTime::now()));
        self.current.store(Arc::new(Published::new(snapshot, &self.metrics)));
    }

    /// About how many octets the replies of signed zones take that are kept to be given again.
    pub fn kept_octets(&self) -> u64 {
        self.current.load().fast.kept_octets()
    }

    /// What is answered from now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load().snapshot.clone()
    }
}

impl Responder for SnapshotResponder {
    type Moment = Moment;

    fn moment(&self) -> Moment {
        let published = self.current.load();
        let (elapsed, now) = (self.started.elapsed(), since_1970(SystemTime::now()));
        published.snapshot.allowance.fill(elapsed);
        published.snapshot.gate().set_time(elapsed, now);
        Moment { published, now: now as u32 }
    }

    fn respond(
        &self,
        moment: &Moment,
        packet: &[u8],
        client: Client,
        effort: Effort,
        reply: &mut Vec<u8>,
    ) -> Outcome {
        let snapshot = &moment.published.snapshot;
        let signing = Signing { now: moment.now, effort };
        let outcome = answer::respond(snapshot, packet, client, signing, reply);
        moment.published.fast.keep(packet, &outcome, reply);
        if outcome.look_again {
            let zone = outcome.zone.and_then(|zone| snapshot.zones().get(zone as usize));
            (self.look_again)(zone);
        }
        outcome
    }

    fn put_off(
        &self,
        moment: &Moment,
        packet: &[u8],
        client: Client,
        lacking: &Outcome,
        reply: &mut Vec<u8>,
    ) -> Outcome {
        answer::put_off(&moment.published.snapshot, packet, client, moment.now, lacking, reply)
    }

    fn respond_batch(&self, moment: &Moment, batch: &mut [Exchange<'_>]) {
        let Published { snapshot, fast, .. } = &**moment.published;
        fast.respond(snapshot, moment.now, batch);
    }

    fn zone_slot(&self, moment: &Moment, zone: u32) -> Option<ZoneSlot> {
        moment.published.zone_slots.get(zone as usize).copied().flatten()
    }
}

/// A time as signatures count it: seconds since 1970, modulo 2^32 (RFC 4034, section 3.1.5).
fn seconds(time: SystemTime) -> u32 {
    since_1970(time) as u32
}

fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
