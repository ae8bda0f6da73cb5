//! What signals mean: SIGHUP looks at the files and opens the logs anew, SIGINT and SIGTERM stop,
//! SIGUSR1 and SIGUSR2 say the counters, which no signal resets.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::readiness::Readiness;
use crate::metrics::{Metrics, StatisticsFile};
use crate::query_log::QueryLog;
use crate::reload::Order;
use crate::reload::service::Handle;

/// The signals that are attended to.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user: [Signal; 2],
}

impl Signals {
    /// From now on the signals do not end the process.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Waits for a signal that says stop.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }

    /// Does what signals say until one says stop.
    pub(super) async fn attend(
        mut self,
        files: &Handle,
        query_log: Option<&QueryLog>,
        metrics: &Metrics,
        readiness: &Arc<Readiness>,
    ) {
        loop {
            let [first, second] = &mut self.user;
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => {
                    tokio::spawn(look_again(files.clone(), readiness.clone()));
                    if let Some(log) = query_log {
                        log.reopen();
                    }
                }
                _ = first.recv() => say_counters(metrics),
                _ = second.recv() => say_counters(metrics),
            }
        }
    }
}

/// Looks at all files; the service manager knows when that begins and ends.
async fn look_again(files: Handle, readiness: Arc<Readiness>) {
    readiness.reloading();
    // What came of it is said line by line. A full queue means that a look is to come anyway.
    let _ = files.reload(Order { again: true, ..Order::default() }).await;
    readiness.ready();
}

fn say_counters(metrics: &Metrics) {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    tracing::info!("statistics {}", StatisticsFile::new(false).line(epoch, &metrics.totals()).trim_end());
}
