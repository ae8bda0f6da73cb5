//! Tests of whole files in each format: what they say of keys, by naive lookups, and what is
//! reported of them. The answers are rbldnsd's, but for the faults that docs/rbldnsd-differences.md
//! lists.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::diagnostic::{Diagnostics, Severity};
use super::*;
use crate::name::Name;
use crate::prefix_table::{State, UNLISTED};
use crate::value::Template;

fn options() -> ReadOptions {
    ReadOptions {
        dropin: false,
        accept_host_bits: false,
        decompress: true,
        default_ttl: 2100,
        min_ttl: 0,
        max_ttl: 0,
        widest_v6: 19,
        widest_v4: 8,
        now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

fn read_with(kind: Kind, files: &[&[u8]], options: &ReadOptions) -> (Result<Parsed, Failure>, Diagnostics) {
    let mut parser = Parser::new(kind, options);
    for (index, text) in files.iter().enumerate() {
        let path = format!("file{index}");
        if let Err(failure) = parser.file(Path::new(&path), SystemTime::UNIX_EPOCH, &mut &text[..]) {
            return (Err(failure), parser.finish().1);
        }
    }
    let (parsed, diagnostics) = parser.finish();
    (Ok(parsed), diagnostics)
}

fn read(kind: Kind, files: &[&str]) -> (Parsed, Diagnostics) {
    let files: Vec<&[u8]> = files.iter().map(|text| text.as_bytes()).collect();
    let (parsed, diagnostics) = read_with(kind, &files, &options());
    (parsed.unwrap(), diagnostics)
}

/// What a value says of a key: `A "TXT"`.
fn shown(parsed: &Parsed, state: State, key: &str) -> String {
    let value = &parsed.values.values()[state as usize - 1];
    let mut text = Vec::new();
    match Template::compile(value.text.as_deref(), &parsed.specials.variables) {
        Some(template) => template.expand(key.as_bytes(), &mut text),
        None => return value.address.to_string(),
    }
    format!("{} {}", value.address, String::from_utf8_lossy(&text))
}

/// What the dataset says of a key, by looking at every entry. `-` is "not listed".
fn answer(parsed: &Parsed, key: &str) -> String {
    let states = match &parsed.content {
        Content::Addresses(entries) => match key.parse().unwrap() {
            IpAddr::V4(address) => {
                let address = u32::from(address);
                let covers = |entry: &&crate::prefix_table::Entry<u32>| {
                    address & crate::address::text::v4_mask(entry.length) == entry.first
                };
                deciding(
                    parsed.kind,
                    entries.v4.iter().filter(covers).map(|entry| (entry.length, entry.state)),
                )
            }
            IpAddr::V6(address) => {
                let address = u128::from(address);
                let covers = |entry: &&crate::prefix_table::Entry<u128>| {
                    address & crate::address::text::v6_mask(entry.length) == entry.first
                };
                deciding(
                    parsed.kind,
                    entries.v6.iter().filter(covers).map(|entry| (entry.length, entry.state)),
                )
            }
        },
        _ => panic!("no list of addresses"),
    };
    if states.is_empty() || states.contains(&UNLISTED) {
        return "-".into();
    }
    let all: BTreeSet<String> = states.into_iter().map(|state| shown(parsed, state, key)).collect();
    all.into_iter().collect::<Vec<_>>().join(" | ")
}

fn deciding(kind: Kind, covering: impl Iterator<Item = (u8, State)> + Clone) -> Vec<State> {
    let Some(longest) = covering.clone().map(|(length, _)| length).max() else { return Vec::new() };
    let most = if kind == Kind::Ip4set { usize::MAX } else { 1 };
    covering.filter(|(length, _)| *length == longest).map(|(_, state)| state).take(most).collect()
}

fn check(kind: Kind, files: &[&str], errors: u64, expected: &[(&str, &str)]) {
    let (parsed, diagnostics) = read(kind, files);
    for (key, answer_expected) in expected {
        assert_eq!(answer(&parsed, key), *answer_expected, "{kind:?} {key}");
    }
    assert_eq!(diagnostics.errors(), errors, "{:#?}", diagnostics.kept());
}

#[test]
fn ip4set() {
    check(
        Kind::Ip4set,
        &[
            "# comment\n; comment\n1.2.3.4 own\n1.2.4 # c\n:3:def $\n10.20-30\n1.2.5/25 :4:a\n1.2.5.0/26 :5:b\n\
             1.2.5 :6:c\n!1.2.5.8\n!1.2.4.0/25\n9.1.1.1:7\n8.1.1.1 :8:\n8.0.0.0-8.255.255.255 x",
        ],
        0,
        &[
            ("1.2.3.4", "127.0.0.2 own"),
            ("1.2.4.9", "-"),
            ("1.2.4.200", "127.0.0.2"),
            ("10.25.1.1", "127.0.0.3 def 10.25.1.1"),
            ("1.2.5.1", "127.0.0.4 a | 127.0.0.5 b"),
            ("1.2.5.8", "-"),
            ("1.2.5.100", "127.0.0.4 a"),
            ("1.2.5.200", "127.0.0.6 c"),
            ("9.1.1.1", "127.0.0.7 def 9.1.1.1"),
            ("8.1.1.1", "127.0.0.8"),
            ("8.1.1.2", "127.0.0.3 x"),
        ],
    );
}

#[test]
fn bad_lines_are_skipped() {
    for (kind, lines) in [
        (
            Kind::Ip4set,
            &[
                "1",
                "0/0",
                "256.1.1.1",
                "1.2.3.4.5",
                "1.2.3.4.",
                ".1.2.3",
                "x1.2.3.4",
                "1.2.3.4x",
                "1.2.3.4/24",
                "1.2.3.4,1.2.3.5",
                "::1",
                "example.com",
                "-1.2.3.4",
                "1-",
                "-",
                "!",
                "! ",
                "!x",
                ":",
                "::",
                ":x",
                "$",
                "$X",
                "$FOO bar",
                "$SOA",
                "$TTL",
                "$NS",
                "$10 x",
                "=",
                "@",
                "1.2.3.4=5",
                "1.2.3.4 :5 # c",
                "$1",
                "$GRANULARITY 64",
                "$DATASET ip4set @",
                "1.2.3.9-1.2.3.1",
            ][..],
        ),
        (Kind::Ip4trie, &["5", "!11", "8.1.1.1/24", "9.1.1.1-2", "13/", "14/33"]),
        (Kind::Ip4tset, &["1.2.3", "1.2.3.0/24", "!1.2.3.4", "1.2.3.20-25"]),
        (
            Kind::Ip6trie,
            &[
                "2001",
                "1.2.3.4",
                "::ffff:1.2.3.4",
                "2001:db8::/129",
                "2001:db8::1/32",
                "2001:db8:::1",
                ":::9",
                "2001:db8::1::2",
                "1:2:3:4:5:6:7:8:9",
                "2001:db8::1:5:x",
                "::1:2:x",
                "!",
                "!!::1",
                "2001:db8::1-::2",
            ],
        ),
        (
            Kind::Ip6tset,
            &[
                "2001:db8:1:2::",
                "2001:db8:1:2::/64",
                "2001:db8:1:2/64",
                "2001:db8::1",
                "::",
                "!2001:db8:1:2",
                "!2a88:1:0:5::1/128",
                "1:2:3:4:5",
                "!1:2:3:4:5:6:7:8:9",
                "!::1.2.3.4",
            ],
        ),
        (
            Kind::Ip,
            &[
                "5",
                "2001:db8",
                "2001:db8/32",
                "::1-::0",
                "1.2.3.4-1.2",
                "::/129",
                "x",
                "!",
                "::1-",
                "$GRANULARITY 129",
            ],
        ),
        (Kind::Dnset, &["!.", ".", "*.", "a\\", "a\\256", "!", ":x", &"a".repeat(64)]),
        (
            Kind::Generic,
            &[
                "www",
                "@",
                "www TXT",
                "www A 256.1.1.1",
                "www A x",
                "www MX mail",
                "www MX 65536 m",
                "www MX 10",
                "www MX 10 m x",
                "www -1 A 1.2.3.4",
                "www IN 300 A 1.2.3.4",
                "www SOA x",
                ":1:x",
                ". A 1.2.3.4",
                "www X 1",
                "!",
                "www TTL 5",
                "www NS ns1.x",
                "@A 1.2.3.4",
                "www 300A 1.2.3.4",
                "www 99999999999 A 1.2.3.4",
                "www AAAA 1.2.3.4",
                "www SRV 1 1 x",
                "www TYPE65280 x",
                r"www TYPE65280 \# 3 0102",
                r"www TYPE65280 \# 1 0",
                r"www AAAA \# 2 0102",
                "www RRSIG x",
                "www ANY x",
            ],
        ),
        (
            Kind::Acl,
            &["127", "127.0.0.1=pass", "1.2.3.4 :x", "!127.0.0.1", "$SOA 1 a b 1 1 1 1 1", "1.2.3.0-1.2.3.4"],
        ),
    ] {
        for line in lines {
            let (parsed, diagnostics) = read(kind, &[line]);
            assert_eq!((parsed.entries, diagnostics.errors()), (0, 1), "{kind:?}: {line}");
            let found = &diagnostics.kept()[0];
            assert_eq!((found.line, found.severity), (1, Severity::Error));
            assert!((1..=line.len() as u32 + 1).contains(&found.column), "{found}");
        }
    }
}

#[test]
fn places_of_diagnostics() {
    let (_, diagnostics) = read(Kind::Ip4trie, &["1.2.3.4\n  1.2.3.5  :5 text\n", "\n!1.2.3.x # c"]);
    let shown: Vec<String> = diagnostics.kept().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "file0:2:15: error: after `:A` only `:text` may stand (comments are not taken here): text",
            "file1:2:2: error: invalid IPv4 address: 1.2.3.x",
        ]
    );
}

