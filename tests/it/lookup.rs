//! `nibbl lookup` against nibbl with range records: what it prints, what it costs, how it ends.

use std::io::Write;
use std::net::{Ipv6Addr, UdpSocket};
use std::process::Stdio;

use crate::harness::files::Directory;
use crate::harness::server::nibbl;
use crate::relay::server;

/// Runs `nibbl lookup`; the exit code, what it prints and what it remarks.
fn lookup(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = nibbl();
    command.arg("lookup").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nibbl");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let feeding = std::thread::spawn(move || {
        // A lookup that reads no input closes it.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("nibbl");
    feeding.join().expect("fed");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn prints_and_ends_as_promised() {
    let data = Directory::new();
    let server = server(&data);
    let at = server.udp.to_string();
    let ask =
        |arguments: &[&str]| lookup(&[&["--zone", "bl.example", "--server", &at], arguments].concat(), "");
    let (code, out, _) = ask(&["2001:db8::1"]);
    assert_eq!(
        (code, out.as_str()),
        (
            Some(0),
            "2001:db8::1 bl.example listed 127.0.0.2\n    \
             text: 2001:db8::1 is listed, see https://bl.example/2001:db8::1\n    \
             range: 2001:db8:: - 2001:db8:fffe:ffff:ffff:ffff:ffff:ffff\n"
        )
    );
    let (code, out, _) = ask(&["198.51.100.1", "--explain"]);
    assert!(out.starts_with("198.51.100.1 bl.example not listed\n    range: 192.0.3.0"), "{out}");
    assert!(out.contains("    _ranges.bl.example. APL: 1:127.0.0.2/32 1:192.0.2.0/24 "), "{out}");
    assert_eq!(code, Some(1));
    let (code, out, _) = ask(&["198.51.100.1", "192.0.2.9", "--json"]);
    assert!(out.lines().count() == 2 && out.contains("\"listed\":false") && out.contains("\"192.0.2.0/24\""));
    assert_eq!(code, Some(0));
    let (code, out, _) = ask(&["192.0.2.9", "--plain", "--explain"]);
    assert!(out.contains("9.2.0.192.bl.example. A: 127.0.0.2 (") && !out.contains("_ranges"), "{out}");
    assert_eq!(code, Some(0));
    let (code, _, remarks) = ask(&["192.0.2.0/24"]);
    assert!(remarks.contains("neither an address nor a domain name"), "{remarks}");
    assert_eq!(code, Some(2));
    assert_eq!(ask(&["example.org"]).0, Some(1));
    server.stop();
}

#[test]
fn thousands_of_addresses_cost_two_questions() {
    let data = Directory::new();
    let server = server(&data);
    let addresses = (0..5000u128).map(|subnet| Ipv6Addr::from_bits(0x2001_0db8 << 96 | subnet << 64 | 7));
    let input: String = addresses.map(|address| format!("{address}\n")).collect();
    let at = server.udp.to_string();
    let (code, out, remarks) = lookup(&["--zone", "bl.example", "--server", &at], &input);
    assert_eq!((code, out.matches(" listed 127.0.0.2\n").count()), (Some(0), 5000));
    assert!(remarks.contains("5000 looked up in 1 zones, 2 questions asked"), "{remarks}");
    // In the order in which they came.
    let subjects = out.lines().filter_map(|line| line.split_once(" bl.example ")).map(|(subject, _)| subject);
    assert!(subjects.eq(input.lines()));
    server.stop();
}

#[test]
fn a_server_that_says_nothing_is_no_verdict() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let at = silent.local_addr().expect("an address").to_string();
    let (code, out, _) = lookup(&["--zone", "bl.example", "--server", &at, "2001:db8::1"], "");
    assert_eq!(code, Some(2));
    assert!(out.contains("2001:db8::1 bl.example unknown: ") && out.contains("no reply"), "{out}");
}
