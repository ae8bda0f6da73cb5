//! `nibbl export`: NSD, Knot DNS and BIND load the exported zones and answer as nibbl does; BIND applies the
//! exported policy zone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use crate::harness::authorities::{Authority, bind, knot, named, nsd};
use crate::harness::client::{ask_all, ask_all_within};
use crate::harness::dns::{Query, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::random::Random;
use crate::harness::server::{Server, free_port, nibbl, peer};

const ADDRESSES: [&str; 2] = ["bl.example:ip:addresses", "bl.example:generic:records"];
const NAMES: [&str; 1] = ["dbl.example:dnset:names"];

const HEAD: &str = "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";

#[test]
fn nsd_answers_as_nibbl_does() {
    answers_as_nibbl_does("nsd", nsd, "zone");
}

#[test]
fn knot_answers_as_nibbl_does() {
    answers_as_nibbl_does("knotd", knot, "zone");
}

#[test]
fn bind_answers_as_nibbl_does() {
    answers_as_nibbl_does("named", bind, "zone");
}

#[test]
fn nsd_hosts_range_records() {
    answers_as_nibbl_does("nsd", nsd, "ranges");
}

#[test]
fn knot_hosts_range_records() {
    answers_as_nibbl_does("knotd", knot, "ranges");
}

#[test]
fn bind_hosts_range_records() {
    answers_as_nibbl_does("named", bind, "ranges");
}

/// Compares answers of a server that has the address list in a format, and the names as a zone.
fn answers_as_nibbl_does(program: &str, start: Authority, format: &str) {
    let Some(program) = peer(program) else { return };
    let (data, prefixes) = data(program.as_os_str().len() as u64);
    let mut lines = 0;
    let mut blocks = BTreeSet::new();
    for (zone, specs, format) in [("bl.example", &ADDRESSES[..], format), ("dbl.example", &NAMES, "zone")] {
        let text = export(data.path(), specs, format, true);
        lines += text.lines().count();
        let owners = text.lines().filter_map(|line| line.split_once(" ")).map(|(owner, _)| owner);
        blocks
            .extend(owners.filter(|owner| owner.contains("_ranges")).map(|owner| format!("{owner}.{zone}")));
        data.write(zone, text);
    }
    let address = free_port();
    let process = start(&program, data.path(), address);
    let arguments = ["--ranges".into(), "--dir".into(), data.path().into()].into_iter();
    let server = Server::serve(arguments.chain(ADDRESSES.iter().chain(&NAMES).map(std::ffi::OsString::from)));
    let mut queries = if format == "zone" { queries(&prefixes) } else { Vec::new() };
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
    // APL has no name in the harness.
    queries.extend(blocks.iter().flat_map(|name| ["TYPE42", "TXT"].map(|kind| Query::new(name, kind))));
    let ours = ask_all(server.udp, &queries);
    let theirs = ask_all(address, &queries);
    let (_, said) = process.stop();
    server.stop();
    let mut listed = 0;
    for ((query, ours), theirs) in queries.iter().zip(&ours).zip(&theirs) {
        let [ours, theirs] = [ours, theirs].map(|reply| reply.as_ref().unwrap_or_else(|| panic!("{query}")));
        assert_eq!(verdict(theirs, query), verdict(ours, query), "{query}\n{theirs:?}\n{ours:?}\n{said}");
        assert!(theirs.rcode == ours.rcode || theirs.answer.is_empty(), "{query}");
        listed += usize::from(!ours.answer.is_empty());
    }
    let plausible = if format == "zone" { 0.1..0.9 } else { 0.5..1.1 };
    assert!(plausible.contains(&(listed as f64 / queries.len() as f64)), "{listed} of {}", queries.len());
    println!("{lines} lines, {} queries, {listed} with an answer", queries.len());
}

/// Two texts, and texts with the address inside a 6to4 one, stand in no TXT record beside a block: clients ask
/// at canonical addresses, which a server of range records alone has, too.
#[test]
fn clients_find_all_values_where_only_range_records_are() {
    let Some(program) = peer("nsd") else { return };
    let data = Directory::new();
    let head = "$SOA 1h ns.bl.example hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns.bl.example\n";
    data.write("one", format!("{head}2001:db8::/32 :2:one\n192.0.2.0/24 :3:see $\n198.51.100.0/24 :2:one\n"));
    data.write("two", "2001:db8::/32 :2:two\n198.51.100.0/24 :4:two\n");
    data.write("records", "ns A 127.0.0.1\n");
    let specs = ["bl.example:ip:one", "bl.example:ip:two", "bl.example:generic:records"];
    data.write("bl.example", export(data.path(), &specs, "ranges", true));
    data.write("dbl.example", "@ 60 IN SOA a. b. 1 2 3 4 5\n@ 60 IN NS a.\n");
    let address = free_port();
    let process = nsd(&program, data.path(), address);
    let arguments = ["--ranges".into(), "--dir".into(), data.path().into()].into_iter();
    let server = Server::serve(arguments.chain(specs.iter().map(std::ffi::OsString::from)));
    let looked_up = |server: std::net::SocketAddr| {
        let mut command = nibbl();
        command.args(["lookup", "--json", "--zone", "bl.example", "--server", &server.to_string()]);
        command.args(["2001:db8::7", "2002:c000:207::1", "192.0.2.9", "198.51.100.9", "2001:db9::1"]);
        let output = command.output().expect("nibbl");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).expect("text")
    };
    let (theirs, ours) = (looked_up(address), looked_up(server.udp));
    let host = ask_all(address, &[Query::new("ns.bl.example", "A")]).remove(0).expect("a reply");
    let (_, said) = process.stop();
    server.stop();
    let verdicts = |text: &str| -> Vec<[serde_json::Value; 5]> {
        let verdict = |line| {
            let lookup: serde_json::Value = serde_json::from_str(line).expect("JSON");
            ["subject", "listed", "codes", "texts", "text_address"].map(|field| lookup[field].clone())
        };
        text.lines().map(verdict).collect()
    };
    assert_eq!(verdicts(&theirs), verdicts(&ours), "{said}");
    assert_eq!(ours.matches("\"listed\":true").count(), 4, "{ours}");
    assert!(ours.contains("see 192.0.2.0"), "{ours}");
    assert_eq!(host.answer[0].rdata, "127.0.0.1");
}