#[test]
fn ip4trie_and_sets_of_single_addresses() {
    check(
        Kind::Ip4trie,
        &[
            "1.1.1.0/25 :2:p25 $\n1.1.1.0/26 :3:p26\n1.1.1.7 :4:p32\n!1.1.1.0/30\n1.1.1.2 :5:back\n0/0 :9:all $\n!8/8\n1.1.1.0/25 :99:dup",
        ],
        0,
        &[
            ("1.1.1.0", "-"),
            ("1.1.1.2", "127.0.0.5 back"),
            ("1.1.1.7", "127.0.0.4 p32"),
            ("1.1.1.64", "127.0.0.2 p25 1.1.1.64"),
            ("8.1.1.1", "-"),
            ("200.0.0.1", "127.0.0.9 all 200.0.0.1"),
        ],
    );
    check(
        Kind::Ip4tset,
        &[
            "1.2.3.4\n:5:first $\n1.2.3.5 :9:ignored\n:6:second\n1.2.3.9:7:x\n001.002.003.030",
            ":8:b\n5.5.5.5",
        ],
        0,
        &[
            ("1.2.3.4", "127.0.0.5 first 1.2.3.4"),
            ("1.2.3.5", "127.0.0.5 first 1.2.3.5"),
            ("1.2.3.9", "127.0.0.5 first 1.2.3.9"),
            ("1.2.3.30", "127.0.0.5 first 1.2.3.30"),
            ("5.5.5.5", "127.0.0.5 first 5.5.5.5"),
            ("1.2.3.6", "-"),
        ],
    );
    check(Kind::Ip4tset, &["1.2.3.4"], 0, &[("1.2.3.4", "127.0.0.2")]);
}

