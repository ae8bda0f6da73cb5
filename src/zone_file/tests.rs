//! Tests of whole files in each format: what they say of keys, by naive lookups. The answers are rbldnsd's, but for the faults that docs/rbldnsd-differences.md
//! lists.

mod faults;
mod hostile;
mod specials;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::diagnostic::Diagnostics;
use super::*;
use crate::config::ReadConfig;
use crate::name::Name;
use crate::prefix_table::{State, UNLISTED};
use crate::value::Template;

fn options() -> ReadOptions {
    ReadConfig::default().options(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
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
