//! The threads that make signatures, and the queue before them.
//!
//! A signature takes as long as a hundred answers, and anyone can ask for names that nobody asked for
//! before. So transports answer with the signatures that are there; a packet whose answer lacks one
//! waits here. A signer answers it as a whole, from the data of its own moment, and sends the reply
//! the way it came.
//!
//! UDP packets come without any proof of who sent them: their lane is short. When it is half full,
//! negative answers (which take more signatures, of names that nobody listed) are put off, and when
//! it is full all are: an empty reply with TC sends the client to TCP. There each connection has at
//! most one packet here (over QUIC a few), and time: that lane is longer. Who has gone loses its place
//! there, and beyond its end there is no reply. The two lanes take turns.
//!
//! A UDP packet that comes alone while nothing waits is signed for by the worker that read it: it has
//! nothing else to do, and a reply that comes at once spares a resolver the questions that it would have
//! asked meanwhile. Whoever sends more has company in the next batch.
//!
//! What is over the rate limit comes neither here nor to that worker: a question that is asked too often in
//! somebody's name costs no signature, and its answer, when it goes, has been counted.
//!
//! Signers run at a low priority: where processors are scarce, the workers that answer go first.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::guard::Limiter;
use super::{Responder, Service};
use crate::answer::{Client, Effort, Lacking, Outcome};
use crate::metrics::{Limited, WorkerCounters};
use crate::query_log::QuerySink;
use crate::rate_limit::Ticks;
use crate::vital_thread;

/// UDP packets that may wait for each signer: a tenth of a second of work, more or less.
const PLACES: usize = 512;
/// Packets of connections that may wait for each signer: a second of work.
const CONNECTED_PLACES: usize = 8 * PLACES;
/// So many that wait are little to do.
const FEW: usize = 16;
/// What is added to the niceness of a signer.
const NICENESS: i32 = 10;

/// A packet whose answer lacks signatures, or has some that should be made again.
pub(super) struct Job {
    packet: Vec<u8>,
    client: Client,
    /// What is to become of the reply; nothing if it was sent already.
    reply: Option<(Way, Arc<WorkerCounters>)>,
}

impl Job {
    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool {
        matches!(&self.reply, Some((Way::Connection(sender), _)) if sender.is_closed())
    }
}

/// The way of a reply.
enum Way {
    Udp(Send),
    Connection(oneshot::Sender<Vec<u8>>),
}

impl Way {
    /// Sends the reply; false if it could not.
    fn send(self, reply: &[u8]) -> bool {
        match self {
            Self::Udp(send) => send(reply),
            Self::Connection(sender) => sender.send(reply.to_vec()).is_ok(),
        }
    }
}

/// Sends a reply; false if it could not.
pub(super) type Send = Box<dyn FnOnce(&[u8]) -> bool + std::marker::Send>;

/// The answer to a packet of a connection.
pub(super) enum Answer {
    /// It is in the buffer.
    Now,
    /// It comes when its signatures are made, or an error if there is to be none.
    Later(oneshot::Receiver<Vec<u8>>),
}

/// What is done for the packets of one batch. Also where all signatures are there, a denial takes as long
/// as a hundred plain answers, so only a few of them are made beside those.
pub(super) struct Efforts {
    /// The batch is one packet.
    alone: bool,
    signed: usize,
}

impl Efforts {
    /// Signed answers in a batch that may take long.
    const MOST: usize = 16;

    /// For a batch of so many packets.
    pub(super) fn new(packets: usize) -> Self {
        Self { alone: packets == 1, signed: 0 }
    }

    /// What is worth doing for the next packet.
    pub(super) fn next(&self, queue: &Queue) -> Effort {
        if self.signed < Self::MOST { queue.effort() } else { Effort::Least }
    }

    /// Whether the worker makes signatures that are missing.
    pub(super) fn are_at_once(&self, queue: &Queue) -> bool {
        self.alone && queue.is_idle()
    }

