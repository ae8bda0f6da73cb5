//! How long answers take, from the arrival of a packet to the departure of its answer: the wait in the
//! socket's buffer counts, which a clock in the program cannot see.
//!
//! The system writes down when each packet arrives (`SO_TIMESTAMPNS`). It tells so only where a batch
//! is received with room for that: in one batch of [`EVERY`]. The others cost nothing in the program.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{ControlMessageOwned, RecvMsg, setsockopt, sockopt};

use crate::fast::BATCH;
use crate::metrics::WorkerCounters;

/// One of so many batches is timed.
const EVERY: u32 = 16;

/// When the packets of a batch arrived, since 1970.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// By the place of the packet; `None` where that is not known or of no interest.
    arrivals: Vec<Option<Duration>>,
    /// Batches up to the next that is timed; `None` where none is.
    left: Option<u32>,
}

impl Times {
    /// Has the system write down when packets arrive.
    pub(super) fn start(socket: &UdpSocket) -> io::Result<Self> {
        setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self { arrivals: Vec::with_capacity(BATCH), left: Some(EVERY) })
    }

    /// Whether the system writes down when packets arrive.
    pub(super) fn are_kept(&self) -> bool {
        self.left.is_some()
    }

    /// Begins a batch; true if it is timed.
    pub(super) fn begin(&mut self) -> bool {
        let Some(left) = &mut self.left else { return false };
        *left -= 1;
        if *left == 0 {
            *left = EVERY;
            return true;
        }
        false
    }

    /// Keeps when the next packet of the batch arrived.
    pub(super) fn arrived<P>(&mut self, message: &RecvMsg<'_, '_, P>) {
        let stamp = message.cmsgs().ok().and_then(|mut controls| {
            controls.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                _ => None,
            })
        });
        self.arrivals.push(stamp);
    }

    /// The packet at a place has no answer, or not yet.
    pub(super) fn unanswered(&mut self, place: usize) {
        if let Some(arrival) = self.arrivals.get_mut(place) {
            *arrival = None;
        }
    }

    /// The answers are sent.
    pub(super) fn finish(&mut self, counters: &WorkerCounters) {
        if self.arrivals.is_empty() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for arrival in self.arrivals.drain(..).flatten() {
            // A clock that was set back says nothing.
            if let Some(time) = now.checked_sub(arrival) {
                counters.answered_within(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }
}
