//! The query log: a line per answered query, or per so many, in rbldnsd's format or as JSON.
//!
//! Workers put records into a bounded queue and never wait: when the queue is full, the record is
//! dropped and counted. One thread turns records into text and writes it, so a full disk or a slow
//! pipe delays no answer.

mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use smallvec::SmallVec;

use crate::answer::{Client, Outcome};
use record::{Record, question_name};
use writer::Writer;

/// Records that may wait for the writer.
pub const DEFAULT_QUEUE: usize = 16_384;

/// How long the end waits for the writer: what it writes to may be stuck for ever.
const LONGEST_END: Duration = Duration::from_secs(3);
/// How often the end looks whether the writer is through.
const LOOK_UP: Duration = Duration::from_millis(5);

/// Where the log goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file, or `None` for standard output.
    pub file: Option<PathBuf>,
    /// Every line is written at once (`-l +` of rbldnsd); else within a second.
    pub unbuffered: bool,
    /// What a line looks like.
    pub format: Format,
    /// One of so many queries is logged.
    pub sample: NonZeroU32,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `EPOCH CLIENT QNAME TYPE CLASS: RCODE/ANCOUNT/BYTES`, as rbldnsd has it.
    #[default]
    Rbldnsd,
    /// An object a line.
    Json,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display()),
            None => f.write_str("on standard output"),
        }
    }
}

impl Target {
    /// Every query in rbldnsd's format; `None` is standard output.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, unbuffered: false, format: Format::default(), sample: NonZeroU32::MIN }
    }

    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match &self.file {
            Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
            None => Box::new(io::stdout()),
        })
    }
}

enum Message {
    Record(Record),
    /// Look at the flags of [`Shared`].
    Wake,
}

#[derive(Debug, Default)]
struct Shared {
    queued: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
}

/// The log: owns its writer thread.
#[derive(Debug)]
pub struct QueryLog {
    sink: QuerySink,
    writer: Option<JoinHandle<()>>,
}

/// The workers' end of the queue.
#[derive(Debug)]
pub struct QuerySink {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    sample: NonZeroU32,
    /// Queries seen by this sink since the last that was logged.
    seen: AtomicU32,
}

/// Each worker takes its own sample, and touches no counter of another.
impl Clone for QuerySink {
    fn clone(&self) -> Self {
        let Self { queue, shared, sample, seen: _ } = self;
        Self { queue: queue.clone(), shared: shared.clone(), sample: *sample, seen: AtomicU32::new(0) }
    }
}

impl QueryLog {
    /// Opens the file, so that an error shows at once, and starts the writer. At most `queue`
    /// records wait for it.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(target: Target, queue: usize) -> io::Result<Self> {
        let plan = target.clone();
        Self::start_with(move || target.open(), &plan, queue)
    }

    fn start_with(
        open: impl Fn() -> io::Result<Box<dyn Write + Send>> + Send + 'static,
        plan: &Target,
        queue: usize,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(queue.max(1));
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(open, plan, shared.clone())?;
        let writer =
            std::thread::Builder::new().name("query-log".into()).spawn(move || writer.run(&receiver))?;
        let sink = QuerySink { queue: sender, shared, sample: plan.sample, seen: AtomicU32::new(0) };
        Ok(Self { sink, writer: Some(writer) })
    }

    /// The workers' end of the queue.
    pub fn sink(&self) -> QuerySink {
        self.sink.clone()
    }

    /// Opens the file anew, as after a rotation (SIGHUP), before the next line is written. If that
    /// fails, the log of the server says why and the old file is kept.
    pub fn reopen(&self) {
        self.signal(&self.sink.shared.reopen);
    }

    fn signal(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        // If the queue is full, the writer is awake and looks at the flags after its next record.
        let _ = self.sink.queue.try_send(Message::Wake);
    }
}

/// Writes what waits, as far as that takes no longer than [`LONGEST_END`], and ends the writer.
impl Drop for QueryLog {
    fn drop(&mut self) {
        self.signal(&self.sink.shared.stop);
        if let Some(writer) = self.writer.take() {
            let end = Instant::now() + LONGEST_END;
            while !writer.is_finished() && Instant::now() < end {
                std::thread::sleep(LOOK_UP);
            }
            if !writer.is_finished() {
                tracing::warn!("the query log takes no more: what waits for it is lost");
            }
        }
    }
}

impl QuerySink {
    /// Hands one answered query to the writer, or counts it as dropped; of a sample, one of so many.
    pub fn record(&self, packet: &[u8], client: Client, outcome: &Outcome, reply_octets: usize) {
        // Threads that share a sink may take one more or less.
        let seen = self.seen.load(Ordering::Relaxed) + 1;
        self.seen.store(seen % self.sample, Ordering::Relaxed);
        if seen < self.sample.get() {
            return;
        }
        // Without a question, nobody knows whether there is a key in it.
        let is_read = outcome.query_type != 0 || outcome.query_class != 0;
        let name = if is_read { question_name(packet).into() } else { SmallVec::new() };
        let record = Record { time: SystemTime::now(), client, name, outcome: *outcome, reply_octets };
        let counter = match self.queue.try_send(Message::Record(record)) {
            Ok(()) => &self.shared.queued,
            Err(_) => &self.shared.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the writer got, or soon gets.
    pub fn queued(&self) -> u64 {
        self.shared.queued.load(Ordering::Relaxed)
    }

    /// Records dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes of one or more lines that failed.
    pub fn failed_writes(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}