    /// Counts what was done.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.signed += usize::from(outcome.holds_until.is_some() || outcome.lacks.is_some());
    }
}

impl<R: Responder> Service<R> {
    /// Hands a UDP packet on whose answer lacks signatures or has old ones. What lacks them and is not over the
    /// rate limit is answered `at_once`, or later, with what `send` makes, or put off; everything else stays as
    /// it is.
    pub(super) fn hand_on(
        &self,
        moment: &R::Moment,
        (packet, client): (&[u8], Client),
        outcome: Outcome,
        reply: &mut Vec<u8>,
        (limiter, at_once): (Option<(&Limiter, Ticks)>, bool),
        send: impl FnOnce() -> Send,
    ) -> Outcome {
        if outcome.renew {
            self.queue.wish(|| Job { packet: packet.to_vec(), client, reply: None });
        }
        let Some(lacking) = outcome.lacks else { return outcome };
        let limited =
            limiter.and_then(|(limiter, now)| limiter.ahead(now, (packet, client), &outcome, &self.counters));
        match limited {
            // It is not sent, nor counted as answered.
            Some(Limited::Dropped) => return outcome,
            Some(Limited::Slipped) => return self.responder.put_off(moment, packet, client, &outcome, reply),
            Some(Limited::Counted) | None => {}
        }
        if at_once {
            return self.responder.respond(moment, packet, client, Effort::Make, reply);
        }
        let sending = || Some((Way::Udp(send()), self.later.clone()));
        if self.queue.offer(lacking, || Job { packet: packet.to_vec(), client, reply: sending() }) {
            return outcome;
        }
        self.queue.put_off.fetch_add(1, Ordering::Relaxed);
        reply.clear();
        self.responder.put_off(moment, packet, client, &outcome, reply)
    }

    /// Answers a packet of a connection, which has time to wait for signatures. `None` where there is
    /// to be no reply.
    pub(super) fn answer_connected(
        &self,
        moment: &R::Moment,
        packet: &[u8],
        client: Client,
        reply: &mut Vec<u8>,
    ) -> Option<Answer> {
        let outcome = self.answer(moment, packet, client, Effort::Take, reply);
        if outcome.lacks.is_some() {
            let (sender, receiver) = oneshot::channel();
            let reply = Some((Way::Connection(sender), self.later.clone()));
            if !self.queue.push(Job { packet: packet.to_vec(), client, reply }) {
                self.counters.unsent(1);
                return None;
            }
            return Some(Answer::Later(receiver));
        }
        if outcome.renew {
            self.queue.wish(|| Job { packet: packet.to_vec(), client, reply: None });
        }
        outcome.reply.then_some(Answer::Now)
    }
}

/// Packets that wait for signers.
#[derive(Default)]
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    /// Rung when a packet comes, and at the end.
    bell: Condvar,
    /// Packets in the UDP lane, to be read without the lock.
    waiting: AtomicUsize,
    /// How many may be.
    places: usize,
    /// How many packets of connections.
    connected_places: usize,
    /// Workers may make signatures, too: no rate has to be kept to.
    at_once: bool,
    put_off: AtomicU64,
}

/// The queue, for whoever wants to know how it is.
#[derive(Clone, Debug, Default)]
pub struct SigningQueue(pub(super) Arc<Queue>);

impl SigningQueue {
    /// UDP packets that wait for signatures.
    pub fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed) as u64
    }

    /// UDP packets that were sent to TCP since the start, for want of a place.
    pub fn put_off(&self) -> u64 {
        self.0.put_off.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Lanes {
    udp: VecDeque<Job>,
    connected: VecDeque<Job>,
    /// The lane of UDP is next.
    udp_is_next: bool,
    closed: bool,
}

/// How much is signed at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigningLimits {
    /// Threads; none where no zone is signed.
    pub workers: usize,
    /// Answers a second for which signatures are made, of all threads together; `None` is as many as
    /// they can.
    pub rate: Option<u32>,
}

