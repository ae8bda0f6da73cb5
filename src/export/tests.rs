//! Exports, read again by small interpreters of each format, against the zone itself.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::name::Name;
use crate::virtual_zone::tests::{
    Records, StandardZone, complete_keys, domain_names, domains, expected, key, narrow_list,
};
use crate::zone::EmptyNonTerminals;
use crate::zone::tests::{dataset, labels, zone};
use crate::zone::{Lookup, View, ZoneOptions};
use crate::zone_file::Kind;

const PLAIN: zone_file::Form<'_> = zone_file::Form::Plain(EmptyNonTerminals::Plain);

fn written<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The address of a complete key, and what the zone says of it.
fn addresses(zone: &Zone, names: Vec<Vec<String>>) -> Vec<(IpAddr, Records)> {
    let address = |name: &[String]| -> IpAddr {
        let text: Vec<&str> = name.iter().rev().map(String::as_str).collect();
        match text.len() {
            4 => text.join(".").parse().unwrap(),
            _ => text.chunks(4).map(|group| group.concat()).collect::<Vec<_>>().join(":").parse().unwrap(),
        }
    };
    names.into_iter().map(|name| (address(&name), expected(zone, &name))).collect()
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// True for what the formats for clients leave out.
fn is_left_out(address: IpAddr) -> bool {
    address.is_loopback() || is_mapped(address)
}

/// The text of the first TXT record among some.
fn first_text(zone: &Zone, address: IpAddr) -> Option<String> {
    let name = match address {
        IpAddr::V4(v4) => labels(false, v4.to_bits().into(), 32),
        IpAddr::V6(v6) => labels(true, v6.to_bits(), 128),
    };
    let name: Vec<&[u8]> = name.iter().map(|label| label.as_bytes()).collect();
    let Lookup::Found(found) = zone.lookup(&name, &View::Data) else { return None };
    let text = found.records(16);
    Some(text.first().map_or(String::new(), |set| String::from_utf8(set.rdata[0][1..].to_vec()).unwrap()))
}

/// A zone file of our own making, read line by line.
fn read_zone_file(text: &str) -> StandardZone {
    let mut standard = StandardZone::default();
    for line in text.lines().filter(|line| !line.starts_with('$')) {
        let mut fields = line.splitn(5, ' ');
        let mut field = || fields.next().unwrap();
        let (owner, ttl, class, kind, data) = (field(), field(), field(), field(), field());
        assert_eq!(class, "IN");
        let owner = if owner == "@" { Name::root() } else { Name::from_text(owner.as_bytes()).unwrap() };
        let record = match kind {
            "A" => (1, data.parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec()),
            "TXT" => {
                let text = data.trim_matches('"');
                (16, [&[text.len() as u8], text.as_bytes()].concat())
            }
            // What makes a name exist; the records themselves are held against real servers.
            _ => (0, Vec::new()),
        };
        let owners = standard.owners.entry(owner.key()).or_default();
        owners.insert((record.0, ttl.parse().unwrap(), record.1));
    }
    standard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn zone_files(lists in prop::collection::vec(narrow_list(), 1..3), names in domains("com|org")) {
        let mut datasets: Vec<_> = lists.iter().map(|list| dataset(list.kind, &list.text())).collect();
        datasets.push(dataset(Kind::Dnset, &names));
        let zone = zone(datasets, ZoneOptions::default());
        let text = written(|out| zone_file::write(&zone, PLAIN, out, &mut Diagnostics::default()));
        let standard = read_zone_file(&text);
        for name in complete_keys(&lists).into_iter().chain(domain_names(&["com", "org"])) {
            let mut answer = standard.answer(&key(&name));
            answer.retain(|(record_type, ..)| *record_type > 0);
            prop_assert_eq!(answer, expected(&zone, &name), "{:?}", name);
        }
    }

    #[test]
    fn rbldnsd_files_say_the_same_when_read_again(
        lists in prop::collection::vec(narrow_list(), 1..4),
        names in domains("com|org"),
        sub in narrow_list(),
    ) {
        let combined = format!(
            "$0 x\n$DATASET {kind} one two.one\n$= base $0 $= for $\n{}$DATASET generic @ one\nb A 192.0.2.2\n",
            sub.text(),
            kind = serde_json::to_value(sub.kind).unwrap().as_str().unwrap(),
        );
        let specials = "$SOA 7 ns.example host.example 8 9 10 11 12\n$NS 13 a.example b.example\n$TTL 14\n";
        let mut datasets: Vec<_> = lists.iter().map(|list| dataset(list.kind, &list.text())).collect();
        datasets.push(dataset(Kind::Dnset, &format!("{specials}{names}")));
        datasets.push(dataset(Kind::Combined, &combined));
        let before = zone(datasets, ZoneOptions::default());
        let files = rbldnsd::data_files(&before, &mut Diagnostics::default());
        let texts: Vec<_> = files.iter().map(|file| (file.kind, written(|out| file.write(out)))).collect();
        let after = zone(texts.iter().map(|(kind, text)| dataset(*kind, text)).collect(), ZoneOptions::default());
        let mut asked = complete_keys(&lists);
        asked.extend(domain_names(&["com", "org", "b"]));
        for key in complete_keys(&[sub]) {
            asked.push(key.iter().cloned().chain(["one".into()]).collect());
            asked.push(key.iter().cloned().chain(["two".into(), "one".into()]).collect());
        }
        asked.push(Vec::new());
        for name in asked {
            prop_assert_eq!(expected(&after, &name), expected(&before, &name), "{:?} {:?}", name, texts);
        }
    }

    #[test]
    fn nft_sets(lists in prop::collection::vec(narrow_list(), 1..3)) {
        let zone = zone(lists.iter().map(|list| dataset(list.kind, &list.text())).collect(), ZoneOptions::default());
        let text = written(|out| nft::write(&zone, out, &mut Diagnostics::default()));
        let elements = text.lines().filter_map(|line| line.strip_prefix("add element "));
        let intervals: Vec<(IpAddr, IpAddr)> = elements
            .flat_map(|line| line.split_once('{').unwrap().1.trim_end_matches('}').split(','))
            .map(|element| {
                let (first, last) = element.split_once('-').unwrap_or((element, element));
                (first.trim().parse().unwrap(), last.trim().parse().unwrap())
            })
            .collect();
        prop_assert!(intervals.is_sorted_by(|(_, end), (begin, _)| end < begin), "{text}");
        for (address, records) in addresses(&zone, complete_keys(&lists)) {
            let inside = intervals.iter().any(|(first, last)| {
                first.is_ipv4() == address.is_ipv4() && (*first..=*last).contains(&address)
            });
            prop_assert_eq!(inside, !records.is_empty() && !is_left_out(address), "{}", address);
        }
    }

    #[test]
    fn postfix_tables(lists in prop::collection::vec(narrow_list(), 1..3)) {
        let texts = lists.iter().map(|list| (list.kind, format!(":2:code\n{}", list.text().replace(" :3:\n", " third\n"))));
        let zone = zone(texts.map(|(kind, text)| dataset(kind, &text)).collect(), ZoneOptions::default());
        let text = written(|out| postfix_cidr::write(&zone, out, &mut Diagnostics::default()));
        let lines: Vec<(IpNet, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(' ').filter(|(pattern, _)| *pattern != "#"))
            .map(|(pattern, action)| (pattern.parse().unwrap(), action))
            .collect();
        for (address, _) in addresses(&zone, complete_keys(&lists)) {
            let action = lines.iter().find(|(pattern, _)| pattern.contains(&address)).map(|(_, action)| *action);
            let text = first_text(&zone, address).filter(|_| !is_left_out(address));
            let expected = text.map(|text| format!("REJECT {text}").trim_end().to_string());
            let listed = action.filter(|action| *action != "DUNNO").map(String::from);
            prop_assert_eq!(listed, expected, "{}: {:?}", address, action);
        }
    }

    #[test]
    fn response_policy_zones(lists in prop::collection::vec(narrow_list(), 1..3)) {
        let zone = zone(lists.iter().map(|list| dataset(list.kind, &list.text())).collect(), ZoneOptions::default());
        let text = written(|out| rpz::write(&zone, out, &mut Diagnostics::default()));
        let triggers: Vec<(IpNet, bool)> = text
            .lines()
            .filter_map(|line| line.split_once(".rpz-client-ip CNAME "))
            .map(|(trigger, action)| {
                let (length, rest) = trigger.split_once('.').unwrap();
                let mut parts: Vec<&str> = rest.split('.').rev().collect();
                if let Some(place) = parts.iter().position(|part| *part == "zz") {
                    let zeros = vec!["0"; 9 - parts.len()];
                    parts.splice(place..=place, zeros);
                }
                let address = if parts.len() == 4 { parts.join(".") } else { parts.join(":") };
                (format!("{address}/{length}").parse().unwrap(), action == "rpz-drop.")
            })
            .collect();
        for (address, records) in addresses(&zone, complete_keys(&lists)) {
            let matching = triggers.iter().filter(|(prefix, _)| prefix.contains(&address));
            let longest = matching.max_by_key(|(prefix, _)| prefix.prefix_len());
            let dropped = longest.is_some_and(|(_, drop)| *drop);
            let expected = !records.is_empty() && !is_left_out(address);
            prop_assert!(is_mapped(address) || dropped == expected, "{address}");
        }
    }
}

/// What an author would write comes out again.
#[test]
fn prefixes_are_few() {
    let text = "2001:db8::/32 :127.0.0.2:a $ b\n!2001:db8:1::/48\n2001:db8:1:2::/64 :127.0.0.3:$$5\n\
                !2001:db8:ffff::1/128\n2001:db9::/33 :127.0.0.2:=x\n";
    let zone = zone(vec![dataset(Kind::Ip6trie, text)], ZoneOptions::default());
    let files = rbldnsd::data_files(&zone, &mut Diagnostics::default());
    assert_eq!(written(|out| files[0].write(out)), format!("$TTL 2100\n{}", text.replace(":=x", ":x")));
    let table = written(|out| postfix_cidr::write(&zone, out, &mut Diagnostics::default()));
    assert_eq!(
        table.lines().skip(1).collect::<Vec<_>>(),
        [
            "2001:db8:1:2::/64 REJECT $5",
            "2001:db8:1::/48 DUNNO",
            "2001:db8:ffff::1/128 DUNNO",
            "2001:db8::/32 REJECT a 2001:db8::/32 b",
            "2001:db9::/33 REJECT x",
        ]
    );
}

#[test]
fn nft_text() {
    let zone =
        zone(vec![dataset(Kind::Ip, "192.0.2.0/24\n!192.0.2.7\n2001:db8::1/128\n")], Default::default());
    let text = written(|out| nft::write(&zone, out, &mut Diagnostics::default()));
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines[..2],
        [
            "add table inet nibbl_bl_example",
            "add set inet nibbl_bl_example listed4 { type ipv4_addr; flags interval; }"
        ]
    );
    assert_eq!(
        lines[3],
        "add element inet nibbl_bl_example listed4 { 192.0.2.0-192.0.2.6, 192.0.2.8-192.0.2.255 }"
    );
    assert!(
        lines[6].starts_with("add element inet nibbl_bl_example listed6 { 2001:db8::1, 2002:c000:200::-"),
        "{}",
        lines[6]
    );
}

