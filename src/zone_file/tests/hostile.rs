//! Any octets at all: nothing panics, and nothing fills the memory.

use proptest::prelude::*;

use super::super::parts::Division;
use super::*;

#[test]
fn ranges_cannot_fill_the_memory() {
    let hostile = "0.0.0.1-254.255.255.254\n".repeat(3_000);
    let (parsed, diagnostics) = read(Kind::Ip4set, &[&hostile]);
    let Content::Addresses(entries) = &parsed.content else { panic!() };
    assert!(diagnostics.errors() > 0);
    assert!(entries.v4.len() < (1 << 22) + 256 * 3_000);
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
fn survive(text: &[u8]) {
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
    #![proptest_config(ProptestConfig::with_cases(64))]

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

/// What came of a file read in this way, as text: all of it is to be compared.
fn outcome(kind: Kind, text: &[u8], dropin: bool, division: Division) -> (String, String) {
    let options = ReadOptions { dropin, ..options() };
    let mut parser = Parser::new(kind, &options).divided(division);
    for (file, text) in [&b"$2 of the first file\n"[..], text, text].into_iter().enumerate() {
        let path = format!("file{file}");
        if let Err(failure) = parser.file(Path::new(&path), SystemTime::UNIX_EPOCH, &mut &text[..]) {
            return (failure.to_string(), format!("{:#?}", parser.finish().1));
        }
    }
    let (parsed, diagnostics) = parser.finish();
    (format!("{parsed:#?}"), format!("{diagnostics:#?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn side_by_side_is_as_line_by_line(
        lines in prop::collection::vec(
            prop_oneof![
                8 => prop::sample::select(&LINES[..10]).prop_map(|line| line.as_bytes().to_vec()),
                2 => prop::sample::select(LINES).prop_map(|line| line.as_bytes().to_vec()),
                1 => prop::collection::vec(any::<u8>(), 0..40),
                4 => any::<u8>().prop_map(|n| format!("10.{n}.0.0/{} :{n}:text {n}", n % 33).into_bytes()),
                4 => any::<u8>().prop_map(|n| format!("24{n:02x}::/{} :{n}:text {n}", n % 129).into_bytes()),
                4 => any::<u8>().prop_map(|n| format!(" n{n}.x").into_bytes()),
            ],
            0..120,
        ),
        block in 1usize..400,
        head in 0usize..3,
        threads in 2usize..4,
        dropin: bool,
    ) {
        let text = lines.join(&b'\n');
        for kind in KINDS {
            let alone = outcome(kind, &text, dropin, Division { block, head, threads: Some(1) });
            prop_assert_eq!(&alone, &outcome(kind, &text, dropin, Division::default()));
            prop_assert_eq!(alone, outcome(kind, &text, dropin, Division { block, head, threads: Some(threads) }));
        }
    }
}

#[test]
fn ranges_are_cut_side_by_side_as_line_by_line() {
    // Too many in a block to be read apart, and in the end too many for a dataset.
    let wide = "0.0.0.1-254.255.255.254\n".repeat(3_000);
    let division = |threads| Division { block: 5_000, head: 1, threads: Some(threads) };
    let outcome = |threads| {
        let mut parser = Parser::new(Kind::Ip4set, &options()).divided(division(threads));
        parser.file(Path::new("file"), SystemTime::UNIX_EPOCH, &mut wide.as_bytes()).unwrap();
        let (parsed, diagnostics) = parser.finish();
        let Content::Addresses(entries) = parsed.content else { panic!() };
        (entries.v4.len(), parsed.entries, diagnostics.errors())
    };
    assert_eq!(outcome(1), outcome(2));
}
