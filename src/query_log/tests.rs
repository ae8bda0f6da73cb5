//! Lines, rotation, and a writer that is stuck.

use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, UNIX_EPOCH};

use super::record::HEADER_OCTETS;
use super::*;
use crate::answer::Transport;

const CLIENT: Client =
    Client { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), transport: Transport::Udp };

fn packet(name: &[u8]) -> Vec<u8> {
    [&[0; HEADER_OCTETS], name, &[0, 1, 0, 1]].concat()
}

fn outcome(query_type: u16, query_class: u16, rcode: u16, answers: u16) -> Outcome {
    Outcome { reply: true, zone: None, rcode, query_type, query_class, answers, ..Outcome::default() }
}

fn record(name: &[u8], client: &str, outcome: Outcome, reply_octets: usize) -> Record {
    let name = question_name(&packet(name)).into();
    let client = Client { address: client.parse().unwrap(), transport: Transport::Tcp };
    let time = UNIX_EPOCH + Duration::from_millis(1_795_301_760_123);
    Record { time, client, name, outcome, reply_octets }
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
        assert_eq!(record(name, client, outcome, octets).to_string(), format!("1795301760 {expected}"));
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
    let target = Target::new(Some(path.clone()));
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
    let nowhere = Target::new(Some(directory.path().join("none/q")));
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
    let plan = Target { unbuffered: true, ..Target::new(None) };
    (QueryLog::start_with(open, &plan, 4).unwrap(), has_entered, let_go_on)
}

#[test]
fn a_stuck_writer_costs_records_and_not_time() {
    let (log, has_entered, go_on) = gated(Ok);
    let record = || log.sink().record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40);
    record();
    has_entered.recv().unwrap();
    (0..10).for_each(|_| record());
    assert_eq!(log.sink().dropped(), 6);
    // Nor does the end wait for ever.
    drop(log);
    drop(go_on);
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

#[test]
fn objects_of_json() {
    let key = b"\x014\x01\"\x02ex\0";
    let mut text = Vec::new();
    let listed = Outcome { listed: true, ..outcome(257, 1, 0, 1) };
    record(key, "::1", listed, 47).write(Format::Json, &mut text).unwrap();
    record(b"\xc0", "::1", outcome(1, 2, 23, 0), 12).write(Format::Json, &mut text).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        r#"{"time":1795301760.123,"client":"::1","transport":"tcp","name":"4.\\\".ex","type":"TYPE257","class":"IN","rcode":"NOERROR","listed":true,"answers":1,"octets":47}
{"time":1795301760.123,"client":"::1","transport":"tcp","name":null,"type":"A","class":"CLASS2","rcode":"RCODE23","listed":false,"answers":0,"octets":12}
"#
    );
}

#[test]
fn a_sample() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("q");
    let target = Target { sample: NonZeroU32::new(10).unwrap(), ..Target::new(Some(path.clone())) };
    let log = QueryLog::start(target, 100).unwrap();
    let sinks = [log.sink(), log.sink()];
    for sink in &sinks {
        (0..95).for_each(|_| sink.record(&packet(b"\x01a\0"), CLIENT, &outcome(1, 1, 0, 1), 40));
    }
    assert_eq!(sinks[0].queued(), 18);
    drop(log);
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 18);
}
