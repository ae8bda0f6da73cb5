//! The thread that writes.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::record::Record;
use super::{Format, Message, Shared, Target};

/// The longest time that a written line stays in the buffer of a buffered log.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// Turns records into lines.
pub(super) struct Writer<O> {
    open: O,
    output: BufWriter<Box<dyn Write + Send>>,
    unbuffered: bool,
    format: Format,
    /// When the oldest line in the buffer has waited long enough.
    flush_by: Option<Instant>,
    shared: Arc<Shared>,
}

impl<O: Fn() -> io::Result<Box<dyn Write + Send>>> Writer<O> {
    /// Opens the output.
    pub(super) fn new(open: O, plan: &Target, shared: Arc<Shared>) -> io::Result<Self> {
        let output = BufWriter::new(open()?);
        let &Target { unbuffered, format, .. } = plan;
        Ok(Self { open, output, unbuffered, format, flush_by: None, shared })
    }

    /// Writes records until told to stop.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let message = match self.flush_by {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(time) => queue.recv_timeout(time.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Record(record)) => self.write(&record),
                Ok(Message::Wake) => self.reopen_if_asked(),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for message in queue.try_iter() {
            if let Message::Record(record) = message {
                self.write(&record);
            }
        }
        self.flush();
    }

    fn write(&mut self, record: &Record) {
        self.reopen_if_asked();
        let written = record.write(self.format, &mut self.output);
        self.check(written);
        let now = Instant::now();
        let flush_by = *self.flush_by.get_or_insert(now + FLUSH_AFTER);
        if self.unbuffered || now >= flush_by {
            self.flush();
        }
    }

    fn reopen_if_asked(&mut self) {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        self.flush();
        match (self.open)() {
            Ok(output) => self.output = BufWriter::new(output),
            Err(error) => tracing::error!("the query log cannot be opened anew: {error}"),
        }
    }

    fn flush(&mut self) {
        self.flush_by = None;
        let flushed = self.output.flush();
        self.check(flushed);
    }

    /// Counts a failed write, and forgets what could not be written: the buffer would only grow.
    fn check(&mut self, written: io::Result<()>) {
        if written.is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            let empty: Box<dyn Write + Send> = Box::new(io::sink());
            let (output, _unwritten) =
                std::mem::replace(&mut self.output, BufWriter::new(empty)).into_parts();
            self.output = BufWriter::new(output);
        }
    }
}