/// Whatever a list says of them: filters would drop what their own machine sends.
#[test]
fn loopback_addresses_are_not_for_filters() {
    let written_of = |kind, text: &str| {
        let head = "$SOA 7 ns.example host.example 8 9 10 11 12\n";
        let zone = zone(vec![dataset(kind, &format!("{head}{text}"))], Default::default());
        let mut diagnostics = Diagnostics::default();
        let nft = written(|out| nft::write(&zone, out, &mut diagnostics));
        let said: Vec<String> = diagnostics.kept().iter().map(ToString::to_string).collect();
        let diagnostics = &mut Diagnostics::default();
        let cidr = written(|out| postfix_cidr::write(&zone, out, diagnostics));
        let policy = written(|out| rpz::write(&zone, out, diagnostics));
        let plain = written(|out| zone_file::write(&zone, PLAIN, out, diagnostics));
        let data = written(|out| rbldnsd::data_files(&zone, &mut Diagnostics::default())[0].write(out));
        (nft, cidr, policy, plain + &data, said.concat())
    };
    let (nft, cidr, policy, dns, said) = written_of(Kind::Ip4trie, "192.0.2.1 :2:\n");
    assert!(nft.contains("listed4 { 192.0.2.1 }") && !nft.contains("127.0.0.2"), "{nft}");
    assert!(cidr.contains("\n192.0.2.1/32 REJECT\n") && !cidr.contains("127.0.0.2"), "{cidr}");
    assert!(policy.contains("32.1.2.0.192.rpz") && !policy.contains(".127"), "{policy}");
    assert!(dns.contains("2.0.0.127 "), "who asks a list expects its test entry: {dns}");
    assert_eq!(said, "", "every list has its test entry");
    let (.., said) = written_of(Kind::Ip4trie, "127.0.0.0/31 :2:\n");
    assert_eq!(said, "warning: zone bl.example: 127.0.0.0/8 left out: nft would shut out the machine itself");
    let (nft, cidr, _, dns, said) = written_of(Kind::Ip, "0.0.0.0/0\n::/0\n");
    assert!(nft.contains("listed4 { 0.0.0.0-126.255.255.255, 128.0.0.0-255.255.255.255 }"), "{nft}");
    assert!(nft.contains("listed6 { ::, ::2-::fffe:ffff:ffff, ::1:0:0:0-ffff:"), "{nft}");
    assert!(cidr.contains("127.0.0.0/8 DUNNO\n0.0.0.0/0 REJECT\n"), "{cidr}");
    assert!(
        cidr.contains("::1/128 DUNNO\n::ffff:0:0/96 DUNNO\n") && cidr.ends_with("::/0 REJECT\n"),
        "{cidr}"
    );
    assert!(dns.contains("0.0.0.0/0 ") && !dns.contains('!'), "{dns}");
    assert!(said.contains(": 127.0.0.0/8 left out") && said.contains(": ::1 left out"), "{said}");
    let (.., said) = written_of(Kind::Ip4trie, "192.0.2.1 :2:\n!127.0.0.0/8\n");
    assert_eq!(said, "", "nothing is left out");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let cname = ["a CNAME b.example\n", "a A 192.0.2.1\n"].map(|text| dataset(Kind::Generic, text));
    let cname = zone(cname.into(), Default::default());
    let refused = zone_file::write(&cname, PLAIN, &mut Vec::new(), &mut Diagnostics::default());
    assert!(matches!(refused, Err(ExportError::Unwritable(Unwritable::CnameAndOther(_)))));
    let dropin = ZoneOptions { dropin: true, ..Default::default() };
    let bare = zone(vec![dataset(Kind::Ip, "192.0.2.1\n")], dropin);
    let refused = zone_file::write(&bare, PLAIN, &mut Vec::new(), &mut Diagnostics::default());
    assert!(matches!(refused, Err(ExportError::NoSoa(_))));
    let text = zone(vec![dataset(Kind::Ip, "$= $=$=\n192.0.2.1 :2:\n")], Default::default());
    let files = rbldnsd::data_files(&text, &mut Diagnostics::default());
    assert!(matches!(files[0].write(&mut Vec::new()), Err(ExportError::Text(_))));
    let mut diagnostics = Diagnostics::default();
    let names = zone(vec![dataset(Kind::Dnset, "bad.example\n")], Default::default());
    nft::write(&names, &mut Vec::new(), &mut diagnostics).unwrap();
    assert_eq!(diagnostics.warnings(), 1);
}

