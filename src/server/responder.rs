//! What stands between the transports and the answers: [`Responder`], and the one of production,
//! which answers from the published [`Snapshot`].

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};

use crate::answer::{self, Client, Effort, Outcome, Signing};
use crate::fast::{Exchange, FastPath};
use crate::metrics::{Metrics, ZoneSlot};
use crate::snapshot::Snapshot;
use crate::zone::Zone;

/// How long who publishes a snapshot waits for those who still answer from the one before. A batch
/// takes far less.
const PATIENCE: Duration = Duration::from_secs(5);

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
    ///
    /// Blocks until the snapshot before is freed, for a few seconds at the most.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        answer::sign_ahead(&snapshot, seconds(SystemTime::now()));
        let old = self.current.swap(Arc::new(Published::new(snapshot, &self.metrics)));
        let deadline = Instant::now() + PATIENCE;
        // Those who look at the zones, and do not answer, hold only the snapshot.
        let snapshot = old.snapshot.clone();
        free(old, deadline);
        free(snapshot, deadline);
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

/// Drops `old` when nobody else holds it any more, so that it is this thread that frees it: large tables
/// take tens of milliseconds, in which a worker would answer nobody. Who holds it at `deadline` frees it.
///
/// What was swapped out of an [`ArcSwap`] cannot gain holders, and the count has all that there are:
/// the swap pays the debts of guards, which makes each of them a reference that is counted.
fn free<T>(old: Arc<T>, deadline: Instant) {
    const STEP: Duration = Duration::from_millis(1);
    while Arc::strong_count(&old) > 1 && Instant::now() < deadline {
        thread::sleep(STEP);
    }
}

/// A time as signatures count it: seconds since 1970, modulo 2^32 (RFC 4034, section 3.1.5).
fn seconds(time: SystemTime) -> u32 {
    since_1970(time) as u32
}

fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    use super::*;

    /// Says which thread drops it.
    struct Noted(Sender<ThreadId>);

    impl Drop for Noted {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    /// Which thread frees a value that was replaced while a reader held it: this one, or the reader.
    fn freed_by(patience: Duration, hold: Duration) -> [bool; 2] {
        let (noted, freed) = channel();
        let current = ArcSwap::from_pointee(Some(Noted(noted)));
        let ((holding, held), (swap, swapped)) = (channel(), channel());
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let swapped = swapped;
                let guard = current.load();
                holding.send(()).unwrap();
                swapped.recv().unwrap();
                thread::sleep(hold);
                drop(guard);
            });
            held.recv().unwrap();
            let old = current.swap(Arc::new(None));
            let freeing = || free(old, Instant::now() + patience);
            if patience.is_zero() {
                // The reader holds it until it is told, and so surely past the deadline.
                freeing();
                swap.send(()).unwrap();
            } else {
                swap.send(()).unwrap();
                freeing();
            }
            let by = freed.recv().unwrap();
            [thread::current().id(), reader.thread().id()].map(|id| id == by)
        })
    }

    #[test]
    fn who_replaces_a_value_frees_it() {
        let (long, moment) = (Duration::from_secs(300), Duration::from_millis(20));
        assert_eq!(freed_by(long, moment), [true, false], "a reader that holds it a moment");
        assert_eq!(freed_by(Duration::ZERO, moment), [false, true], "a reader that does not let go");
    }

    #[test]
    fn a_snapshot_is_freed_when_the_next_is_published() {
        let first = Arc::<Snapshot>::default();
        let before = Arc::downgrade(&first);
        let responder = SnapshotResponder::new(first, Arc::default(), Box::new(|_| ()));
        let (holding, held) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (moment, snapshot) = (responder.moment(), responder.snapshot());
                holding.send(()).unwrap();
                while Arc::ptr_eq(&responder.snapshot(), &snapshot) {
                    thread::yield_now();
                }
                // A moment longer than it takes to publish.
                thread::sleep(Duration::from_millis(20));
                drop((moment, snapshot));
            });
            held.recv().unwrap();
            responder.publish(Arc::default());
            assert_eq!(before.strong_count(), 0, "somebody else is to free it");
        });
    }
}