/// The records that answer a query: TTL and data.
fn verdict(reply: &Reply, query: &Query) -> BTreeSet<(u32, String)> {
    let of_type = reply.answer.iter().filter(|record| record.record_type == query.record_type);
    of_type.map(|record| (record.ttl, record.rdata.clone())).collect()
}

#[test]
fn rbldnsd_answers_exported_files_as_nibbl_answers_their_sources() {
    let (data, prefixes) = data(5);
    let specs = [ADDRESSES[0], NAMES[0]];
    let mut exported = Vec::new();
    for spec in specs {
        let mut command = nibbl();
        command.args(["export", "--format", "rbldnsd", "--dir"]).arg(data.path()).arg(spec);
        let output = command.arg("--output").arg(data.path().join("exported")).output().expect("nibbl");
        assert_eq!(output.status.code(), Some(0));
        exported.extend(String::from_utf8(output.stdout).expect("ASCII").lines().map(String::from));
    }
    assert_eq!(exported.len(), 3, "one for each family, and the names: {exported:?}");
    let Some(rbldnsd) = Server::rbldnsd(data.path(), &[], &exported) else { return };
    let server = Server::dropin(data.path(), &[], &specs.map(String::from));
    let mut queries = queries(&prefixes);
    queries.retain(|query| matches!(&*query.record_type, "A" | "TXT") && !query.name.contains("www"));
    for (query, (ours, theirs)) in
        queries.iter().zip(ask_all(server.udp, &queries).iter().zip(ask_all(rbldnsd.udp, &queries)))
    {
        let [ours, theirs] = [ours, &theirs].map(|reply| reply.as_ref().unwrap_or_else(|| panic!("{query}")));
        assert_eq!(verdict(theirs, query), verdict(ours, query), "{query}");
    }
    server.stop();
}

