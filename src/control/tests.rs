//! Both sides of the socket, with a loader that is a thread with canned replies.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

use super::client::ask;
use super::*;
use crate::metrics::Metrics;
use crate::reload::service;
use crate::reload::{Problem, ZoneReport};
use crate::server::{Shed, SnapshotResponder};
use crate::status::show;
use crate::zone::Status;

fn report() -> Report {
    let zone = ZoneReport {
        name: "bl.example".to_owned(),
        status: Status::Serving,
        entries: 10_000,
        errors: 1,
        warnings: 2,
        modified: 1_000_000,
        loaded: 1_000_060,
        expires: None,
        max_age: None,
        problem: Some(Problem::Guarded { zone: "bl.example".to_owned(), entries: 5, served: 10_000 }),
        keys_problem: None,
        findings: Vec::new(),
    };
    let never = ZoneReport {
        name: "x".to_owned(),
        status: Status::NeverLoaded,
        problem: Some(Problem::Unloaded { message: "list:1:1: bad".to_owned() }),
        ..zone.clone()
    };
    Report {
        generation: 3,
        looked: 0,
        zones: vec![zone, never],
        access_problem: None,
        secrets_problem: None,
        certificates: Vec::new(),
    }
}

/// Sees reports, and a server that serves nothing.
fn observer(loader: service::Handle) -> Observer {
    let metrics = Arc::new(Metrics::default());
    let responder = SnapshotResponder::new(Arc::default(), metrics.clone(), Box::new(|_| ()));
    Observer {
        loader,
        metrics,
        responder: Arc::new(responder),
        shed: Shed::default(),
        signing_queue: Default::default(),
        query_log: None,
        started: UNIX_EPOCH,
    }
}

/// A server at `control.sock` in a directory of its own, as long as the guard lives.
struct Running {
    dir: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (handle, service) = service::channel(report());
        // Nobody takes requests: a reload finds the server stopping.
        drop(service);
        let path = dir.path().join("control.sock");
        let socket = runtime.block_on(async { Socket::bind(&path) }).unwrap();
        runtime.spawn(serve(socket, observer(handle)));
        Self { dir, _runtime: runtime }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    fn raw(&self, request: &[u8]) -> String {
        let mut stream = Blocking::connect(self.path()).unwrap();
        stream.write_all(request).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn round_trip() {
    let server = Running::start();
    let (reply, line) = ask(&server.path(), &Request::Status).unwrap();
    let Reply::Status(status) = reply else { panic!("{line}") };
    assert_eq!((status.generation, status.zones[0].report.clone()), (3, report().zones[0].clone()));
    assert!(
        line.starts_with(r#"{"status":{"version":""#)
            && line.contains(r#"{"name":"bl.example","status":"serving","#)
    );
    let (reply, _) = ask(&server.path(), &Request::Reload { zones: vec![], force: true }).unwrap();
    assert_eq!(reply, Reply::Error("the server is stopping".to_owned()));
    let (reply, _) = ask(&server.path(), &Request::Reload { zones: vec![".".into()], force: true }).unwrap();
    assert_eq!(reply, Reply::Error("the zone's name is missing".to_owned()));
}

#[test]
fn requests_as_documented_and_others() {
    let reload = |zones: &[&str], force| Request::Reload {
        zones: zones.iter().map(|&zone| zone.to_owned()).collect(),
        force,
    };
    for (text, request) in [
        (r#"{"command":"status"}"#, Request::Status),
        (r#"{"command":"reload"}"#, reload(&[], false)),
        (r#"{"command":"reload","zones":["bl.example"],"force":true}"#, reload(&["bl.example"], true)),
    ] {
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
    }
    let server = Running::start();
    for request in
        ["\n", "{}\n", "[]\n", "{\"command\":\"stop\"}\n", "{\"command\":\"reload\",\"zone\":1}\n", "\u{0}\n"]
    {
        assert!(server.raw(request.as_bytes()).starts_with(r#"{"error":"#), "{request:?}");
    }
    let endless = vec![b' '; MAX_REQUEST as usize + 1];
    assert!(server.raw(&endless).contains("longer than 65536"));
}

#[test]
fn only_its_owner_may_open_it() {
    let server = Running::start();
    let mode = fs::metadata(server.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(server.dir.path()).unwrap().count(), 1, "nothing else is left");
}

#[tokio::test]
async fn replaces_what_a_dead_server_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let dead = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(dead);
    assert!(super::socket::is_dead(&path) && super::socket::is_dead(&dir.path().join("none")));
    let socket = Socket::bind(&path).unwrap();
    assert!(!super::socket::is_dead(&path));
    assert_eq!(Socket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(socket);
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    assert_eq!(Socket::bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert!(Socket::bind(&dir.path().join("none/s")).is_err());
}

#[test]
fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let error = ask(&dir.path().join("s"), &Request::Status).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("no server at ") && said.contains("/s (No such file"), "{said}");
}

#[test]
fn shown_to_a_person() {
    let now = UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + 90_061);
    assert_eq!(
        show::report(&report(), now),
        "bl.example  serving  10000 entries, 1 errors, 2 warnings, of 1 d 1 h ago, loaded 1 d 1 h ago\n\
         \u{20}           ! 5 entries in place of 10000 are too many changes; \
         `nibbl reload --force bl.example` takes them\n\
         x           never loaded\n\
         \u{20}           ! list:1:1: bad\n"
    );
}

#[test]
fn default_places() {
    assert_eq!(default_path(Some(Path::new("/run/user/5")), 5), Path::new("/run/user/5/nibbl.sock"));
    assert_eq!(default_path(None, 0), Path::new("/run/nibbl.sock"));
    assert_eq!(default_path(None, 5), Path::new("/tmp/nibbl-5.sock"));
}
