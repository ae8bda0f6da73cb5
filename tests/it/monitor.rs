//! What an operator sees: metrics that move with what happens, readiness, status.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::client::{ask, ask_all_tcp, bind};
use crate::harness::dns::Query;
use crate::harness::files::Directory;
use crate::harness::http::get;
use crate::harness::server::{Server, peer};

const HEAD: &str = "$SOA 1h ns1.example.net host.example.net 7 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";
const LISTED: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.f.f.f.3.bl.example";
const UNLISTED: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.f.f.f.3.bl.example";

/// A server with metrics: itself, and where they are.
fn serve(directory: &Directory, zone: &str) -> (Server, SocketAddr) {
    let config = format!(
        "[metrics]\nlisten = '127.0.0.1:0'\n[tcp]\nconnections_per_client = 1\n\
         [[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n{zone}\n"
    );
    let config = directory.write("nibbl.toml", config);
    let mut server = Server::serve(["--config".as_ref(), config.as_os_str()]);
    let address =
        server.said(|line| line.split_once("metrics on http://")?.1.split('/').next()?.parse().ok());
    (server, address)
}

fn list(directory: &Directory) {
    let long = "x".repeat(600);
    directory.write("list", format!("{HEAD}3fff:1::/48 :4:{long}\n192.0.2.0/24\n"));
}

/// All samples, by series.
pub(crate) fn scrape(monitor: SocketAddr) -> BTreeMap<String, f64> {
    let (code, text) = get(monitor, "/metrics");
    assert_eq!(code, 200);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("series and value");
        (series.to_owned(), value.parse().expect("a value"))
    };
    samples.map(sample).collect()
}

