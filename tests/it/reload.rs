//! Reload under load: a steady client asks while the data file is replaced, rewritten, truncated, deleted,
//! filled with garbage and made unreadable. No query may be lost, none answered SERVFAIL, and every answer
//! must come from the data of before or after the change.
//!
//! `NIBBL_RELOAD_ENTRIES` sets the size of the list; from a million entries on, it is replaced twenty times
//! under 2,000 queries a second.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::harness::client::bind;
use crate::harness::dns::{Query, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::random::Random;
use crate::harness::server::Server;

/// The client's pace at full size, run alone: 2,000 queries a second ...
const PACE: Duration = Duration::from_micros(500);
/// ... and at a small size, where other tests run beside it: 500.
const SLOW_PACE: Duration = Duration::from_millis(2);
/// How long a new version of the list may take until it is served.
const PATIENCE: Duration = Duration::from_secs(120);
/// What `nibbl reload` exits with when a zone keeps its old data.
const KEPT: Option<i32> = Some(1);

#[test]
fn no_query_suffers_from_reloads() {
    let entries =
        std::env::var("NIBBL_RELOAD_ENTRIES").map_or(20_000, |text| text.parse().expect("a number"));
    let (replacements, quiet_answers, pace) =
        if entries < 1_000_000 { (4, 500, SLOW_PACE) } else { (20, 20_000, PACE) };
    println!(
        "{entries} entries, {replacements} replacements, a query each {pace:?} (NIBBL_RELOAD_ENTRIES=1000000 is the full size)"
    );

    let directory = Directory::new();
    let path = directory.path().join("list");
    std::fs::write(&path, list(entries, 1)).expect("write");
    let server =
        Server::serve(["--dir".as_ref(), directory.path().as_os_str(), "bl.example:ip6trie:list".as_ref()]);

    let quiet = under_load(server.udp, entries, pace, |versions, _| {
        for _ in 0..quiet_answers {
            versions.recv_timeout(PATIENCE).expect("answers");
        }
    });

    let address = server.udp;
    let busy = under_load(address, entries, pace, |versions, floor| {
        let mut version = 1;
        let mut publish = |write: &dyn Fn(&Path, &str)| {
            version += 1;
            write(&path, &list(entries, version));
            while versions.recv_timeout(PATIENCE).expect("the new version is served") < version {}
            floor.store(version, Ordering::Relaxed);
        };
        for round in 0..replacements {
            publish(if round % 2 == 0 { &rename_into_place } else { &rewrite });
        }
        for spoil in [cut_in_a_line, empty, delete, fill_with_garbage, make_unreadable] {
            spoil(&path);
            let (code, said) = server.control(&["reload"]);
            assert_eq!(code, KEPT, "{said}");
            publish(&rename_into_place);
        }
    });
    server.stop();

    println!("without reloads: {quiet}\nwith reloads:    {busy}");
    for tally in [quiet, busy] {
        assert_eq!(tally.lost, 0, "lost queries");
        assert!(tally.wrong.is_empty(), "{} wrong answers: {:?}", tally.wrong.len(), tally.wrong[0]);
    }
}

/// Runs `body` while a client asks: it gets the versions of the answers as they come, and says which
/// version is the least that is served.
fn under_load(
    address: SocketAddr,
    entries: u32,
    pace: Duration,
    body: impl FnOnce(&Receiver<u32>, &AtomicU32),
) -> Tally {
    /// Ends the client even where `body` panics.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (stop, floor, (seen, versions)) = (AtomicBool::new(false), AtomicU32::new(1), channel());
    std::thread::scope(|scope| {
        let client = scope.spawn(|| steady_client(address, entries, pace, &floor, &stop, seen));
        let stop = Stop(&stop);
        body(&versions, &floor);
        drop(stop);
        client.join().expect("the client")
    })
}

fn rename_into_place(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("write");
    if path.is_dir() {
        std::fs::remove_dir(path).expect("remove");
    }
    std::fs::rename(new, path).expect("rename");
}

fn rewrite(path: &Path, text: &str) {
    std::fs::write(path, text).expect("write");
}

fn cut_in_a_line(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).expect("open");
    let length = file.metadata().expect("length").len();
    file.set_len(length / 10 + 3).expect("truncate");
}

fn empty(path: &Path) {
    std::fs::write(path, "").expect("truncate");
}