impl Queue {
    /// The queue before the signers.
    pub(super) fn new(limits: SigningLimits) -> Self {
        let SigningLimits { workers, rate } = limits;
        let (places, connected_places) = (PLACES * workers, CONNECTED_PLACES * workers);
        Self { places, connected_places, at_once: workers > 0 && rate.is_none(), ..Self::default() }
    }

    /// Nothing waits, so that a signature more or less makes nobody wait either.
    fn is_idle(&self) -> bool {
        self.at_once && self.waiting.load(Ordering::Relaxed) == 0
    }

    /// What is worth doing for the answer to a UDP packet now.
    pub(super) fn effort(&self) -> Effort {
        if self.is_half_full(self.waiting.load(Ordering::Relaxed)) { Effort::Least } else { Effort::Take }
    }

    /// Takes a UDP packet; false if there is no place for it.
    pub(super) fn offer(&self, lacking: Lacking, job: impl FnOnce() -> Job) -> bool {
        let mut lanes = self.lock();
        let waiting = lanes.udp.len();
        let has_place = match lacking {
            Lacking::Positive => waiting < self.places,
            Lacking::Negative => !self.is_half_full(waiting),
        };
        if has_place && !lanes.closed {
            lanes.udp.push_back(job());
            self.waiting.store(waiting + 1, Ordering::Relaxed);
            self.bell.notify_one();
        }
        has_place && !lanes.closed
    }

    /// Takes a packet whose signatures should be made again, if there is little else to do. What is
    /// asked often comes again.
    fn wish(&self, job: impl FnOnce() -> Job) {
        if self.waiting.load(Ordering::Relaxed) < FEW {
            self.offer(Lacking::Negative, job);
        }
    }

    /// Takes a packet of a connection; false if there is no place for it.
    fn push(&self, job: Job) -> bool {
        let mut lanes = self.lock();
        if lanes.connected.len() >= self.connected_places {
            lanes.connected.retain(|job| !job.is_abandoned());
        }
        let has_place = lanes.connected.len() < self.connected_places && !lanes.closed;
        if has_place {
            lanes.connected.push_back(job);
            self.bell.notify_one();
        }
        has_place
    }