/// The series that contain all `parts`, summed.
pub(crate) fn sum(samples: &BTreeMap<String, f64>, parts: &[&str]) -> f64 {
    let of = |series: &String| parts.iter().all(|part| series.contains(part));
    samples.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_move_with_what_happens() {
    let directory = Directory::new();
    list(&directory);
    let (server, monitor) = serve(&directory, "");
    let before = scrape(monitor);
    assert_eq!(sum(&before, &["nibbl_queries_total{"]), 0.0);
    assert_eq!(sum(&before, &["nibbl_zone_entries"]), 2.0);
    assert_eq!(sum(&before, &["nibbl_zone_serial"]), 7.0);

    ask(server.udp, &Query::new(LISTED, "A"));
    // Listed, too long for UDP without EDNS.
    assert!(ask(server.udp, &Query::new(LISTED, "TXT")).truncated);
    ask(server.udp, &Query::new(LISTED, "AAAA"));
    ask(server.udp, &Query::new(UNLISTED, "A"));
    ask(server.udp, &Query::new("9.2.0.192.bl.example", "A"));
    ask(server.udp, &Query::new("9.2.0.193.bl.example", "TXT"));
    ask(server.udp, &Query::new("bl.example", "SOA"));
    ask(server.udp, &Query::new("elsewhere.example", "A"));
    let tcp = server.tcp.expect("nibbl answers over TCP");
    ask_all_tcp(tcp, &[Query::new(LISTED, "TXT")]);
    // One connection is allowed; the second is closed at once.
    let held = std::net::TcpStream::connect(tcp).expect("connect");
    wait_for(monitor, &["nibbl_connections{", "ipv4"], 1.0);
    drop(std::net::TcpStream::connect(tcp));
    // A response is no query.
    let mut response = Query::new("bl.example", "SOA").to_wire(1);
    response[2] |= 0x80;
    bind(None, server.udp).send(&response).expect("send");
    wait_for(monitor, &["nibbl_connections_refused_total"], 1.0);
    wait_for(monitor, &["nibbl_unanswered_total"], 1.0);

    let after = scrape(monitor);
    let queries = |parts: &[&str]| sum(&after, &[&["nibbl_queries_total{"], parts].concat());
    assert_eq!(queries(&[]), 9.0);
    assert_eq!(queries(&["zone=\"bl.example\"", "transport=\"udp\"", "client=\"ipv4\""]), 7.0);
    assert_eq!(queries(&["zone=\"\"", "rcode=\"REFUSED\"", "listed=\"false\""]), 1.0);
    assert_eq!(queries(&["transport=\"tcp\"", "type=\"TXT\"", "listed=\"true\""]), 1.0);
    assert_eq!(queries(&["transport=\"udp\"", "family=\"ipv6\"", "listed=\"true\""]), 3.0);
    assert_eq!(queries(&["type=\"AAAA\"", "rcode=\"NOERROR\"", "listed=\"true\""]), 1.0);
    assert_eq!(queries(&["family=\"ipv6\"", "rcode=\"NXDOMAIN\"", "listed=\"false\""]), 1.0);
    assert_eq!(queries(&["family=\"ipv4\"", "listed=\"true\""]), 1.0);
    assert_eq!(queries(&["family=\"ipv4\"", "type=\"TXT\"", "rcode=\"NXDOMAIN\""]), 1.0);
    assert_eq!(queries(&["family=\"name\"", "type=\"SOA\"", "listed=\"false\""]), 1.0);
    assert_eq!(sum(&after, &["nibbl_truncated_total"]), 1.0);
    assert_eq!(sum(&after, &["nibbl_response_size_bytes_count", "udp"]), 8.0);
    assert_eq!(sum(&after, &["nibbl_response_size_bytes_bucket", "tcp", "le=\"512\""]), 0.0);
    assert_eq!(sum(&after, &["nibbl_response_size_bytes_bucket", "tcp", "le=\"768\""]), 1.0);
    // What gets no answer, a response for instance, is not timed.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..48 {
        silent.send_to(&[0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0], server.udp).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    ask(server.udp, &Query::new(LISTED, "A"));
    assert!(sum(&scrape(monitor), &["nibbl_response_time_seconds_count"]) <= 1.0);
    // One batch of 16 is timed, and these had one packet each.
    while sum(&scrape(monitor), &["nibbl_response_time_seconds_count"]) == 0.0 {
        ask(server.udp, &Query::new(LISTED, "A"));
    }
    let times = scrape(monitor);
    assert!(sum(&times, &["nibbl_response_time_seconds_sum"]) > 0.0);
    assert!(sum(&times, &["nibbl_response_time_seconds_bucket", "le=\"8.589934592\""]) >= 1.0);
    assert!(sum(&after, &["nibbl_query_bytes_total", "bl.example"]) > 8.0 * 30.0);
    assert!(sum(&after, &["nibbl_response_bytes_total", "bl.example"]) > 8.0 * 30.0);
    assert_eq!(sum(&after, &["nibbl_connections_total"]), 2.0);
    drop(held);

    std::fs::write(directory.path().join("list"), "2001:db8::/48\nnonsense\n").expect("write");
    assert_eq!(server.control(&["reload"]).0, Some(0));
    let reloaded = scrape(monitor);
    for (metric, value) in [
        ("nibbl_zone_entries", 1.0),
        ("nibbl_zone_skipped_lines", 1.0),
        ("nibbl_zone_serving", 1.0),
        ("nibbl_reload_success", 1.0),
        ("nibbl_snapshots_total", 2.0),
    ] {
        assert_eq!(sum(&reloaded, &[metric]), value, "{metric}");
    }
    assert!(sum(&reloaded, &["nibbl_zone_warnings"]) > 0.0);
    assert!(sum(&reloaded, &["nibbl_reload_timestamp_seconds"]) > 1e9);
    for metric in ["nibbl_zone_memory_bytes", "nibbl_zone_data_timestamp_seconds"] {
        assert_ne!(sum(&reloaded, &[metric]), sum(&before, &[metric]), "{metric}");
    }
    std::fs::remove_file(directory.path().join("list")).expect("remove");
    assert_eq!(server.control(&["reload"]).0, Some(1));
    let kept = scrape(monitor);
    assert_eq!((sum(&kept, &["nibbl_reload_success"]), sum(&kept, &["nibbl_zone_outdated"])), (0.0, 1.0));
    assert!(sum(&kept, &["process_cpu_seconds_total"]) > 0.0);
    server.stop();
}

/// Waits until a sum of series has a value: what no answer tells of takes its time.
fn wait_for(monitor: SocketAddr, parts: &[&str], value: f64) {
    while sum(&scrape(monitor), parts) != value {
        std::thread::yield_now();
    }
}

#[test]
fn what_the_sockets_lose_is_counted() {
    let directory = Directory::new();
    list(&directory);
    let (server, monitor) = serve(&directory, "");
    let socket = bind(None, server.udp);
    let query = Query::new(LISTED, "A").to_wire(1);
    assert_eq!(sum(&scrape(monitor), &["nibbl_shed_queries_total"]), 0.0);
    server.process.signal(Signal::SIGSTOP);
    // More than the largest buffer holds, which is twice 4 MiB.
    for _ in 0..20_000 {
        socket.send(&query).expect("send");
    }
    server.process.signal(Signal::SIGCONT);
    let (shed, answered) = loop {
        let samples = scrape(monitor);
        let (shed, answered) =
            (sum(&samples, &["nibbl_shed_queries_total"]), sum(&samples, &["nibbl_queries_total{"]));
        if shed + answered >= 20_000.0 {
            break (shed, answered);
        }
    };
    assert!(shed > 0.0 && shed + answered == 20_000.0, "{shed} shed, {answered} answered");
    server.stop();
}

#[test]
fn ready_with_fresh_data_only() {
    let directory = Directory::new();
    list(&directory);
    // The files of tests are years old.
    let (server, monitor) = serve(&directory, "max_age = '1h'");
    assert_eq!(get(monitor, "/healthz"), (200, "alive\n".to_owned()));
    let (code, why) = get(monitor, "/readyz");
    assert!(
        code == 503 && why.starts_with("zone bl.example: the data is ") && why.ends_with(" 3600\n"),
        "{why}"
    );
    assert_eq!(sum(&scrape(monitor), &["nibbl_ready"]), 0.0);
    assert!(server.control(&["status"]).1.contains("not ready"));
    std::fs::write(directory.path().join("list"), "3fff:1::/48\n").expect("write");
    assert_eq!(server.control(&["reload"]).0, Some(0));
    assert_eq!(get(monitor, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(monitor, "/").0, 404);
    server.stop();
}

/// Who says nothing has no place for long, and all of them few of the server's files.
#[test]
fn silent_clients_are_few_and_cut_off() {
    let directory = Directory::new();
    list(&directory);
    let (server, monitor) = serve(&directory, "");
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(monitor).expect("connect")).collect();
    ask(server.udp, &Query::new(LISTED, "A"));
    let files = || std::fs::read_dir(format!("/proc/{}/fd", server.process.id())).expect("files").count();
    let before = files();
    assert_eq!(get(monitor, "/healthz").0, 200);
    assert!(before < 100 && files() < 100, "{before}, then {}", files());
    drop(silent);
    server.stop();
}

#[test]
fn status_for_programs_and_people() {
    let directory = Directory::new();
    list(&directory);
    let (server, monitor) = serve(&directory, "");
    ask(server.udp, &Query::new(LISTED, "A"));
    let (code, http) = get(monitor, "/status");
    assert_eq!(code, 200);
    let status: serde_json::Value = serde_json::from_str(&http).expect("JSON");
    assert_eq!(status["queries"]["udp"], 1);
    assert_eq!(status["zones"][0]["serial"], 7);
    assert_eq!((&status["zones"][0]["answered"], &status["zones"][0]["listed"]), (&1.into(), &1.into()));
    let (code, control) = server.control(&["status", "--json"]);
    assert_eq!(code, Some(0), "{control}");
    let control: serde_json::Value = serde_json::from_str(&control).expect("JSON");
    assert_eq!(control["status"]["zones"], status["zones"]);
    let (_, text) = server.control(&["status"]);
    assert!(text.contains("1 by UDP") && text.contains("1 queries, 100.0 % listed, serial 7"), "{text}");
    server.stop();
}

#[test]
fn watch_shows_rates() {
    let directory = Directory::new();
    list(&directory);
    let (server, _) = serve(&directory, "");
    let mut watch = server.watch();
    watch.wait_for_text("0 by UDP");
    ask(server.udp, &Query::new(LISTED, "A"));
    watch.wait_for_text("/s by UDP");
    let said = server.stop();
    assert!(!said.contains("panicked"), "{said}");
    // It ends with the server.
    watch.wait_for_text("control");
}

#[test]
fn promtool_finds_nothing_wrong() {
    let Some(promtool) = peer("promtool") else { return };
    let directory = Directory::new();
    list(&directory);
    let (server, monitor) = serve(&directory, "max_age = '1h'");
    for name in [LISTED, UNLISTED, "elsewhere.example"] {
        ask(server.udp, &Query::new(name, "A"));
    }
    let (_, metrics) = get(monitor, "/metrics");
    let mut child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    child.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("promtool");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{metrics}");
    let rules =
        Command::new(promtool).args(["check", "rules", "docs/alerts.yml"]).output().expect("promtool");
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    server.stop();
}
