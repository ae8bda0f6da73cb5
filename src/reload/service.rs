//! The thread that runs a [`Loader`], beside the server: requests come through a bounded queue,
//! log lines and reports go out. Loading blocks this thread and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::{Certificates, Loader, Order, Report, Round, Source};
use crate::name::Name;

/// Requests that may wait. Each makes a look at all files that it concerns, so more would not help.
const QUEUE: usize = 16;

/// The longest sleep, so that a clock that is set does not delay the expiry of data for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The way to the thread, for whoever wants a look at the files, or a report.
#[derive(Clone)]
pub struct Handle {
    queue: SyncSender<Request>,
    /// A look at all files waits that nobody waits for. One is enough, and leaves the queue to those who wait.
    looking: Arc<AtomicBool>,
    report: Arc<ArcSwap<Report>>,
}

/// The thread's end.
pub struct Service {
    requests: Receiver<Request>,
    looking: Arc<AtomicBool>,
    report: Arc<ArcSwap<Report>>,
}

/// Why an ordered reload did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No zone has this name.
    #[error("no zone `{0}`")]
    UnknownZone(Name),
    /// Too many requests are waiting.
    #[error("too many reloads are waiting")]
    Busy,
    /// The server is about to stop.
    #[error("the server is stopping")]
    Stopping,
}

struct Request {
    order: Order,
    reply: Option<oneshot::Sender<Result<Arc<Report>, OrderError>>>,
}

/// The two ends; `report` is what holds before the first request.
pub fn channel(report: Report) -> (Handle, Service) {
    let (queue, requests) = sync_channel(QUEUE);
    let report = Arc::new(ArcSwap::from_pointee(report));
    let looking = Arc::<AtomicBool>::default();
    (
        Handle { queue, looking: looking.clone(), report: report.clone() },
        Service { requests, looking, report },
    )
}

impl Handle {
    /// Something may have changed: all files are looked at soon.
    pub fn look_again(&self) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        // If the queue is full, what waits in it will see the change too, or soon the next poll.
        if self.queue.try_send(Request { order: Order::default(), reply: None }).is_err() {
            self.looking.store(false, Ordering::Release);
        }
    }

    /// Looks at the files of the ordered zones and says how the zones are then.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn reload(&self, order: Order) -> Result<Arc<Report>, OrderError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Request { order, reply: Some(reply) }).map_err(|error| match error {
            TrySendError::Full(_) => OrderError::Busy,
            TrySendError::Disconnected(_) => OrderError::Stopping,
        })?;
        answer.await.unwrap_or(Err(OrderError::Stopping))
    }

    /// How the zones are, without waiting for anything.
    pub fn report(&self) -> Arc<Report> {
        self.report.load_full()
    }
}

impl Service {
    /// What holds from now on, before the first request.
    pub fn publish(&self, report: Report) {
        self.report.store(Arc::new(report));
    }

    /// Serves requests until all handles are gone. `log` gets what came of each look.
    pub fn run<S: Source>(
        self,
        mut loader: Loader<S>,
        mut certificates: Certificates,
        clock: impl Fn() -> SystemTime,
        mut log: impl FnMut(&Round),
    ) {
        loop {
            let until = loader.next_expiry(clock()).and_then(|expiry| expiry.duration_since(clock()).ok());
            let sleep = until.map_or(LONGEST_SLEEP, |until| until.min(LONGEST_SLEEP));
            let request = match self.requests.recv_timeout(sleep) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Before the look: what changes from now on is for the next.
            if request.as_ref().is_some_and(|request| request.reply.is_none()) {
                self.looking.store(false, Ordering::Release);
            }
            let unknown = |order: &Order| loader.unknown(order.zones.as_deref()?).cloned();
            if let Some(name) = request.as_ref().and_then(|request| unknown(&request.order)) {
                reply(request, Err(OrderError::UnknownZone(name)));
                continue;
            }
            let mut round = match &request {
                Some(request) => loader.look(&request.order, clock()),
                None => loader.expire(clock()),
            };
            certificates.look(clock(), &mut round);
            log(&round);
            let report = Arc::new(Report { certificates: certificates.report(), ..loader.report() });
            self.report.store(report.clone());
            reply(request, Ok(report));
        }
    }
}

fn reply(request: Option<Request>, result: Result<Arc<Report>, OrderError>) {
    if let Some(reply) = request.and_then(|request| request.reply) {
        // Whoever asked may have gone meanwhile.
        let _ = reply.send(result);
    }
}
