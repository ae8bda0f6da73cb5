//! rbldnsd's `-s`: a thread that appends a line of statistics to a file now and then, and a bare
//! time where the counting starts and ends.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::metrics::{Metrics, StatisticsFile};

/// Where statistics go, and how. The file is opened for each line, so that it can be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The file, or `None` for standard output.
    pub file: Option<PathBuf>,
    /// Lines hold differences to the one before, not sums.
    pub differences: bool,
    /// The time between two lines; `None` writes only the start and the end.
    pub interval: Option<Duration>,
}

/// The thread; when it is dropped, it writes the end and stops.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts to write.
    pub(super) fn start(statistics: Statistics, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("statistics".into())
            .spawn(move || write(&statistics, &metrics, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been reported.
            let _ = thread.join();
        }
    }
}

fn write(statistics: &Statistics, metrics: &Metrics, stopped: &Receiver<()>) {
    let mut file = StatisticsFile::new(statistics.differences);
    let mut failed = false;
    let mut append = |text: &str| {
        let result = append(statistics, text);
        if let Some(error) = result.as_ref().err().filter(|_| !failed) {
            tracing::warn!("statistics file: {error}");
        }
        failed = result.is_err();
    };
    append(&format!("{}\n", epoch()));
    loop {
        let wait = match statistics.interval {
            Some(interval) => stopped.recv_timeout(interval),
            None => stopped.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if wait != Err(RecvTimeoutError::Timeout) {
            append(&format!("{}\n", epoch()));
            return;
        }
        append(&file.line(epoch(), &metrics.totals()));
    }
}

fn append(statistics: &Statistics, text: &str) -> io::Result<()> {
    match &statistics.file {
        Some(path) => OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes()),
        None => io::stdout().write_all(text.as_bytes()),
    }
}

fn epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