#[test]
fn records_as_text() {
    for (record_type, rdata, text) in [
        (16, &b"\x03a\"\\\x02\x00z"[..], r#""a\"\\" "\000z""#),
        (15, b"\x00\x0a\x04ma(l\x00", r"10 ma\(l."),
        (2, b"\x00", "."),
        (17, b"\x00\x00", ". ."),
        (
            6,
            b"\x01a\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05",
            "a. . 1 2 3 4 5",
        ),
        (257, b"\x00\x05issue;", r"\# 8 000569737375653b"),
        (1, b"\x01", r"\# 1 01"),
    ] {
        assert_eq!(record_text::rdata_text(record_type, rdata), text);
    }
}

#[test]
fn names_and_texts_survive_their_special_octets() {
    let text = "\\#a.\\032b.example :2:=$0\n\\!x :2:=a $$ $ b\n.\\:y\n!*.z.\\:y\n";
    let before = zone(vec![dataset(Kind::Dnset, text)], ZoneOptions::default());
    let files = rbldnsd::data_files(&before, &mut Diagnostics::default());
    let again = written(|out| files[0].write(out));
    let after = zone(vec![dataset(Kind::Dnset, &again)], ZoneOptions::default());
    for name in
        [&["#a", " b", "example"][..], &["!x"], &[":y"], &["q", ":y"], &["q", "z", ":y"], &["z", ":y"]]
    {
        let name: Vec<String> = name.iter().map(|label| label.to_string()).collect();
        assert_eq!(expected(&after, &name), expected(&before, &name), "{name:?} {again}");
    }
}

#[test]
fn policy_zones_have_no_trigger_that_resolvers_misread() {
    let v4 = dataset(Kind::Ip4trie, "0.0.0.0/0 :2:all\n!192.0.2.0/24\n");
    let v6 = dataset(Kind::Ip6trie, "$SOA 7 ns.example host.example 8 9 10 11 12\n::/0 :2:all\n");
    let zone = zone(vec![v4, v6], ZoneOptions::default());
    let text = written(|out| rpz::write(&zone, out, &mut Diagnostics::default()));
    let triggers: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(".rpz-client-ip ")).map(|(t, _)| t).collect();
    assert_eq!(
        triggers,
        ["1.0.0.0.0", "8.0.0.0.127", "1.0.0.0.128", "24.0.2.0.192", "1.zz", "128.1.zz", "1.zz.8000"],
        "{text}"
    );
}

