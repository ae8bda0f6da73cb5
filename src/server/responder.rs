//! What stands between the transports and the answers: [`Responder`], and the one of production,
//! which answers from the published [`Snapshot`].

use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

use crate::answer::{self, Client, Outcome};
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

    /// Appends the reply to `packet` to `reply`, which is empty. Must not block.
    fn respond(&self, moment: &Self::Moment, packet: &[u8], client: Client, reply: &mut Vec<u8>) -> Outcome;

    /// Answers those packets of a batch for which there is a faster way than [`Self::respond`], with
    /// the same replies.
    fn respond_batch(&self, _moment: &Self::Moment, _batch: &mut [Exchange<'_>]) {}

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

    /// Answers from `snapshot` from now on; batches under way end with the one before.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.current.store(Arc::new(Published::new(snapshot, &self.metrics)));
    }

    /// What is answered from now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load().snapshot.clone()
    }
}

impl Responder for SnapshotResponder {
    type Moment = Guard<Arc<Published>>;

    fn moment(&self) -> Self::Moment {
        let moment = self.current.load();
        moment.snapshot.allowance.fill(self.started.elapsed());
        moment
    }

    fn respond(&self, moment: &Self::Moment, packet: &[u8], client: Client, reply: &mut Vec<u8>) -> Outcome {
        let outcome = answer::respond(&moment.snapshot, packet, client, reply);
        if outcome.look_again {
            let zone = outcome.zone.and_then(|zone| moment.snapshot.zones().get(zone as usize));
            (self.look_again)(zone);
        }
        outcome
    }

    fn respond_batch(&self, moment: &Self::Moment, batch: &mut [Exchange<'_>]) {
        moment.fast.respond(&moment.snapshot, batch);
    }

    fn zone_slot(&self, moment: &Self::Moment, zone: u32) -> Option<ZoneSlot> {
        moment.zone_slots.get(zone as usize).copied().flatten()
    }
}
