//! What is wrong in a file: skipped lines, warnings, and their places.

use super::*;
use crate::zone_file::diagnostic::Severity;

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
        (Kind::Ip, "2400:: - 2400::5", 1),
        (Kind::Ip, "1.2.3.4 - 1.2.3.9", 1),
        (Kind::Ip, "1.2.3.4 -text", 0),
    ] {
        assert_eq!(read(kind, &[line]).1.warnings(), warnings, "{kind:?} {line}");
    }
}
