//! What `nibbl serve` answers where it does better than rbldnsd: empty non-terminals, whole answers or
//! none, long texts, made-up SOA records and test entries.

use std::ffi::OsString;

use crate::harness::client::{ask, ask_all_tcp};
use crate::harness::dns::{Query, Reply};
use crate::harness::files::{Directory, MODIFIED};
use crate::harness::server::Server;

fn serve(files: &[(&str, &str)], zones: &[&str]) -> (Server, Directory) {
    let directory = Directory::new();
    for (name, text) in files {
        directory.write(name, text);
    }
    let options: [OsString; 2] = ["--dir".into(), directory.path().into()];
    (Server::serve(options.into_iter().chain(zones.iter().map(Into::into))), directory)
}

fn over_tcp(server: &Server, query: &Query) -> Reply {
    let address = server.tcp.expect("nibbl answers over TCP");
    ask_all_tcp(address, std::slice::from_ref(query)).remove(0).expect("an answer")
}

const HEAD: &str = "$SOA 1h ns1.example.net host.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";

/// RFC 8020: NXDOMAIN is true for all names below. 2.0.0.1 is unlisted, but its name leads to 2001:db8::/32.
#[test]
fn names_above_listings_exist() {
    let (server, _directory) = serve(
        &[("v4", &format!("{HEAD}9.9.9.9\n")), ("v6", "2001:db8::/32\n!2001:db8:1::/48\n")],
        &["bl.example:ip4trie:v4", "bl.example:ip6trie:v6"],
    );
    for (name, rcode) in [
        ("2", "NOERROR"),
        ("1.0.0.2", "NOERROR"),
        ("0.2", "NOERROR"),
        ("8.b.d.0.1.0.0.2", "NOERROR"),
        ("f.8.b.d.0.1.0.0.2", "NOERROR"),
        ("9.b.d.0.1.0.0.2", "NXDOMAIN"),
        ("3", "NXDOMAIN"),
        ("1.0.0.3", "NXDOMAIN"),
        ("9.9.9", "NOERROR"),
        ("8.9.9.9", "NXDOMAIN"),
        ("www", "NXDOMAIN"),
    ] {
        let reply = ask(server.udp, &Query::new(format!("{name}.bl.example"), "A"));
        assert_eq!((reply.rcode.as_str(), reply.answer.len()), (rcode, 0), "{name}: {reply:?}");
        assert_eq!(reply.authority.len(), 1, "the SOA of {name}: {reply:?}");
    }
    server.stop();
}

/// What does not fit is left out whole, TC says so, and TCP has it.
#[test]
fn too_big_for_udp() {
    let records: String = (0..200).map(|i| format!("many A 10.0.0.{i}\n")).collect();
    let (server, _directory) = serve(&[("g", &format!("{HEAD}{records}"))], &["g.example:generic:g"]);
    let query = Query::new("many.g.example", "A");
    for edns in [None, Some(512), Some(1232), Some(4096)] {
        let reply = ask(server.udp, &Query { edns, ..query.clone() });
        assert!(
            reply.truncated && reply.answer.is_empty() && reply.rcode == "NOERROR",
            "{edns:?}: {reply:?}"
        );
        assert_eq!(reply.edns, edns.is_some());
    }
    let reply = over_tcp(&server, &query);
    assert_eq!((reply.truncated, reply.rdata("A").len()), (false, 200));
    server.stop();
}

/// RFC 8482 over UDP, all of it over TCP.
#[test]
fn any_is_one_set_of_records_over_udp() {
    let (server, _directory) = serve(&[("a", &format!("{HEAD}1.2.3.4 :2:text\n"))], &["bl.example:ip4set:a"]);
    let query = Query::new("4.3.2.1.bl.example", "ANY");
    let types = |reply: Reply| reply.answer.into_iter().map(|record| record.record_type).collect::<Vec<_>>();
    assert_eq!(types(ask(server.udp, &query)), ["A"]);
    assert_eq!(types(over_tcp(&server, &query)), ["A", "TXT"]);
    server.stop();
}

/// A TXT string holds 255 octets; a longer text becomes several.
#[test]
fn long_texts() {
    let text = "0123456789".repeat(60);
    let (server, _directory) = serve(&[("a", &format!("{HEAD}1.2.3.4 :2:{text}\n"))], &["bl.example:ip:a"]);
    let reply = ask(server.udp, &Query { edns: Some(1232), ..Query::new("4.3.2.1.bl.example", "TXT") });
    let strings: Vec<&str> =
        reply.rdata("TXT")[0].split('"').filter(|part| !part.trim().is_empty()).collect();
    assert_eq!(strings.concat(), text, "{reply:?}");
    assert!(strings.iter().all(|string| string.len() <= 255));
    server.stop();
}

/// A zone without SOA gets one whose serial is the time of its newest file.
#[test]
fn a_zone_without_soa() {
    let (server, _directory) = serve(&[("a", "1.2.3.4\n")], &["bl.example:ip4set:a"]);
    let soa = ask(server.udp, &Query::new("bl.example", "SOA"));
    let fields: Vec<&str> = soa.rdata("SOA")[0].split(' ').collect();
    assert_eq!(fields[..3], ["bl.example.", "hostmaster.bl.example.", &MODIFIED.to_string()]);
    assert_eq!(fields[6], "300");
    let negative = ask(server.udp, &Query::new("5.3.2.1.bl.example", "A"));
    assert_eq!(negative.authority[0].record_type, "SOA");
    server.stop();
}

/// RFC 2308, section 5: a negative answer lives no longer than the SOA record itself.
#[test]
fn the_ttl_of_negative_answers() {
    let soa = "$SOA 10 ns1.example.net host.example.net 1 2h 30m 7d 60\n";
    let (server, _directory) = serve(&[("a", &format!("{soa}1.2.3.4\n"))], &["bl.example:ip4set:a"]);
    let negative = ask(server.udp, &Query::new("5.3.2.1.bl.example", "A"));
    assert_eq!(negative.authority[0].ttl, 10);
    server.stop();
}