#[test]
fn ip6trie_and_ip6tset() {
    check(
        Kind::Ip6trie,
        &[
            ":6:six\n2400:cb00::/32\n!2400:cb00:1::/48\n2400:cb00:1:1:: :7\n2a00:1:2:3 x\n::/0 :9:all\n2600::/16:8:glued\n!2601::/16",
        ],
        0,
        &[
            ("2400:cb00::1", "127.0.0.6 six"),
            ("2400:cb00:1::1", "-"),
            ("2400:cb00:1:1::", "127.0.0.7 six"),
            ("2400:cb00:1:1::1", "-"),
            ("2a00:1:2:3:ffff::", "127.0.0.6 x"),
            ("2a00:1:2:4::", "127.0.0.9 all"),
            ("2600:1::", "127.0.0.8 glued"),
            ("2601:1::", "-"),
        ],
    );
    check(
        Kind::Ip6tset,
        &[
            "2400:20fe:23:41ed\n:5:six $\n!2400:20fe:23:41ed::1\n! 2400:20fe:23:41ed:0:0:0:2\n!1111:2222:3333:4444::1",
        ],
        0,
        &[
            ("2400:20fe:23:41ed::3", "127.0.0.5 six 2400:20fe:23:41ed::3"),
            ("2400:20fe:23:41ed::1", "-"),
            ("2400:20fe:23:41ed::2", "-"),
            ("1111:2222:3333:4444::1", "-"),
        ],
    );
}

#[test]
fn native() {
    check(
        Kind::Ip,
        &[
            ":4:$\n1.2.3.4\n1.2.4\n5.5.5.5-5.5.5.9 r\n!5.5.5.7\n2400::1:2:3:4 :5\n2400:1::7/128 one\n!2400:2:0:1::5/128\n\
             2400:2::/48\n2400:3::5-2400:3::9 r6\n::ffff:1.2.3.4 m\n$GRANULARITY 56\n2400:4:0:1ff::9\n10.1.1.1:9:x",
            "2400:5:0:1ff::9",
        ],
        0,
        &[
            ("1.2.3.4", "127.0.0.4 1.2.3.4"),
            ("1.2.3.5", "-"),
            ("1.2.4.5", "127.0.0.4 1.2.4.5"),
            ("5.5.5.4", "-"),
            ("5.5.5.5", "127.0.0.4 r"),
            ("5.5.5.7", "-"),
            ("5.5.5.9", "127.0.0.4 r"),
            ("2400::9", "127.0.0.5 2400::9"),
            ("2400:1::7", "127.0.0.4 one"),
            ("2400:1::8", "-"),
            ("2400:2:0:1::5", "-"),
            ("2400:2:0:1::6", "127.0.0.4 2400:2:0:1::6"),
            ("2400:3::4", "-"),
            ("2400:3::5", "127.0.0.4 r6"),
            ("2400:3::9", "127.0.0.4 r6"),
            ("2400:3::a", "-"),
            ("::ffff:102:304", "127.0.0.4 m"),
            ("::1", "-"),
            ("2400:4:0:100::", "127.0.0.4 2400:4:0:100::"),
            ("2400:4:0:200::", "-"),
            ("2400:5:0:1ff::1", "127.0.0.2"),
            ("2400:5:0:1fe::1", "-"),
            ("10.1.1.1", "127.0.0.9 x"),
        ],
    );
}

