//! The query log: a line per answered query in rbldnsd's format,
//!
//! ```text
//! EPOCH CLIENT QNAME TYPE CLASS: RCODE/ANCOUNT/BYTES
//! 1795292935 127.0.0.1 1.1.1.1.bl.ex A IN: NOERROR/1/63
//! ```
//!
//! Workers put records into a bounded queue and never wait: when the queue is full, the record is
//! dropped and counted. One thread turns records into text and writes it, so a full disk or a slow
//! pipe delays no answer.

use std::fmt::{self, Display};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smallvec::SmallVec;

use crate::answer::Outcome;
use crate::name::Name;

/// Records that may wait for the writer.
pub const DEFAULT_QUEUE: usize = 16_384;

/// The longest time that a written line stays in the buffer of a buffered log.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

const HEADER_OCTETS: usize = 12;

/// Where the log goes and how, as `-l` of rbldnsd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file, or `None` for standard output.
    pub file: Option<PathBuf>,
    /// Every line is written at once.
    pub unbuffered: bool,
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
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match &self.file {
            Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
            None => Box::new(io::stdout()),
        })
    }
}

/// One answered query.
#[derive(Clone, Debug)]
struct Record {
    epoch: u64,
    client: IpAddr,
    /// The question's name in wire form; empty where none could be read.
    name: SmallVec<[u8; 96]>,
    outcome: Outcome,
    reply_octets: usize,
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
#[derive(Clone, Debug)]
pub struct QuerySink {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl QueryLog {
    /// Opens the file, so that an error shows at once, and starts the writer. At most `queue`
    /// records wait for it.
    pub fn start(target: Target, queue: usize) -> io::Result<Self> {
        let unbuffered = target.unbuffered;
        Self::start_with(move || target.open(), unbuffered, queue)
    }

    fn start_with(
        open: impl Fn() -> io::Result<Box<dyn Write + Send>> + Send + 'static,
        unbuffered: bool,
        queue: usize,
    ) -> io::Result<Self> {
        let output = BufWriter::new(open()?);
        let (sender, receiver) = sync_channel(queue.max(1));
        let shared = Arc::new(Shared::default());
        let writer = Writer { open, output, unbuffered, flush_by: None, shared: shared.clone() };
        let writer =
            std::thread::Builder::new().name("query-log".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { sink: QuerySink { queue: sender, shared }, writer: Some(writer) })
    }

    /// The workers' end of the queue.
    pub fn sink(&self) -> QuerySink {
        self.sink.clone()
    }

    /// Opens the file anew, as after a rotation (SIGHUP), before the next line is written. If that
    /// fails, standard error says why and the old file is kept.
    pub fn reopen(&self) {
        self.signal(&self.sink.shared.reopen);
    }

