//! The server's own log in its formats, and the query log of `nibbl.toml`.

use nix::sys::signal::Signal;

use crate::harness::client::ask;
use crate::harness::dns::Query;
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{Server, nibbl};

/// What a server says from its start to its end, in a format; its second zone does not load.
fn log(format: &str, level: &str) -> String {
    let directory = Directory::new();
    directory.write("list", "3fff:1::/48\n");
    let config = directory.write(
        "nibbl.toml",
        format!(
            "[server]\nlisten = ['127.0.0.1:0']\ncontrol = false\n[log]\nformat = '{format}'\nlevel = '{level}'\n\
             [[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n\
             [[zone]]\nname = 'x.example'\ndatasets = ['ip:missing']\n"
        ),
    );
    let mut command = nibbl();
    command.env_remove("NIBBL_LOG").env_remove("JOURNAL_STREAM").args(["serve", "--config"]).arg(config);
    let mut process = Process::start(command);
    process.wait_for_text(if level == "info" { "ready" } else { "x.example: not loaded" });
    let (status, said) = process.stop();
    assert!(status.success(), "{said}");
    said
}

#[test]
fn where_no_person_reads_the_log_is_json() {
    for format in ["auto", "json"] {
        let said = log(format, "info");
        let events: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
        let event = |message: &str| {
            let found = events.iter().find(|event| event["message"].as_str().unwrap().starts_with(message));
            found.unwrap_or_else(|| panic!("{message}: {said}"))
        };
        let listening = event("listening on udp 127.0.0.1:");
        assert!(listening["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!((&listening["level"], &listening["transport"]), (&"INFO".into(), &"udp".into()));
        let served = event("zone bl.example: 1 entries, served on");
        assert_eq!((&served["zone"], &served["entries"]), (&"bl.example".into(), &1.into()));
        let missing = event("zone x.example: has no data: ");
        assert_eq!((&missing["level"], &missing["zone"]), (&"WARN".into(), &"x.example".into()));
    }
}

#[test]
fn text_has_times_and_a_threshold() {
    let said = log("text", "warn");
    assert!(said.lines().all(|line| line.contains("Z nibbl: ")), "{said}");
    assert!(said.contains("zone x.example: not loaded") && !said.contains("ready"), "{said}");
    assert!(log("text", "info").lines().any(|line| line.ends_with("Z nibbl: ready")));
    assert!(log("plain", "info").lines().any(|line| line == "nibbl: ready"));
}

#[test]
fn an_unknown_format_in_the_environment_is_an_error() {
    let directory = Directory::new();
    directory.write("list", "3fff:1::/48\n");
    let mut command = nibbl();
    command.env("NIBBL_LOG", "xml").args(["serve", "bl.example:ip:list"]);
    let output = command.current_dir(directory.path()).output().expect("nibbl");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NIBBL_LOG: `xml` is not"));
}

#[test]
fn queries_as_json_into_a_file_that_is_rotated() {
    let directory = Directory::new();
    directory.write("list", "3fff:1::/48\n");
    let config = directory.write(
        "nibbl.toml",
        "[query_log]\nfile = 'queries'\nformat = 'json'\n[[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n",
    );
    let server = Server::serve(["--config".as_ref(), config.as_os_str()]);
    let (path, rotated) = (directory.path().join("queries"), directory.path().join("queries.1"));
    let name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.f.f.f.3.bl.example";
    ask(server.udp, &Query::new(name, "A"));
    std::fs::rename(&path, &rotated).expect("rename");
    server.process.signal(Signal::SIGHUP);
    // It is opened before the next line is written, and the signal may take its time.
    let mut asked = 1;
    while asked == 1 || !path.exists() {
        ask(server.udp, &Query::new("other.bl.example", "TXT"));
        asked += 1;
    }
    server.stop();
    let read = |path| std::fs::read_to_string(path).expect("a log");
    let lines = [read(&rotated), read(&path)].concat();
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(records.len(), asked);
    assert_eq!((&records[0]["name"], &records[0]["listed"]), (&name.into(), &true.into()));
    assert_eq!((&records[1]["type"], &records[1]["rcode"]), (&"TXT".into(), &"NXDOMAIN".into()));
    assert_eq!((&records[0]["client"], &records[0]["transport"]), (&"127.0.0.1".into(), &"udp".into()));
}