#[test]
fn host_bits_can_be_cleared() {
    let options = ReadOptions { accept_host_bits: true, ..options() };
    for (kind, text, key) in [
        (Kind::Ip4set, "1.2.3.4/24", "1.2.3.200"),
        (Kind::Ip4trie, "1.2.3.4/24", "1.2.3.200"),
        (Kind::Ip6trie, "2400::1/32", "2400::2"),
        (Kind::Ip, "2400::1/32", "2400::2"),
    ] {
        let (parsed, diagnostics) = read_with(kind, &[text.as_bytes()], &options);
        assert_eq!(answer(&parsed.unwrap(), key), "127.0.0.2");
        assert_eq!(diagnostics.errors(), 0);
    }
}

#[test]
fn names() {
    let (parsed, diagnostics) = read(
        Kind::Dnset,
        &[
            "example.com\n*.Wild.org :3:w\n.both.net\n!.a.both.net\n* :9\n*.*.x\nglued.org#c\nc ; c\na..b. :5:x y",
        ],
    );
    assert_eq!(diagnostics.errors(), 0);
    assert_eq!((parsed.entries, parsed.exceptions), (9, 1));
    let Content::Names(names) = &parsed.content else { panic!() };
    assert_eq!(names.len(), 11);
}

#[test]
fn generic() {
    let (parsed, diagnostics) = read(
        Kind::Generic,
        &[
            "a 0 A 1.2.3\nb a 1.2 junk\nd TXT \"a\" \"b\"\nh 10 IN A 1.1.1.1\nj MX 1 a.b\n$TTL 60\no 1d TXT  x  y\n\
           r TXT \"\"\n@ NS ns.x\nv6 AAAA 2001:db8::1\ns SRV 1 2 3 host.x\nc CAA 0 issue \"le.org\"\nu TYPE65280 \\# 2 01 02\n\
           p PTR p.x.\nk CNAME other\nz A \\# 4 01020304\nn TXT #comment",
        ],
    );
    assert_eq!(diagnostics.errors(), 0, "{:#?}", diagnostics.kept());
    let Content::Generic(records) = &parsed.content else { panic!() };
    let wire = |text: &str| Name::from_text(text.as_bytes()).unwrap().wire().to_vec();
    let expected: Vec<(&str, u16, u32, Vec<u8>)> = vec![
        ("a", 1, 2100, vec![1, 2, 0, 3]),
        ("b", 1, 2100, vec![1, 0, 0, 2]),
        ("d", 16, 2100, b"\x05a\" \"b".to_vec()),
        ("h", 1, 10, vec![1, 1, 1, 1]),
        ("j", 15, 2100, [vec![0, 1], wire("a.b")].concat()),
        ("o", 16, 86_400, b"\x04x  y".to_vec()),
        ("r", 16, 60, vec![0]),
        (".", 2, 60, wire("ns.x")),
        ("v6", 28, 60, u128::from("2001:db8::1".parse::<Ipv6Addr>().unwrap()).to_be_bytes().to_vec()),
        ("s", 33, 60, [vec![0, 1, 0, 2, 0, 3], wire("host.x")].concat()),
        ("c", 257, 60, b"\x00\x05issuele.org".to_vec()),
        ("u", 65280, 60, vec![1, 2]),
        ("p", 12, 60, wire("p.x")),
        ("k", 5, 60, wire("other")),
        ("z", 1, 60, vec![1, 2, 3, 4]),
        ("n", 16, 60, b"\x08#comment".to_vec()),
    ];
    assert_eq!(records.len(), expected.len());
    for (record, (owner, record_type, ttl, rdata)) in records.iter().zip(expected) {
        assert_eq!(
            (record.owner.to_string().as_str(), record.record_type, record.ttl, &record.rdata[..]),
            (owner, record_type, ttl, &rdata[..])
        );
    }
}

#[test]
fn a_cname_is_alone() {
    for (text, entries) in [
        ("a CNAME b\na A 1.2.3.4\nA TXT x", 1),
        ("a A 1.2.3.4\na CNAME b\na TXT x", 2),
        ("@ CNAME x", 0),
        ("a CNAME b\na CNAME c", 1),
    ] {
        assert_eq!(read(Kind::Generic, &[text]).0.entries, entries, "{text}");
    }
}

