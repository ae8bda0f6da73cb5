//! The sub-commands: exit codes, messages with places, the control socket, signals.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::harness::client::ask;
use crate::harness::dns::Query;
use crate::harness::files::Directory;
use crate::harness::server::{Server, nibbl};

const HEAD: &str = "$SOA 1h ns1.example.net host.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().expect("nibbl");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn check(directory: &Directory, arguments: &[&str]) -> (Option<i32>, String) {
    run(nibbl().arg("check").arg("--dir").arg(directory.path()).args(arguments))
}

#[test]
fn check_tells_clean_from_strange_from_wrong() {
    let directory = Directory::new();
    directory.write("clean", format!("{HEAD}3fff:1::/48\n"));
    directory.write("strange", format!("{HEAD}2001:db8::/48\n"));
    directory.write("wrong", format!("{HEAD}3fff:1::/48\n3fff:::1\n"));
    for (file, strict, code) in [
        ("clean", true, 0),
        ("strange", false, 0),
        ("strange", true, 1),
        ("wrong", false, 2),
        ("missing", false, 2),
    ] {
        let zone = format!("bl.example:ip:{file}");
        let arguments = if strict { vec!["--strict", &zone] } else { vec![zone.as_str()] };
        let (got, said) = check(&directory, &arguments);
        assert_eq!(got, Some(code), "{file}, strict {strict}: {said}");
    }
    let (_, said) = check(&directory, &["bl.example:ip:wrong"]);
    assert!(said.contains("wrong:4:") && said.contains("3fff:::1"), "{said}");
}

#[test]
fn a_wrong_configuration_has_a_place() {
    let directory = Directory::new();
    let path = directory.write("nibbl.toml", "[server]\nlisten = ['127.0.0.1:0']\nlisten_to = 5\n");
    for command in ["serve", "check"] {
        let (code, said) = run(nibbl().arg(command).arg("--config").arg(&path));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("nibbl.toml:3:1") && said.contains("listen_to"), "{said}");
    }
}

#[test]
fn reload_and_status() {
    let directory = Directory::new();
    let path = directory.write("list", format!("{HEAD}3fff:1::/48\n"));
    let server =
        Server::serve(["--dir".as_ref(), directory.path().as_os_str(), "bl.example:ip:list".as_ref()]);
    let address = |name: &str| ask(server.udp, &Query::new(name, "A")).answer.len();
    let second = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.f.f.f.3.bl.example";
    assert_eq!(address(second), 0);
    std::fs::write(&path, format!("{HEAD}3fff:1::/48\n3fff:2::/48\n")).expect("write");
    let (code, said) = server.control(&["reload", "bl.example"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(address(second), 1);
    let (code, said) = server.control(&["status", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let status: serde_json::Value = serde_json::from_str(&said).expect("one line of JSON");
    assert!(status.to_string().contains("bl.example"), "{status}");
    let (code, said) = server.control(&["reload", "other.example"]);
    assert_ne!(code, Some(0), "{said}");
    std::fs::remove_file(&path).expect("remove");
    let (code, said) = server.control(&["reload"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(address(second), 1);
    assert_eq!(server.control(&["status"]).0, Some(1));
    server.stop();
}

#[test]
fn no_server_to_talk_to() {
    let directory = Directory::new();
    for command in ["reload", "status"] {
        let (code, said) = run(nibbl().arg(command).arg("--control").arg(directory.path().join("none")));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("none (") && said.contains("--control PATH"), "{said}");
    }
}

#[test]
fn signals() {
    let directory = Directory::new();
    directory.write("list", format!("{HEAD}3fff:1::/48\n"));
    let arguments = ["--dir".as_ref(), directory.path().as_os_str(), "bl.example:ip:list".as_ref()];
    for last in [Signal::SIGINT, Signal::SIGTERM] {
        let server = Server::serve(arguments);
        server.process.signal(Signal::SIGHUP);
        assert_eq!(ask(server.udp, &Query::new("bl.example", "SOA")).rcode, "NOERROR");
        server.process.signal(last);
        // SIGTERM again, which must not hurt.
        server.stop();
    }
}
