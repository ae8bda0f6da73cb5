//! Special lines.

use super::*;

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
