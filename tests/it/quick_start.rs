//! What a newcomer does first: the example zones under `zones/`. (What the README shows is run by `book`.)

use crate::harness::client::{ask, ask_all, ask_all_tcp};
use crate::harness::dns::{Query, Reply, reversed};
use crate::harness::server::{Server, nibbl};

/// Names of the example zones and the A records that they own.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("3fff:0:42::1", "bl6.example", &["127.0.0.2"]),
    ("3fff:0:42:80::1", "bl6.example", &[]),
    ("3fff:0:42:88::1", "bl6.example", &["127.0.0.4"]),
    ("3fff:0:7:1::", "bl6.example", &["127.0.0.2"]),
    ("3fff:0:7:2::", "bl6.example", &[]),
    ("3fff:0:1ff::1", "bl6.example", &["127.0.0.2"]),
    ("3fff:0:200::1", "bl6.example", &[]),
    ("192.0.2.1", "bl.example", &["127.0.0.2"]),
    ("192.0.2.25", "bl.example", &[]),
    ("203.0.113.5", "bl.example", &["127.0.0.4"]),
    ("3fff:1:0:1::5", "bl.example", &["127.0.0.2"]),
    ("3fff:1:25::5", "bl.example", &[]),
    ("3fff:1:25:1::5", "bl.example", &["127.0.0.4"]),
    ("192.0.2.25", "wl.example", &["127.0.5.1"]),
    ("3fff:2:1::1", "wl.example", &["127.0.2.3"]),
    ("3fff:2:f001::1", "wl.example", &[]),
    ("3fff:2:ffff::1", "wl.example", &["127.0.15.0"]),
    // RFC 5782, section 5: lists of addresses hold 127.0.0.2, IPv6-only ones too, and not 127.0.0.1.
    ("127.0.0.2", "bl.example", &["127.0.0.2"]),
    ("127.0.0.1", "bl.example", &[]),
    ("::ffff:127.0.0.2", "bl6.example", &["127.0.0.2"]),
    ("127.0.0.2", "bl6.example", &["127.0.0.2"]),
];

const NAMES: &[(&str, &[&str])] = &[
    ("spam.example.com.dbl.example", &["127.0.1.2"]),
    ("www.spam.example.com.dbl.example", &[]),
    ("pills.example.com.dbl.example", &[]),
    ("cheap.pills.example.com.dbl.example", &["127.0.1.2"]),
    ("shop.casino.example.com.dbl.example", &[]),
    ("www.cheap.shop.casino.example.com.dbl.example", &["127.0.1.4"]),
    ("TEST.dbl.example", &["127.0.0.2"]),
    ("INVALID.dbl.example", &[]),
];

#[test]
fn the_example_zones_answer() {
    // Without --config and zones, `nibbl serve` takes zones/nibbl.toml below the current directory.
    let server = Server::serve([""; 0]);
    let addresses = EXAMPLES
        .iter()
        .map(|(text, zone, wanted)| (reversed(text.parse().expect("an address"), zone), *wanted));
    let names = NAMES.iter().map(|(name, wanted)| (name.to_string(), *wanted));
    let (names, wanted): (Vec<_>, Vec<_>) = addresses.chain(names).unzip();
    let queries: Vec<_> = names.iter().map(|name| Query::new(name, "A")).collect();
    let over_udp = ask_all(server.udp, &queries);
    let over_tcp = ask_all_tcp(server.tcp.expect("nibbl answers over TCP"), &queries);
    for (index, query) in queries.iter().enumerate() {
        for reply in [&over_udp[index], &over_tcp[index]] {
            let reply = reply.as_ref().unwrap_or_else(|| panic!("{query}: no answer"));
            assert_eq!(reply.rdata("A"), wanted[index], "{query}: {reply:?}");
            assert!(reply.authoritative && !reply.truncated, "{query}: {reply:?}");
        }
    }
    let text = &NAMES[0].0;
    let texts = ask(server.udp, &Query::new(*text, "TXT"));
    assert_eq!(texts.rdata("TXT"), ["\"spam.example.com advertises in spam\""]);
    server.stop();
}

#[test]
fn check_finds_nothing_wrong_in_the_example_zones() {
    let output = nibbl().args(["check", "--strict"]).output().expect("nibbl");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(said.contains("bl6.ip"), "no summary of bl6.ip:\n{said}");
}

/// What is answered besides data.
#[test]
fn what_concerns_no_data() {
    let server = Server::serve([""; 0]);
    let rcode = |name: &str, record_type: &str| ask(server.udp, &Query::new(name, record_type)).rcode;
    assert_eq!(rcode("elsewhere.example", "A"), "REFUSED");
    assert_eq!(rcode("bl.example", "AXFR"), "REFUSED");
    assert_eq!(rcode("bl.example", "CAA"), "NOERROR");
    assert_eq!(rcode("nothing.bl.example", "TYPE65280"), "NXDOMAIN");
    let soa: Reply = ask(server.udp, &Query::new("bl.example", "SOA"));
    assert_eq!(soa.rdata("SOA").len(), 1, "{soa:?}");
    let version = ask(server.udp, &Query { class: 3, ..Query::new("version.bind", "TXT") });
    assert_eq!(version.rdata("TXT"), [concat!("\"nibbl ", env!("CARGO_PKG_VERSION"), "\"")]);
    let edns = ask(server.udp, &Query { edns: Some(1232), ..Query::new("bl.example", "SOA") });
    assert!(edns.edns && !soa.edns);
    server.stop();
}