/// Items that no TXT record names have their values at their canonical addresses, wherever the blocks are.
#[test]
fn range_records_come_with_all_values() {
    let head = "$NS 1d ns.bl.example ns.example.net\n";
    let one = dataset(
        Kind::Ip4trie,
        &format!("{head}192.0.2.0/24 :2:one\n!192.0.2.0/26\n10.0.0.0/8 :4:ten\n9.0.0.0/8 :2:two\n"),
    );
    let two = dataset(Kind::Ip4trie, "192.0.2.0/24 :2:two\n10.0.0.0/8 :4:other\n9.0.0.0/8 :2:three\n");
    let six = dataset(Kind::Ip6trie, "2001:db8::/32 :2:first\n");
    let more = dataset(Kind::Ip6trie, "2001:db8::/32 :2:second\n2001:db8:0:1::/64 :3:alone\n");
    let hosts = dataset(Kind::Generic, "ns A 192.0.2.53\nns AAAA 2001:db8::53\nwww A 192.0.2.80\n");
    let soa = dataset(Kind::Ip4trie, "$SOA 7 ns.example host.example 8 9 10 11 12\n");
    let ranges = crate::zone::RangesOptions { block_bytes: 704, ttl: 60, clients: Vec::new() };
    let options = ZoneOptions { ranges: Some(ranges), six_to_four: false, ..crate::zone::tests::no_tests() };
    let datasets = vec![one, two, six, more, hosts, soa];
    let zone = zone(datasets, options).with_ranges(None, &mut Diagnostics::default());
    let text = written(|out| zone_file::write_ranges(&zone, out, &mut Diagnostics::default()));
    let ordinary = text.lines().filter(|line| !line.starts_with(['$', '@', '_']));
    let mut names: Vec<(String, Vec<&str>)> = Vec::new();
    for fields in ordinary.map(|line| line.split(' ').collect::<Vec<_>>()) {
        match names.last_mut().filter(|(owner, _)| owner == fields[0]) {
            Some((_, types)) => types.push(fields[3]),
            None => names.push((fields[0].into(), vec![fields[3]])),
        }
    }
    let key = |address: &str| match address.parse().unwrap() {
        IpAddr::V4(v4) => labels(false, v4.to_bits().into(), 32).join("."),
        IpAddr::V6(v6) => labels(true, v6.to_bits(), 128).join("."),
    };
    // In canonical order, "10" before "192" before "2".
    let texts = vec!["A", "TXT", "TXT"];
    let expected = [
        (key("10.0.0.0"), texts.clone()),
        (key("192.0.2.64"), texts.clone()),
        (key("2001:db8::"), texts.clone()),
        (key("2001:db8:0:1::"), vec!["A", "A", "TXT", "TXT"]),
        (key("9.0.0.0"), texts),
        ("ns".into(), vec!["A", "AAAA"]),
    ];
    assert_eq!(names, expected, "{text}");
}