#[test]
fn long_texts() {
    let long = "x".repeat(600);
    let (list, generic) = (format!("1.2.3.4 {long}"), format!("a TXT \"{long}\""));
    for (dropin, length, rdata) in [(false, 600, 603), (true, 255, 256)] {
        let options = ReadOptions { dropin, ..options() };
        let (parsed, diagnostics) = read_with(Kind::Ip4set, &[list.as_bytes()], &options);
        assert_eq!(parsed.unwrap().values.values()[0].text.as_ref().map(|text| text.len()), Some(length));
        assert_eq!(diagnostics.warnings(), u64::from(dropin));
        let (parsed, _) = read_with(Kind::Generic, &[generic.as_bytes()], &options);
        let Content::Generic(records) = parsed.unwrap().content else { panic!() };
        assert_eq!(records[0].rdata.len(), rdata);
    }
}

#[test]
fn combined() {
    let text = "# common\n$SOA 1w ns1.ex.com admin.ex.com 2024 2h 2h 1w 1h\n$TTL 111\n$1 ONE-global\n\
        $DATASET ip4set:proxy proxies @\n:2:proxy $ $1\n127.0.0.2\n\
        $DATASET ip4set:relay relays.x @   # comment\n$TTL 222\n$1 ONE-local\n$2 TWO\n:3:relay $ $1 $2\n127.0.0.3\n\
        $DATASET ip6trie v6\n:4:$1 $2\n2400::/32\n!2400::/48\n$NS 5 a\n$SOA 1h other other 5 5 5 5 5\n\
        $dataset generic weird..name .lead\n@ A 1.1.1.1\nw 77 A 1.1.1.1\n";
    let (parsed, diagnostics) = read(Kind::Combined, &[text, "$DATASET dnset more\n.a.b"]);
    assert_eq!(diagnostics.errors(), 0);
    assert_eq!((parsed.entries, parsed.exceptions), (7, 1));
    assert_eq!(parsed.specials.soa.as_ref().map(|soa| soa.serial), Some(2024));
    assert_eq!(parsed.specials.name_servers.as_ref().map(|servers| servers.ttl), Some(5));
    let Content::Combined(sections) = &parsed.content else { panic!() };
    let zones = |index: usize| sections[index].sub_zones.iter().map(Name::to_string).collect::<Vec<_>>();
    assert_eq!(zones(0), ["proxies", "."]);
    assert_eq!(zones(1), ["relays.x", "."]);
    assert_eq!(zones(3), ["weird.name", "lead"]);
    assert_eq!(sections[1].title.as_deref(), Some("relay"));
    assert_eq!(answer(&sections[0].parsed, "127.0.0.2"), "127.0.0.2 proxy 127.0.0.2 ONE-global");
    assert_eq!(answer(&sections[1].parsed, "127.0.0.3"), "127.0.0.3 relay 127.0.0.3 ONE-global TWO");
    assert_eq!(answer(&sections[2].parsed, "2400:0:1::"), "127.0.0.4 ONE-global $2");
    let ttls: Vec<_> = sections.iter().map(|section| section.parsed.specials.ttl).collect();
    assert_eq!(ttls, [Some(111), Some(222), Some(111), Some(111), Some(111)]);
    let Content::Generic(records) = &sections[3].parsed.content else { panic!() };
    assert_eq!(records.iter().map(|record| record.ttl).collect::<Vec<_>>(), [111, 77]);

    for bad in ["1.2.3.4", "$DATASET acl @", "$DATASET combined @", "$DATASET nosuch @", "$DATASET"] {
        let (parsed, _) = read_with(Kind::Combined, &[bad.as_bytes()], &options());
        assert!(matches!(parsed, Err(Failure::Line(_))), "{bad}");
    }
    let second = read_with(Kind::Combined, &[b"$DATASET ip4set @\n1.2.3.4", b"1.2.3.4"], &options()).0;
    assert_eq!(
        second.err().map(|failure| failure.to_string()).unwrap_or_default().split(": ").next(),
        Some("file1:1:1")
    );
}