    fn signal(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        // If the queue is full, the writer is awake and looks at the flags after its next record.
        let _ = self.sink.queue.try_send(Message::Wake);
    }
}

/// Writes what waits, and ends the writer.
impl Drop for QueryLog {
    fn drop(&mut self) {
        self.signal(&self.sink.shared.stop);
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been reported on standard error.
            let _ = writer.join();
        }
    }
}

impl QuerySink {
    /// Hands one answered query to the writer, or counts it as dropped.
    pub fn record(&self, packet: &[u8], client: IpAddr, outcome: &Outcome, reply_octets: usize) {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = question_name(packet).into();
        let record = Record { epoch, client, name, outcome: *outcome, reply_octets };
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

struct Writer<O> {
    open: O,
    output: BufWriter<Box<dyn Write + Send>>,
    unbuffered: bool,
    /// When the oldest line in the buffer has waited long enough.
    flush_by: Option<Instant>,
    shared: Arc<Shared>,
}

impl<O: Fn() -> io::Result<Box<dyn Write + Send>>> Writer<O> {
    fn run(mut self, queue: &Receiver<Message>) {
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
        let written = writeln!(self.output, "{record}");
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
            Err(error) => eprintln!("nibbl: the query log cannot be opened anew: {error}"),
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

/// The line without its LF.
impl Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { query_type, query_class, rcode, answers, .. } = self.outcome;
        write!(f, "{} {} ", self.epoch, self.client)?;
        if self.name.is_empty() {
            f.write_str("-")?;
        } else {
            write!(f, "{}", Name::from_wire_unchecked(&self.name))?;
        }
        f.write_str(" ")?;
        write_code(f, query_type, "type", type_name)?;
        f.write_str(" ")?;
        write_code(f, query_class, "class", class_name)?;
        f.write_str(": ")?;
        write_code(f, rcode, "rcode", rcode_name)?;
        write!(f, "/{answers}/{}", self.reply_octets)
    }
}

/// The name of the first question, whole and uncompressed with its root label; else nothing.
fn question_name(packet: &[u8]) -> &[u8] {
    let Some(name) = packet.get(HEADER_OCTETS..) else { return &[] };
    let mut end = 0;
    while let Some(&length) = name.get(end) {
        end += 1 + usize::from(length);
        if length > 63 || end > Name::MAX_OCTETS {
            break;
        }
        if length == 0 {
            return &name[..end];
        }
    }
    &[]
}

fn write_code(
    f: &mut fmt::Formatter<'_>,
    code: u16,
    kind: &str,
    name: fn(u16) -> Option<&'static str>,
) -> fmt::Result {
    match name(code) {
        Some(name) => f.write_str(name),
        None => write!(f, "{kind}{code}"),
    }
}

/// The types that rbldnsd writes by name: its set ends at OPT, but for the query types.
fn type_name(code: u16) -> Option<&'static str> {
    const FROM_ZERO: [&str; 42] = [
        "INVALID", "A", "NS", "MD", "MF", "CNAME", "SOA", "MB", "MG", "MR", "NULL", "WKS", "PTR", "HINFO",
        "MINFO", "MX", "TXT", "RP", "AFSDB", "X25", "ISDN", "RT", "NSAP", "NSAP_PTR", "SIG", "KEY", "PX",
        "GPOS", "AAAA", "LOC", "NXT", "EID", "NIMLOC", "SRV", "ATMA", "NAPTR", "KX", "CERT", "A6", "DNAME",
        "SINK", "OPT",
    ];
    const FROM_250: [&str; 7] = ["TSIG", "IXFR", "AXFR", "MAILB", "MAILA", "ANY", "ZXFR"];
    let code = usize::from(code);
    FROM_ZERO.get(code).or_else(|| FROM_250.get(code.wrapping_sub(250))).copied()
}

fn class_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        255 => "ANY",
        _ => return None,
    })
}