#[test]
fn bind_drops_the_queries_of_listed_clients() {
    let Some(program) = peer("named") else { return };
    let (directory, _) = data(9);
    directory.write("listed", "203.0.113.2\n");
    let specs = [&ADDRESSES[..], &["bl.example:ip:listed"]].concat();
    let policy = export(directory.path(), &specs, "rpz", false);
    // Only loopback addresses can ask here, which are left out: one takes the place of a listed client.
    let (listed, client) = ("32.2.113.0.203.rpz-client-ip", "32.2.0.0.127.rpz-client-ip");
    assert!(policy.contains(listed) && !policy.contains(client), "{policy}");
    directory.write("policy", policy.replace(listed, client));
    directory.write("local", "$TTL 60\n@ SOA a. b. 1 2 3 4 5\n@ NS a.\n@ TXT here\n");
    let address = free_port();
    let zones = "zone policy.test { type primary; file \"policy\"; allow-query { none; }; };\n\
                 zone local.test { type primary; file \"local\"; };\n";
    let options = "recursion yes; allow-recursion { any; }; response-policy { zone policy.test; };";
    // Triggers are read after the zones.
    let ready = [" running", "rpz: policy.test: reload done: success"];
    let process = named(&program, directory.path(), address, (options, zones), &ready);
    let asked: Vec<Query> = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)]
        .map(|client| Query { source: Some(client.into()), ..Query::new("local.test", "TXT") })
        .into();
    let replies = ask_all_within(address, &asked, Duration::from_secs(2));
    let (_, said) = process.stop();
    let answered: Vec<bool> = replies.iter().map(Option::is_some).collect();
    assert_eq!(answered, [true, false, true], "127.0.0.2 is the listed one\n{said}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("invalid rpz")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn export(directory: &Path, specs: &[&str], format: &str, ranges: bool) -> String {
    let mut command = nibbl();
    command.args(["export", "--format", format, "--dir"]).arg(directory).args(specs);
    command.args(ranges.then_some("--ranges"));
    let output = command.output().expect("nibbl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).expect("ASCII")
}

/// Random lists, and the prefixes in them.
fn data(seed: u64) -> (Directory, Vec<(IpAddr, u32)>) {
    let mut random = Random::new(seed);
    let directory = Directory::new();
    let mut prefixes = Vec::new();
    let mut text = String::from(HEAD);
    for index in 0..600 {
        let (address, length): (IpAddr, u32) = match index % 2 {
            0 => {
                let base = [0x0102_0304, 0x0203_0000, 0xc000_0200][random.below(3) as usize];
                let length = 8 + random.below(25) as u32;
                let bits: u32 = base ^ random.next_u64() as u32 >> random.below(32);
                (Ipv4Addr::from_bits(bits >> (32 - length) << (32 - length)).into(), length)
            }
            _ => {
                let base =
                    [0x2001_0db8_u128 << 96, 0x2002_0102 << 96, 0x0102_0304 << 96][random.below(3) as usize];
                let length = 12 + random.below(117) as u32;
                let bits = base ^ random.next_u128() >> (4 + random.below(124));
                (Ipv6Addr::from_bits(bits >> (128 - length) << (128 - length)).into(), length)
            }
        };
        prefixes.push((address, length));
        let line = match random.below(4) {
            0 => format!("!{address}/{length}\n"),
            code => format!("{address}/{length} :{code}:code {code}; \"quoted\" \\ (and so on)\n"),
        };
        text.push_str(&line);
    }
    directory.write("addresses", text);
    directory.write(
        "records",
        "@ MX 10 mx.example.net\nwww 60 A 192.0.2.1\nwww AAAA 2001:db8::1\nb.www CAA 0 issue \"ca.example\"\n",
    );
    let names = "two.example\n!.ok.two :2:\n.two :3:all of $\n*.three\none :4:$ itself\na.b.c\nbad.ok.two\n\
                 (odd).three :5:odd\n\\036a.\\@b odd too\n";
    directory.write("names", format!("{HEAD}{names}"));
    (directory, prefixes)
}

/// Complete keys at and round the borders of the prefixes, and names.
fn queries(prefixes: &[(IpAddr, u32)]) -> Vec<Query> {
    let mut addresses: BTreeSet<IpAddr> = ["127.0.0.2", "::ffff:7f00:2", "::", "255.255.255.255"]
        .map(|text| text.parse().expect("an address"))
        .into();
    for &(address, length) in prefixes {
        match address {
            IpAddr::V4(v4) => {
                let first = v4.to_bits();
                let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
                for bits in [first, last, first.wrapping_sub(1), last.wrapping_add(1), first / 2 + last / 2] {
                    addresses.insert(Ipv4Addr::from_bits(bits).into());
                    addresses.insert(Ipv4Addr::from_bits(bits).to_ipv6_mapped().into());
                    addresses.insert(Ipv6Addr::from_bits(0x2002 << 112 | u128::from(bits) << 80 | 1).into());
                    // The nibbles of an IPv6 address that its octets may be.
                    let nibbles =
                        bits.to_be_bytes().iter().fold(0, |all, octet| all << 4 | u128::from(octet % 16));
                    addresses.insert(Ipv6Addr::from_bits(nibbles << 112 | 7).into());
                }
            }
            IpAddr::V6(v6) => {
                let first = v6.to_bits();
                let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
                for bits in [first, last, first.wrapping_sub(1), last.wrapping_add(1), first / 2 + last / 2] {
                    addresses.insert(Ipv6Addr::from_bits(bits).into());
                }
                let octets = [12, 8, 4, 0].map(|shift| (first >> (112 + shift)) as u8 & 15);
                addresses.insert(Ipv4Addr::from(octets).into());
            }
        }
    }
    let names = [
        "one",
        "x.one",
        "two",
        "x.two",
        "y.x.two",
        "ok.two",
        "x.ok.two",
        "bad.ok.two",
        "x.bad.ok.two",
        "three",
        "x.three",
        "a.b.c",
        "b.c",
        "x.a.b.c",
        "c",
        "two.example",
        "x.two.example",
        "example",
        "test",
        "x.test",
        "(odd).three",
        "x.(odd).three",
        "\\036a.\\@b",
        "\\@b",
        "unlisted",
    ];
    let names = names.iter().map(|name| format!("{name}.dbl.example"));
    let names = addresses.iter().map(|address| reversed(*address, "bl.example")).chain(names);
    let mut queries: Vec<Query> =
        names.flat_map(|name| ["A", "TXT"].map(|kind| Query::new(name.clone(), kind))).collect();
    for (name, kind) in [("www", "A"), ("www", "AAAA"), ("b.www", "CAA"), ("x.www", "A")] {
        queries.push(Query::new(format!("{name}.bl.example"), kind));
    }
    queries.extend(["SOA", "NS", "MX", "A"].map(|kind| Query::new("bl.example", kind)));
    queries
}