#[test]
fn acl() {
    let (parsed, diagnostics) = read(
        Kind::Acl,
        &[
            "127.0.0.1\n:refuse\n127.0.0.2\n127.0.0.3 :9\n127.0.0.4 :Pass # c\n127.0.0.5 =empty\n0/0 :blackhole\n\
           :5:five $\n2400::/16\n127.0.0.7 :6\n127.0.0.8 own\n127.0.0.1 :pass\n::1 :pass",
        ],
    );
    assert_eq!((diagnostics.errors(), diagnostics.warnings()), (0, 1));
    let always = |last: u8, text: Option<&str>| {
        let text = text.map(|text| text.as_bytes().into());
        AccessAction::Always(crate::value::Value { address: Ipv4Addr::new(127, 0, 0, last), text })
    };
    let Content::Access(rules) = &parsed.content else { panic!() };
    let expected = [
        ("127.0.0.1/32", AccessAction::Ignore),
        ("127.0.0.2/32", AccessAction::Refuse),
        ("127.0.0.3/32", always(9, None)),
        ("127.0.0.4/32", AccessAction::Pass),
        ("127.0.0.5/32", AccessAction::Empty),
        ("0.0.0.0/0", AccessAction::Ignore),
        ("2400::/16", always(5, Some("five $"))),
        ("127.0.0.7/32", always(6, Some("five $"))),
        ("127.0.0.8/32", always(5, Some("own"))),
        ("::1/128", AccessAction::Pass),
    ];
    assert_eq!(rules.len(), expected.len());
    for (rule, (clients, action)) in rules.iter().zip(expected) {
        assert_eq!((rule.clients.to_string(), &rule.action), (clients.into(), &action));
    }
}