/// NOTIMPL is rbldnsd's spelling.
fn rcode_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMPL", "REFUSED"];
    NAMES.get(usize::from(code)).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn packet(name: &[u8]) -> Vec<u8> {
        [&[0; HEADER_OCTETS], name, &[0, 1, 0, 1]].concat()
    }

    fn outcome(query_type: u16, query_class: u16, rcode: u16, answers: u16) -> Outcome {
        Outcome { reply: true, zone: None, rcode, query_type, query_class, answers, ..Outcome::default() }
    }

    /// A line without its time.
    fn line(name: &[u8], client: &str, outcome: Outcome, reply_octets: usize) -> String {
        let name = question_name(&packet(name)).into();
        let client = client.parse().unwrap();
        Record { epoch: 1795301760, client, name, outcome, reply_octets }.to_string()
    }

    #[test]
    fn lines_are_rbldnsds() {
        let key = b"\x014\x013\x012\x011\x02bl\x02ex\0";
        for (name, client, outcome, octets, expected) in [
            (&key[..], "127.0.0.1", outcome(1, 1, 0, 1), 47, "127.0.0.1 4.3.2.1.bl.ex A IN: NOERROR/1/47"),
            (&key[..], "::1", outcome(257, 1, 4, 0), 23, "::1 4.3.2.1.bl.ex type257 IN: NOTIMPL/0/23"),
            (
                b"\x07a.b\"\x01ZZ\x02bl\x02ex\0",
                "127.0.0.1",
                outcome(65, 1, 3, 0),
                73,
                r#"127.0.0.1 a\.b\"\001ZZ.bl.ex type65 IN: NXDOMAIN/0/73"#,
            ),
            (b"\x01a\0", "2001:db8::1", outcome(255, 2, 5, 0), 9, "2001:db8::1 a ANY class2: REFUSED/0/9"),
            (b"\0", "127.0.0.1", outcome(16, 3, 23, 0), 9, "127.0.0.1 . TXT CH: rcode23/0/9"),
            (b"\xc0\x0c", "127.0.0.1", outcome(0, 0, 1, 0), 12, "127.0.0.1 - INVALID class0: FORMERR/0/12"),
        ] {
            assert_eq!(line(name, client, outcome, octets), format!("1795301760 {expected}"));
        }
    }

    #[test]
    fn no_name_is_read_beyond_the_packet_or_above_its_length() {
        assert_eq!(question_name(&[0; 5]), b"");
        assert_eq!(question_name(&[0; HEADER_OCTETS]), b"");
        assert_eq!(question_name(&[&[0; HEADER_OCTETS][..], b"\x05abc"].concat()), b"");
        assert_eq!(question_name(&packet(&[b"\x01a".repeat(128), vec![0]].concat())), b"");
        assert_eq!(question_name(&packet(&[b"\x01a".repeat(127), vec![0]].concat())).len(), 255);
    }

    #[test]
    fn a_log_is_written_and_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, rotated) = (directory.path().join("q"), directory.path().join("q.1"));
        let target = Target { file: Some(path.clone()), unbuffered: false };
        let log = QueryLog::start(target.clone(), 8).unwrap();
        log.sink().record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40);
        drop(log);
        std::fs::rename(&path, &rotated).unwrap();
        // The flag is seen before the record that follows it.
        let log = QueryLog::start(target, 8).unwrap();
        std::fs::rename(&path, directory.path().join("q.2")).unwrap();
        log.reopen();
        log.sink().record(&packet(b"\x01b\0"), CLIENT, &outcome(1, 1, 3, 0), 50);
        drop(log);
        assert!(std::fs::read_to_string(&rotated).unwrap().ends_with(" 127.0.0.1 a A IN: NOERROR/1/40\n"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(" 127.0.0.1 b A IN: NXDOMAIN/0/50\n"));
        let nowhere = Target { file: Some(directory.path().join("none/q")), unbuffered: false };
        assert!(QueryLog::start(nowhere, 8).is_err());
    }

    /// Says when it is written to, then waits until the test lets it go on.
    struct Gate {
        entered: mpsc::Sender<()>,
        go_on: Receiver<()>,
        result: fn(usize) -> io::Result<usize>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            let _ = self.go_on.recv();
            (self.result)(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(result: fn(usize) -> io::Result<usize>) -> (QueryLog, Receiver<()>, mpsc::Sender<()>) {
        let (entered, has_entered) = mpsc::channel();
        let (let_go_on, go_on) = mpsc::channel();
        let gate = std::sync::Mutex::new(Some(Gate { entered, go_on, result }));
        let open = move || -> io::Result<Box<dyn Write + Send>> {
            let gate = gate.lock().unwrap().take().ok_or(io::ErrorKind::NotFound)?;
            Ok(Box::new(gate))
        };
        (QueryLog::start_with(open, true, 4).unwrap(), has_entered, let_go_on)
    }

    #[test]
    fn a_stuck_writer_costs_records_and_not_time() {
        let (log, has_entered, go_on) = gated(Ok);
        let record = || log.sink().record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40);
        record();
        has_entered.recv().unwrap();
        (0..10).for_each(|_| record());
        assert_eq!(log.sink().dropped(), 6);
        drop(go_on);
        drop(log);
    }

    #[test]
    fn failed_writes_are_counted_and_the_log_goes_on() {
        let (log, has_entered, go_on) = gated(|_| Err(io::ErrorKind::StorageFull.into()));
        for written in 0..3 {
            log.sink().record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40);
            has_entered.recv().unwrap();
            assert_eq!(log.sink().failed_writes(), written);
            go_on.send(()).unwrap();
        }
        // A failed reopening keeps what there is.
        log.reopen();
        log.sink().record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40);
        has_entered.recv().unwrap();
        assert_eq!(log.sink().failed_writes(), 3);
        drop(go_on);
        drop(log);
    }
}