    /// Takes nothing more, and ends the signers when what waits is done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    /// Waits for the next packet; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut lanes = self.lock();
        loop {
            lanes.udp_is_next = !lanes.udp_is_next;
            let Lanes { udp, connected, udp_is_next, .. } = &mut *lanes;
            let (first, second) = if *udp_is_next { (udp, connected) } else { (connected, udp) };
            if let Some(job) = first.pop_front().or_else(|| second.pop_front()) {
                self.waiting.store(lanes.udp.len(), Ordering::Relaxed);
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.bell.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_half_full(&self, waiting: usize) -> bool {
        waiting >= self.places / 2
    }

    /// The lanes are whole after every statement, so a panic elsewhere leaves them usable.
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// Starts the signers.
pub(super) fn spawn<R: Responder>(
    limits: SigningLimits,
    responder: &Arc<R>,
    queue: &Arc<Queue>,
    query_log: Option<&QuerySink>,
) -> io::Result<Vec<JoinHandle<()>>> {
    // Each has its share of the rate.
    let apart = limits.rate.map(|rate| Duration::from_secs(limits.workers as u64) / rate.max(1));
    let signer = |index| {
        let (responder, queue, query_log) = (responder.clone(), queue.clone(), query_log.cloned());
        let run = move || run(&responder, &queue, query_log.as_ref(), Pace::new(apart));
        vital_thread::spawn(format!("signer-{index}"), run)
    };
    (0..limits.workers).map(signer).collect()
}

fn run<R: Responder>(responder: &Arc<R>, queue: &Arc<Queue>, query_log: Option<&QuerySink>, mut pace: Pace) {
    // One that may not give way is no reason not to sign.
    let _ = rustix::process::nice(NICENESS);
    let mut buffer = Vec::new();
    while let Some(job) = queue.next() {
        if job.is_abandoned() {
            continue;
        }
        let Job { packet, client, reply } = job;
        buffer.clear();
        let moment = responder.moment();
        let outcome = responder.respond(&moment, &packet, client, Effort::Make, &mut buffer);
        if let Some((way, counters)) = reply {
            let service = Service {
                responder: responder.clone(),
                later: counters.clone(),
                counters,
                query_log: query_log.cloned(),
                queue: queue.clone(),
                // It has been asked before.
                limiter: None,
            };
            let octets = [packet.len(), buffer.len()];
            service.record(&mut service.counters.tally(), &moment, &outcome, octets, || (&packet, client));
            if outcome.reply && !way.send(&buffer) {
                service.counters.unsent(1);
            }
        }
        // Who rests holds no data that others wait to be rid of.
        drop(moment);
        pace.keep();
    }
}

/// Keeps turns at least so far apart, over a few of them.
struct Pace {
    apart: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// Turns that may come at once after a rest.
    const AT_ONCE: u32 = 50;

    fn new(apart: Option<Duration>) -> Self {
        Self { apart, next: Instant::now() }
    }

    fn keep(&mut self) {
        let Some(apart) = self.apart else { return };
        let now = Instant::now();
        let rested = now.checked_sub(apart * Self::AT_ONCE).unwrap_or(now);
        self.next = self.next.max(rested) + apart;
        if let Some(early) = self.next.checked_duration_since(now) {
            std::thread::sleep(early);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Transport;

    fn job(mark: u8) -> Job {
        let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
        Job { packet: vec![mark], client, reply: None }
    }

    #[test]
    fn negative_answers_give_way_first() {
        let queue = Queue::new(SigningLimits { workers: 1, rate: None });
        let offered = |lacking| (0..).take_while(|_| queue.offer(lacking, || job(0))).count();
        assert_eq!((offered(Lacking::Negative), queue.effort()), (PLACES / 2, Effort::Least));
        assert_eq!((offered(Lacking::Positive), offered(Lacking::Positive)), (PLACES / 2, 0));
        for _ in 0..=PLACES / 2 {
            queue.next().unwrap();
        }
        assert_eq!(queue.effort(), Effort::Take);
        assert_eq!(offered(Lacking::Negative), 1);
    }

    #[test]
    fn who_has_gone_loses_its_place() {
        let queue = Queue::new(SigningLimits { workers: 1, rate: None });
        let counters = crate::metrics::Metrics::default().shared_worker(crate::metrics::Origin {
            transport: Transport::Quic,
            client: crate::zone::Family::V4,
        });
        let mut waiting = Vec::new();
        let mut push = || {
            let (sender, receiver) = oneshot::channel();
            waiting.push(receiver);
            queue.push(Job { reply: Some((Way::Connection(sender), counters.clone())), ..job(0) })
        };
        assert_eq!((0..CONNECTED_PLACES + 9).filter(|_| push()).count(), CONNECTED_PLACES);
        waiting.drain(..5);
        let push = || queue.push(job(0));
        assert_eq!((0..9).filter(|_| push()).count(), 5);
    }

    #[test]
    fn the_lanes_take_turns_until_all_is_done() {
        let queue = Queue::new(SigningLimits { workers: 1, rate: None });
        for _ in 0..3 {
            assert!(queue.offer(Lacking::Positive, || job(b'u')));
        }
        assert!(queue.push(job(b'c')));
        queue.close();
        assert!(!queue.offer(Lacking::Positive, || job(0)));
        let order: Vec<u8> = std::iter::from_fn(|| queue.next()).map(|job| job.packet[0]).collect();
        assert_eq!(order, b"ucuu");
    }
}