#[test]
fn special_lines() {
    let soa = |text: &str| read(Kind::Ip4set, &[text]).0.specials.soa;
    for text in [
        "$SOA 10 n h 1 2 3 4 5",
        "#$soa 10 n. h 1 2 3 4 5",
        " :$SOA\t10 n h 1 2s 3 4 5 ",
        ";$SOA 10 n h 1 2 3 4 5\n$SOA 1 a b 1 1 1 1 1",
    ] {
        let soa = soa(text).unwrap();
        let numbers = [soa.ttl, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum];
        assert_eq!(
            (soa.primary.to_string(), soa.mailbox.to_string(), numbers),
            ("n".into(), "h".into(), [10, 1, 2, 3, 4, 5])
        );
    }
    for text in [
        "# $SOA 10 n h 1 2 3 4 5",
        "$ SOA 10 n h 1 2 3 4 5",
        "$SOA 10 n h 1 2 3 4",
        "$SOA 10 n h 1 2 3 4 5 6",
        "$SOA 10 n h -1 2 3 4 5",
        "$SOA 10 n h 4294967296 2 3 4 5",
    ] {
        assert_eq!(soa(text), None, "{text}");
    }
    assert_eq!(soa("$TTL 99\n$SOA 0 n h 1 2 3 4 5").map(|soa| soa.ttl), Some(99));
    assert_eq!(soa("$SOA 0 n h 1 2 3 4 5\n$TTL 99").map(|soa| soa.ttl), Some(2100));

    let (parsed, diagnostics) =
        read(Kind::Ip4set, &["$NS 1d a -b A c # d\n$NS 2 z\n$TTL 5\n$TTL 1h\n$1 x\n$1 y\n$= b $="]);
    let servers = parsed.specials.name_servers.unwrap();
    assert_eq!(servers.ttl, 86_400);
    assert_eq!(servers.hosts.iter().map(Name::to_string).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(parsed.specials.ttl, Some(3600));
    assert_eq!(parsed.specials.variables.numbered[1].as_deref(), Some(&b"x"[..]));
    assert_eq!(parsed.specials.variables.base.as_deref(), Some(&b"b $="[..]));
    assert_eq!((diagnostics.errors(), diagnostics.warnings()), (0, 4));

    let limited = ReadOptions { min_ttl: 50, max_ttl: 200, default_ttl: 100, ..options() };
    for (text, ttl) in [("$TTL 0", 100), ("$TTL 10", 50), ("$TTL 1h", 200)] {
        assert_eq!(read_with(Kind::Ip4set, &[text.as_bytes()], &limited).0.unwrap().specials.ttl, Some(ttl));
    }
}

#[test]
fn timestamps() {
    for (text, expected) in [
        ("$TIMESTAMP 2023-11-14", Ok(None)),
        ("$TIMESTAMP 2023-11-14 +1d", Ok(Some(1_700_006_400))),
        ("$TIMESTAMP 0 2023-11-14", Ok(Some(1_699_920_000))),
        ("$TIMESTAMP 2023-11-14 -", Ok(None)),
        ("$TIMESTAMP 2023-11-16", Err(())),
    ] {
        let parsed = read_with(Kind::Ip4set, &[text.as_bytes()], &options()).0;
        assert_eq!(parsed.map(|parsed| parsed.specials.expires).map_err(|_| ()), expected, "{text}");
    }
}

#[test]
fn max_range() {
    for (limit, text, entries) in [
        ("$MAXRANGE4 256", "1.2.3.0/24\n1.2.4.0/23", 1),
        ("$MAXRANGE4 /24", "1.2.3.0/24\n1.2.4.0/23", 1),
        ("$MAXRANGE4 255", "1.2.3.0/24", 0),
        ("$MAXRANGE4 /25\n$MAXRANGE4 /8", "1.2.3.0/24", 0),
        ("$MAXRANGE4 0", "1.2.3.0/24", 1),
        ("$MAXRANGE4 /0", "1.2.3.0/24", 1),
        ("$MAXRANGE4 /33", "1.2.3.0/24", 1),
        ("$MAXRANGE4 1", "1.2.3.4\n!1.2.3.0/24", 1),
        ("$MAXRANGE4 10", "1.2.3.4-1.2.3.13\n1.2.3.20-1.2.3.30", 1),
        ("$MAXRANGE6 /32", "2400::/32\n2400::/31\n2400::-2401::", 1),
    ] {
        assert_eq!(read(Kind::Ip, &[limit, text]).0.entries, entries, "{limit}");
    }
    assert_eq!(read(Kind::Ip4set, &["1.2.3.0/24\n$MAXRANGE4 1"]).0.entries, 1);
}

#[test]
fn line_ends_and_odd_octets() {
    for (text, entries, errors, warnings) in [
        (&b"1.1.1.1\r\n1.1.1.2 text\r\n1.1.1.3 :5\r\n1.1.1.4 # c\r\n1.1.1.5"[..], 5, 0, 0),
        (b"\xef\xbb\xbf1.1.1.1\n1.1.1.2", 2, 0, 0),
        (b"1.1.1.1\0junk\n1.1.1.2 te\0xt\n\0\n", 2, 0, 3),
        (b"\n \n\t\n 1.1.1.1 \t\n", 1, 0, 0),
        (b"", 0, 0, 0),
        (b"\xff\xfe1.1.1.1\n", 0, 1, 0),
    ] {
        let (parsed, diagnostics) = read_with(Kind::Ip4set, &[text], &options());
        let parsed = parsed.unwrap();
        assert_eq!(
            (parsed.entries, diagnostics.errors(), diagnostics.warnings()),
            (entries, errors, warnings)
        );
        assert!(parsed.values.values().iter().all(|value| {
            value.text.as_ref().is_none_or(|text| !text.contains(&b'\r') && !text.contains(&0))
        }));
    }
    let dropin = ReadOptions { dropin: true, ..options() };
    let (parsed, diagnostics) = read_with(Kind::Ip4set, &[b"\xef\xbb\xbf1.1.1.1\n1.1.1.2"], &dropin);
    assert_eq!((parsed.unwrap().entries, diagnostics.errors()), (1, 1));
    let long = [b"1.1.1.1 ".to_vec(), vec![b'x'; 40_000], b"\n1.1.1.2".to_vec()].concat();
    let (parsed, diagnostics) = read_with(Kind::Ip4set, &[&long], &options());
    assert_eq!((parsed.unwrap().entries, diagnostics.warnings()), (2, 1));
}

#[test]
fn suspicious_listings() {
    for (kind, line, warnings) in [
        (Kind::Ip, "127.0.0.2", 0),
        (Kind::Ip, "127.0.0.1", 1),
        (Kind::Ip, "10.1.1.1", 1),
        (Kind::Ip, "!10.1.1.1", 0),
        (Kind::Ip, "8.0.0.0/7", 1),
        (Kind::Ip, "10.0.0.0/7", 2),
        (Kind::Ip4set, "10/8", 1),
        (Kind::Ip, "2400::/18", 1),
        (Kind::Ip, "2400::/19", 0),
        (Kind::Ip6trie, "2001:db8::1", 1),
        (Kind::Ip6trie, "2001:db7::/32", 0),
        (Kind::Ip6trie, "2002:1::/32", 1),
        (Kind::Ip6trie, "fe80::1", 1),
        (Kind::Ip6trie, "fd00::/8", 2),
        (Kind::Ip6trie, "64:ff9b::1.2.3.4", 0),
        (Kind::Ip, "64:ff9b::1.2.3.4/128", 2),
        (Kind::Ip, "::ffff:127.0.0.2", 0),
        (Kind::Ip, "2400::1/128", 1),
        (Kind::Ip, "!2400::1/128", 0),
        (Kind::Ip6trie, "2400::1/128", 0),
        (Kind::Ip, "2400::-2400::5", 1),
    ] {
        assert_eq!(read(kind, &[line]).1.warnings(), warnings, "{kind:?} {line}");
    }
}

#[test]
fn ranges_cannot_fill_the_memory() {
    let hostile = "0.0.0.1-254.255.255.254\n".repeat(10_000);
    let (parsed, diagnostics) = read(Kind::Ip4set, &[&hostile]);
    let Content::Addresses(entries) = &parsed.content else { panic!() };
    assert!(diagnostics.errors() > 0);
    assert!(entries.v4.len() < (1 << 22) + 256 * 10_000);
}

#[test]
fn findings_are_counted_and_the_first_kept() {
    let (_, diagnostics) = read(Kind::Ip4set, &[&"x\n".repeat(1000), &"10.0.0.1\n".repeat(500)]);
    assert_eq!((diagnostics.errors(), diagnostics.warnings()), (1000, 500));
    assert_eq!(diagnostics.kept().len(), 2 * Diagnostics::KEPT);
}

const KINDS: [Kind; 10] = [
    Kind::Ip,
    Kind::Ip4set,
    Kind::Ip4tset,
    Kind::Ip4trie,
    Kind::Ip6tset,
    Kind::Ip6trie,
    Kind::Dnset,
    Kind::Generic,
    Kind::Combined,
    Kind::Acl,
];

/// Valid lines of all formats, for mutations.
const LINES: &[&str] = &[
    "1.2.3.4 :5:text $ $1 $=",
    "!1.2.3.0/24",
    "1.2-3",
    "2400:cb00::/32 :127.0.0.3:x",
    "2400::1-2400::ffff",
    "::ffff:1.2.3.4",
    "!2400:cb00:1:2::1",
    ":3:default",
    "*.example.com :2:$",
    ".a\\.b\\065.c",
    "www 1h IN SRV 1 2 3 host.x",
    "c CAA 0 issue \"x\"",
    "h HTTPS 1 . alpn=h2 ipv4hint=1.2.3.4",
    "n NAPTR 1 2 \"u\" \"s\" \"r\" host.x",
    "t TLSA 3 1 1 00ff",
    "f SSHFP 1 1 00ff",
    "u TYPE65280 \\# 2 0102",
    "@ CERT 1 2 3 AAAA",
    "$SOA 1h n h 0 1 2 3 4",
    "$NS 1d a b -c",
    "$TTL 5m",
    "$1 text",
    "$= base $= $",
    "$MAXRANGE4 /24",
    "$MAXRANGE6 65536",
    "$GRANULARITY 56",
    "$TIMESTAMP 2020-01-02-03 +1w",
    "$DATASET ip:title a @ # c",
    "127.0.0.1 :refuse",
    "0/0 =pass",
];

/// Reads a file as every kind, and uses what comes of it.
pub(crate) fn survive(text: &[u8]) {
    for kind in KINDS {
        for dropin in [false, true] {
            let (parsed, diagnostics) = read_with(kind, &[text, text], &ReadOptions { dropin, ..options() });
            for found in diagnostics.kept() {
                assert!(found.to_string().starts_with("file"));
            }
            let Ok(parsed) = parsed else { continue };
            for value in parsed.values.values() {
                let template = Template::compile(value.text.as_deref(), &parsed.specials.variables);
                if let Some(template) = template {
                    template.expand(b"key", &mut Vec::new());
                }
            }
            if let Content::Addresses(entries) = &parsed.content {
                let values = parsed.values.values().len() as u32;
                assert!(entries.v4.iter().all(|entry| entry.state <= values && entry.length <= 32));
                assert!(entries.v6.iter().all(|entry| entry.state <= values && entry.length <= 128));
                assert!(
                    entries
                        .v6
                        .iter()
                        .all(|entry| { entry.first & !crate::address::text::v6_mask(entry.length) == 0 })
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_octets_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
        survive(&text);
    }

    #[test]
    fn no_mutated_line_panics(
        lines in prop::collection::vec(prop::sample::select(LINES), 1..8),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..6),
    ) {
        let mut text = lines.join("\n").into_bytes();
        for (place, octet, how) in mutations {
            let place = place.index(text.len());
            match how {
                0 => text[place] = octet,
                1 => text.insert(place, octet),
                2 if text.len() > 1 => drop(text.remove(place)),
                _ => text[place] = LINES[usize::from(octet) % LINES.len()].as_bytes()[0],
            }
        }
        survive(&text);
    }

    #[test]
    fn prefixes_come_back_as_written(v4: u32, v6: u128, length4 in 0u8..=32, length6 in 0u8..=128, excluded: bool) {
        let mark = if excluded { "!" } else { "" };
        let (v4, v6) = (v4 & crate::address::text::v4_mask(length4), v6 & crate::address::text::v6_mask(length6));
        let text = format!("{mark}{}/{length4}\n{mark}{}/{length6}\n", Ipv4Addr::from(v4), Ipv6Addr::from(v6));
        let (parsed, diagnostics) = read(Kind::Ip, &[&text]);
        prop_assert_eq!(diagnostics.errors(), 0);
        let Content::Addresses(entries) = parsed.content else { panic!() };
        let state = u32::from(!excluded);
        let (a, b) = (entries.v4[0], entries.v6[0]);
        prop_assert_eq!((a.first, a.length, a.state, a.line), (v4, length4, state, 1));
        prop_assert_eq!((b.first, b.length, b.state, b.line), (v6, length6, state, 2));
    }
}