fn delete(path: &Path) {
    std::fs::remove_file(path).expect("delete");
}

fn fill_with_garbage(path: &Path) {
    let mut random = Random::new(3);
    let garbage: Vec<u8> = (0..100_000).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    std::fs::write(path, garbage).expect("write");
}

/// Without permissions; where that stops nobody (root), a directory in the file's place.
fn make_unreadable(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o0)).expect("permissions");
    if std::fs::read(path).is_ok() {
        delete(path);
        std::fs::create_dir(path).expect("directory");
    }
}

/// A list of /64s whose A record says the version.
fn list(entries: u32, version: u32) -> String {
    let head = format!(
        "$SOA 60 ns1.example. host.example. 1 1h 1h 1w 60\n$NS 60 ns1.example.\n:127.0.1.{version}\n"
    );
    (0..entries).fold(head, |mut text, i| {
        writeln!(text, "2a00:{:x}:{:x}::/64", i >> 16, i & 0xffff).expect("a String takes everything");
        text
    })
}

/// An address in entry `i`, or beside it.
fn address(i: u32, listed: bool) -> Ipv6Addr {
    let [high, low] = [(i >> 16) as u16, i as u16];
    Ipv6Addr::new(0x2a00, high, low, u16::from(!listed), 0, 0, 0, 1)
}

/// What became of a client's queries.
#[derive(Default)]
struct Tally {
    sent: usize,
    lost: usize,
    wrong: Vec<String>,
    latencies: Vec<Duration>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let at = |per_mille: usize| sorted.get(sorted.len() * per_mille / 1000).copied().unwrap_or_default();
        write!(f, "{} queries, {} lost, ", self.sent, self.lost)?;
        write!(
            f,
            "p50 {:?}, p99.9 {:?}, longest {:?}",
            at(500),
            at(999),
            sorted.last().copied().unwrap_or_default()
        )
    }
}

/// Asks at a steady pace until told to stop. `floor` is the version that is served for sure; the next one
/// may come at any time. Every answer's version is sent to `seen`.
fn steady_client(
    server: SocketAddr,
    entries: u32,
    pace: Duration,
    floor: &AtomicU32,
    stop: &AtomicBool,
    seen: Sender<u32>,
) -> Tally {
    let socket = bind(None, server);
    let mut random = Random::new(5);
    let mut waiting: HashMap<u16, (Instant, bool, u32)> = HashMap::new();
    let mut tally = Tally::default();
    let mut buffer = [0; 4096];
    let mut next = Instant::now();
    let mut end = None;
    loop {
        let now = Instant::now();
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(now + Duration::from_secs(5));
        }
        if end.is_some_and(|end| waiting.is_empty() || now >= end) {
            tally.lost += waiting.len();
            return tally;
        }
        if now >= next && end.is_none() {
            let id = (tally.sent % 0x1_0000) as u16;
            let listed = random.below(2) == 0;
            let name = reversed(address(random.below(entries.into()) as u32, listed).into(), "bl.example");
            socket.send(&Query::new(name, "A").to_wire(id)).expect("send");
            // An id comes round again after half a minute: what waited that long is lost.
            tally.lost +=
                usize::from(waiting.insert(id, (now, listed, floor.load(Ordering::Relaxed))).is_some());
            tally.sent += 1;
            next += pace;
            continue;
        }
        let pause = if end.is_some() { pace } else { next - now };
        socket.set_read_timeout(Some(pause)).expect("read timeout");
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let Some(reply) = Reply::from_wire(&buffer[..length]) else {
            tally.wrong.push("a malformed reply".into());
            continue;
        };
        let Some((sent, listed, floor)) = waiting.remove(&reply.id) else { continue };
        tally.latencies.push(sent.elapsed());
        let version = reply.rdata("A").first().and_then(|a| a.strip_prefix("127.0.1.")?.parse().ok());
        let right = match version {
            Some(version) => listed && (floor..=floor + 1).contains(&version),
            None => !listed && reply.rcode == "NXDOMAIN",
        };
        if !right {
            tally.wrong.push(format!("{} {:?} at version {floor}", reply.rcode, reply.answer));
        }
        if let Some(version) = version {
            // Nobody listens any more when `body` is done.
            let _ = seen.send(version);
        }
    }
}
