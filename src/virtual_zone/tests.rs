//! The virtual zone, read as RFC 4592 says, against the zone that it was made of.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::address::{MAPPED, SIX_TO_FOUR};
use crate::name::push_key_label;
use crate::zone::Delegation;
use crate::zone::EmptyNonTerminals::{Marker, Plain};
use crate::zone::tests::{NaiveList, dataset, interesting, labels, list, no_tests, zone};
use crate::zone::{Lookup, RangesOptions, Status, View, ZoneOptions};
use crate::zone_file::Kind;

/// The records of a name in a form that compares: type, TTL, rdata.
pub(crate) type Records = BTreeSet<(u16, u32, Vec<u8>)>;

/// A standard zone, answered as RFC 1034 and 4592 say.
#[derive(Debug, Default)]
pub(crate) struct StandardZone {
    /// By canonical key.
    pub(crate) owners: std::collections::BTreeMap<Vec<u8>, Records>,
}

impl StandardZone {
    /// The records of a name, given by its canonical key.
    pub(crate) fn answer(&self, key: &[u8]) -> Records {
        let exists = |key: &[u8]| {
            self.owners.range(key.to_vec()..).next().is_some_and(|(owner, _)| owner.starts_with(key))
        };
        let own = |key: &[u8]| self.owners.get(key).cloned().unwrap_or_default();
        if exists(key) {
            return own(key);
        }
        let ends = (0..key.len()).rev().filter(|&end| end == 0 || key[end - 1] == 0);
        let encloser = ends.map(|end| &key[..end]).find(|key| exists(key)).unwrap_or_default();
        own(&[encloser, b"*\0"].concat())
    }
}

pub(crate) fn comparable(records: &RecordSets<'_>) -> Records {
    let of_set = |set: &crate::zone::RecordSet<'_>| {
        let (record_type, ttl) = (set.record_type, set.ttl);
        set.rdata.iter().map(move |rdata| (record_type, ttl, rdata.to_vec())).collect::<Vec<_>>()
    };
    let records = records.iter().flat_map(of_set);
    records.filter(|(record_type, ..)| *record_type != MARKER_TYPE).collect()
}

fn standard(zone: &Zone) -> StandardZone {
    let mut standard = StandardZone::default();
    let mut last: Option<Vec<u8>> = None;
    for name in VirtualZone::new(zone, Plain).names() {
        assert!(last.as_ref().is_none_or(|last| *last < name.key), "{last:?} before {:?}", name.key);
        last = Some(name.key.clone());
        standard.owners.insert(name.key, comparable(&name.records));
    }
    standard
}

pub(crate) fn key(labels: &[String]) -> Vec<u8> {
    let mut key = Vec::new();
    for label in labels.iter().rev() {
        push_key_label(&mut key, label.as_bytes());
    }
    key
}

/// What the zone itself says of a name.
pub(crate) fn expected(zone: &Zone, labels: &[String]) -> Records {
    let labels: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
    match zone.lookup(&labels, &View::Data) {
        Lookup::Found(found) => comparable(&found.records(255)),
        Lookup::NoData | Lookup::NxDomain => Records::new(),
    }
}

/// Complete keys at and round all borders of the lists.
pub(crate) fn complete_keys(lists: &[NaiveList]) -> Vec<Vec<String>> {
    let mut keys: BTreeSet<(bool, u128)> = interesting(lists).into_iter().collect();
    for &(v6, address) in &keys.clone() {
        if !v6 {
            continue;
        }
        // A neighbour at some of the names above.
        for nibble in [0, 15, 22, 23, 24, 27, 28, 31] {
            keys.insert((true, address ^ 1 << (4 * nibble)));
        }
        // Four nibbles that are octets as well.
        let digits = [12, 8, 4, 0].map(|shift| (address >> (112 + shift)) as u32 & 15);
        keys.insert((false, digits.iter().fold(0, |v4, digit| v4 << 8 | u128::from(*digit))));
    }
    for &(v6, address) in &keys.clone() {
        let octets = (address as u32).to_be_bytes();
        if !v6 && octets.iter().all(|&octet| octet < 10) {
            let nibbles = octets.iter().fold(0, |v6, octet| v6 << 4 | u128::from(*octet)) << 112;
            keys.extend([(true, nibbles), (true, nibbles | 0xf << 108), (true, nibbles ^ 0xa << 112)]);
        }
        if !v6 {
            keys.insert((true, MAPPED | address));
            keys.insert((true, SIX_TO_FOUR | address << 80));
        }
    }
    keys.into_iter().map(|(v6, address)| labels(v6, address, if v6 { 128 } else { 32 })).collect()
}

/// Lists without the widest prefixes, which have names by the ten thousand.
pub(crate) fn narrow_list() -> impl Strategy<Value = NaiveList> {
    list().prop_map(|mut list| {
        for rule in &mut list.rules {
            rule.length = if rule.v6 { rule.length.max(12) } else { rule.length.max(7) };
        }
        list
    })
}

/// Any keys that look as if they belonged to the zone: names of it with a label more, less, or changed.
fn strange_keys(names: &[VirtualName<'_>]) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let more: [&[u8]; 11] = [b"*", b"!", b"0", b"7", b"10", b"a", b"f", b"x", b"_ranges", b"00", &[0]];
    for name in names.iter().step_by((names.len() / 12).max(1)) {
        for end in (0..=name.key.len()).filter(|&end| end == 0 || name.key[end - 1] == 0) {
            let above = name.key[..end].to_vec();
            for label in more {
                let mut key = above.clone();
                push_key_label(&mut key, label);
                keys.insert([&key[..], b"0\0"].concat());
                keys.insert(key);
            }
            keys.insert(above);
        }
    }
    keys
}

/// What [`VirtualZone::find`] must give, in a zone that is written out.
fn matched<'z>(names: &[VirtualName<'z>], key: &[u8]) -> Match<'z> {
    const NS: u16 = 2;
    let is_cut = |name: &&VirtualName<'z>| {
        !name.key.is_empty() && name.records.iter().any(|set| set.record_type == NS)
    };
    let mut cuts = names.iter().filter(is_cut);
    if let Some(cut) = cuts.find(|cut| cut.key.len() < key.len() && key.starts_with(&cut.key)) {
        return Match::Delegated { cut: cut.key.clone(), records: cut.records.clone() };
    }
    let from = |key: &[u8]| names.partition_point(|name| *name.key < *key);
    let exists = |key: &[u8]| names.get(from(key)).is_some_and(|name| name.key.starts_with(key));
    let records =
        |key: &[u8]| names.get(from(key)).filter(|name| name.key == key).map(|name| name.records.clone());
    if exists(key) {
        return Match::Name { records: records(key).unwrap_or_default() };
    }
    let ends = (0..key.len()).rev().filter(|&end| end == 0 || key[end - 1] == 0);
    let encloser = ends.map(|end| &key[..end]).find(|key| exists(key)).unwrap_or_default().to_vec();
    match records(&[&encloser[..], b"*\0"].concat()) {
        Some(records) => Match::Wildcard { encloser, records },
        None => Match::Nothing { encloser },
    }
}

/// Holds single names and their neighbours against the list of all names.
fn check_neighbours(zone: &Zone) -> Result<(), TestCaseError> {
    for empty_non_terminals in [Plain, Marker] {
        let virtual_zone = VirtualZone::new(zone, empty_non_terminals);
        let names: Vec<_> = virtual_zone.names().collect();
        let keys = strange_keys(&names);
        let step = (keys.len() / 80).max(1);
        for key in keys.into_iter().step_by(step) {
            prop_assert_eq!(virtual_zone.find(&key), matched(&names, &key), "{}", key.escape_ascii());
            let at = names.partition_point(|name| name.key <= key) - 1;
            let gap = virtual_zone.gap(&key);
            prop_assert_eq!(&gap.owner, &names[at].key, "{}", key.escape_ascii());
            prop_assert_eq!(&gap.records, &names[at].records);
            let next = names.get(at + 1).map(|name| name.key.clone()).unwrap_or_default();
            prop_assert_eq!(gap.next, next, "{}", key.escape_ascii());
        }
    }
    Ok(())
}

fn check(zone: &Zone, names: impl IntoIterator<Item = Vec<String>>) -> Result<(), TestCaseError> {
    let standard = standard(zone);
    for name in names {
        prop_assert_eq!(standard.answer(&key(&name)), expected(zone, &name), "{}", name.join("."));
    }
    check_neighbours(zone)
}

/// A domain list: names over few labels, so that they meet.
pub(crate) fn domains(top: &'static str) -> impl Strategy<Value = String> {
    let line = ("!?", "[*]?[.]?", prop::collection::vec("[ab1]", 0..4), top, 2_u8..5);
    let line = line.prop_map(|(exception, form, labels, top, code)| {
        let name: Vec<&str> = labels.iter().map(String::as_str).chain([&*top]).collect();
        let form = if form == "*" { "" } else { &form };
        let value = if exception.is_empty() { format!(" :{code}:{}", "$ is bad") } else { String::new() };
        format!("{exception}{form}{}{value}\n", name.join("."))
    });
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

/// All names over the labels of [`domains`].
pub(crate) fn domain_names(tops: &[&str]) -> Vec<Vec<String>> {
    let mut names: Vec<Vec<String>> = tops.iter().map(|&top| vec![top.into()]).collect();
    let mut begin = 0;
    for _ in 0..4 {
        let end = names.len();
        for index in begin..end {
            for label in ["a", "b", "1", "x"] {
                let mut name = vec![label.to_string()];
                name.extend_from_slice(&names[index]);
                names.push(name);
            }
        }
        begin = end;
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn addresses(lists in prop::collection::vec(narrow_list(), 1..4), tests: bool) {
        let options = if tests { ZoneOptions::default() } else { no_tests() };
        let zone = zone(lists.iter().map(|list| dataset(list.kind, &list.text())).collect(), options);
        check(&zone, complete_keys(&lists))?;
    }

    #[test]
    fn domain_lists(texts in prop::collection::vec(domains("[ab]"), 1..4)) {
        let zone = zone(texts.iter().map(|text| dataset(Kind::Dnset, text)).collect(), ZoneOptions::default());
        check(&zone, domain_names(&["a", "b", "1", "x", "test"]))?;
    }

    #[test]
    fn all_together(list in narrow_list(), names in domains("com|org"), sub in narrow_list(), sub_names in domains("com")) {
        let generic = "@ MX 10 mx.example\nwww 60 A 192.0.2.1\na.com AAAA ::1\n1.2.3.4 TXT here\n";
        let combined = format!(
            "$DATASET {kind} one two.one\n{}$DATASET dnset one\n{sub_names}$DATASET generic one.com @\nb A 192.0.2.2\n",
            sub.text(),
            kind = serde_json::to_value(sub.kind).unwrap().as_str().unwrap(),
        );
        let zone = zone(
            vec![
                dataset(list.kind, &list.text()),
                dataset(Kind::Dnset, &names),
                dataset(Kind::Generic, generic),
                dataset(Kind::Combined, &combined),
            ],
            ZoneOptions::default(),
        );
        let under = |mut name: Vec<String>, above: &[&str]| {
            name.extend(above.iter().map(|label| label.to_string()));
            name
        };
        let mut asked = complete_keys(std::slice::from_ref(&list));
        asked.extend(domain_names(&["com", "org", "www"]));
        asked.extend(complete_keys(std::slice::from_ref(&sub)).into_iter().map(|key| under(key, &["one"])));
        asked.extend(domain_names(&["com"]).into_iter().map(|name| under(name, &["one"])));
        asked.extend(complete_keys(&[sub]).into_iter().map(|key| under(key, &["two", "one"])));
        asked.extend([["x", "one"].map(String::from).to_vec(), vec!["one".into()], vec!["b".into()]]);
        check(&zone, asked)?;
    }

    /// Where other zones begin, nothing else has a meaning.
    #[test]
    fn zone_cuts(list in narrow_list(), names in domains("com|org"), cuts in prop::collection::btree_set("com|a[.]org|[1-4]|f|one|[a-b][.]two", 1..4)) {
        let combined = "$DATASET dnset one two a.a.org\n*.a\nb\n$DATASET ip two\n192.0.2.0/25\n";
        let texts = [(list.kind, &*list.text()), (Kind::Dnset, &names), (Kind::Combined, combined)];
        let delegation = |name: &String| Delegation {
            name: Name::from_text(name.as_bytes()).unwrap(),
            name_servers: vec![Name::from_text(b"ns.example").unwrap()],
            signers: if name.len() > 1 { vec![[0; 36].into()] } else { Vec::new() },
        };
        let ranges = RangesOptions { block_bytes: 800, ttl: 60, clients: Vec::new() };
        let delegations = cuts.iter().map(delegation).collect();
        let options = ZoneOptions { delegations, ranges: Some(ranges), ..ZoneOptions::default() };
        let datasets = || texts.map(|(kind, text)| dataset(kind, text)).into();
        let (uncut, zone) = (zone(datasets(), ZoneOptions::default()), zone(datasets(), options));
        let hides = |cut: &&String| {
            let cut = Name::from_text(cut.as_bytes()).unwrap().key();
            let of_data = VirtualZone::new(&uncut, Plain);
            let is_answered = |key: &[u8]| matches!(of_data.find(key), Match::Wildcard { .. });
            let below = [&cut[..], b"x\0"].concat();
            is_answered(&cut) || is_answered(&below) || of_data.names().any(|name| name.key.starts_with(&cut))
        };
        let mut hiding: Vec<_> = cuts.iter().filter(hides).map(|cut| Name::from_text(cut.as_bytes()).unwrap().key()).collect();
        hiding.sort();
        prop_assert_eq!(VirtualZone::cuts_in_data(&zone).map(|cut| cut.key()).collect::<Vec<_>>(), hiding);
        let zone = zone.with_ranges(None, &mut Default::default());
        let below = VirtualZone::new(&zone, Plain);
        for cut in &cuts {
            let cut = Name::from_text(cut.as_bytes()).unwrap().key();
            let mut below = below.names().filter(|name| name.key.starts_with(&cut));
            let types: Vec<_> = below.next().unwrap().records.iter().map(|set| set.record_type).collect();
            prop_assert_eq!(types, if cut.len() > 2 { vec![2, 43] } else { vec![2] });
            prop_assert!(below.next().is_none());
        }
        check_neighbours(&zone)?;
    }
}

#[test]
fn the_widest_prefixes() {
    let text = "2000::/3 :2:\n!2000::/5\n2001:db8::/32 :3:\n0/0 :2:\n!1.2/15\n1.2.3.4 :4:\n";
    let zone = zone(vec![dataset(Kind::Ip, text)], no_tests());
    let standard = standard(&zone);
    for v6 in [
        "::",
        "2000::",
        "2001:db7:ffff::",
        "2001:db8::",
        "2102:304::",
        "3234::",
        "2900::",
        "1234::",
        "2002:102:304::",
        "ffff::",
    ] {
        let address: std::net::Ipv6Addr = v6.parse().unwrap();
        let name = labels(true, address.to_bits(), 128);
        assert_eq!(standard.answer(&key(&name)), expected(&zone, &name), "{v6}");
    }
    for v4 in [0x0102_0304, 0x0102_0305, 0x0104_0304, 0x0200_0001, 0x0200_000b, 0x0102_ffff, 0xffff_ffff, 0] {
        let name = labels(false, v4, 32);
        assert_eq!(standard.answer(&key(&name)), expected(&zone, &name), "{v4:x}");
    }
}

/// The reachable blocks, and at `_ranges` nothing but them.
#[test]
fn range_records_stand_under_their_label() {
    let addresses: String =
        (0..400_u32).map(|n| format!("2001:db8:{:x}:{n:x}::/64 :{}:$\n", n * 97 % 4096, 2 + n % 3)).collect();
    let names = "*.one\n.com\n_ranges\n";
    let combined = "$DATASET ip one com\n192.0.2.0/25 :7:\n$DATASET dnset one\n*.x\n_ranges\n";
    let texts = [(Kind::Ip, &*addresses), (Kind::Dnset, names), (Kind::Combined, combined)];
    let ranges = RangesOptions { block_bytes: 800, ttl: 60, clients: Vec::new() };
    let options = ZoneOptions { ranges: Some(ranges), ..ZoneOptions::default() };
    let zone = zone(texts.map(|(kind, text)| dataset(kind, text)).into(), options);
    let zone = zone.with_ranges(None, &mut Default::default());
    check_neighbours(&zone).unwrap();
    let standard = standard(&zone);
    let is_range = |key: &Vec<u8>| labels_of(key).iter().any(|label| label == b"_ranges");
    let owners: Vec<_> = standard.owners.keys().filter(|key| is_range(key)).collect();
    assert!(owners.len() > 6, "{}", owners.len());
    for owner in owners {
        let labels: Vec<String> =
            labels_of(owner).into_iter().map(|label| String::from_utf8(label).unwrap()).collect();
        assert_eq!(standard.answer(owner), expected(&zone, &labels), "{labels:?}");
    }
    for name in
        ["_ranges", "x._ranges", "_ranges.one", "x._ranges.one", "_ranges.com", "x.com", "x._ranges.x.one"]
    {
        let name: Vec<String> = name.split('.').map(String::from).collect();
        assert_eq!(standard.answer(&key(&name)), expected(&zone, &name), "{name:?}");
    }
}

fn owners(kind: Kind, text: &str) -> Vec<String> {
    owners_with(Plain, kind, text)
}

fn owners_with(empty_non_terminals: EmptyNonTerminals, kind: Kind, text: &str) -> Vec<String> {
    let zone = zone(vec![dataset(kind, text)], no_tests());
    let names = VirtualZone::new(&zone, empty_non_terminals).names();
    names
        .map(|name| {
            let labels = name.labels();
            let text: Vec<_> = labels.iter().map(|label| String::from_utf8_lossy(label)).collect();
            let marker = if name.records[0].record_type == MARKER_TYPE { "!" } else { "" };
            format!("{marker}{}", text.join("."))
        })
        .skip(1) // the apex
        .collect()
}

#[test]
fn the_names_of_prefixes() {
    assert_eq!(owners(Kind::Ip6trie, "2001:db8::/32\n"), ["*.8.b.d.0.1.0.0.2"]);
    assert_eq!(owners(Kind::Ip6trie, "2001:db8::/33\n").len(), 8);
    // The /32's own wildcard, one for each of the 23 names down to the exception, and the exception.
    let names = owners(Kind::Ip6trie, "2001:db8::/32\n!2001:db8::1/128\n");
    assert_eq!(names.len(), 25);
    assert_eq!(names.iter().filter(|name| name.starts_with('!')).count(), 1);
    assert_eq!(owners(Kind::Ip6trie, "3000::/12\n").len(), 16, "*.0.0.3 would answer 7.0.0.3");
    assert_eq!(owners(Kind::Ip6trie, "2000::/3\n").len(), 8192);
    // In 6to4 and IPv4-mapped form, too.
    assert_eq!(
        owners(Kind::Ip4trie, "192.0.2.0/24\n"),
        [
            "*.2.0.0.0.0.c.f.f.f.f".to_string() + &".0".repeat(20),
            "*.2.0.192".into(),
            "*.2.0.0.0.0.c.2.0.0.2".into()
        ]
    );
}

#[test]
fn empty_non_terminals_may_have_markers() {
    assert_eq!(owners_with(Marker, Kind::Dnset, "b.a\n"), ["!a", "b.a"]);
    assert_eq!(owners_with(Marker, Kind::Dnset, "*.b.a\n"), ["!a", "!b.a", "*.b.a"]);
    let names = owners_with(Marker, Kind::Ip6trie, "2001:db8::/32\n");
    assert_eq!(names.len(), 9);
    assert_eq!(names.iter().filter(|name| name.starts_with('!')).count(), 8);
}

/// The names of `text` that belong to IPv4.
fn owners_v4(text: &str) -> Vec<String> {
    let mut names = owners(Kind::Ip4trie, text);
    names.retain(|name| name.split('.').count() <= 5);
    names
}

#[test]
fn octets_that_are_nibbles() {
    // 2.0.0.0/8: 16 existing nibbles below each wildcard `*.2`, `*.x.2` and `*.y.x.2`.
    assert_eq!(owners_v4("2.0.0.0/8\n").len(), 1 + 6 + 10 * (1 + 6 + 10 * (1 + 6 + 10)));
    assert_eq!(owners_v4("1.2.3.0/24\n").len(), 1 + 6 + 10);
    assert_eq!(owners_v4("1.2.30.0/24\n"), ["*.30.2.1"]);
    assert_eq!(owners_v4("1.2.3.0/30\n"), ["0.3.2.1", "1.3.2.1", "2.3.2.1", "3.3.2.1"]);
}

#[test]
fn decimal_labels_sort_as_text() {
    let names = owners_v4("192.0.2.1\n192.0.2.2\n192.0.2.10\n192.0.2.100\n192.0.2.9\n");
    assert_eq!(names, ["1", "10", "100", "2", "9"].map(|octet| format!("{octet}.2.0.192")));
}

#[test]
fn texts_show_the_block() {
    let zone = zone(
        vec![dataset(Kind::Ip, "192.0.2.0/24 see $\n2001:db8::/36 see $\n2001:db8:ffff::1/128 at $\n")],
        no_tests(),
    );
    let mut texts: Vec<String> = VirtualZone::new(&zone, Plain)
        .names()
        .flat_map(|name| name.records.into_iter())
        .filter(|set| set.record_type == 16)
        .map(|set| String::from_utf8_lossy(&set.rdata[0][1..]).into_owned())
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            "at 2001:db8:ffff::1",
            "see 192.0.2.0/24",
            "see 192.0.2.0/24",
            "see 192.0.2.0/24",
            "see 2001:db8::/36"
        ]
    );
}

#[test]
fn a_literal_asterisk_is_refused() {
    for (kind, text) in
        [(Kind::Dnset, "*.*.x\n"), (Kind::Dnset, "*\n"), (Kind::Generic, "a.*.x A 192.0.2.1\n")]
    {
        let zone = zone(vec![dataset(kind, text)], no_tests());
        let refused = VirtualZone::check(&zone).unwrap_err();
        assert!(refused.to_string().contains('*'), "{refused}");
    }
    let zone = zone(vec![dataset(Kind::Dnset, "a*.x\n*.x\n")], no_tests());
    assert!(VirtualZone::check(&zone).is_ok());
}

#[test]
fn an_alias_is_alone() {
    for (names, records, refused) in [
        (".two\n", "www.two CNAME x.example.\n", Some("www.two")),
        ("two\n", "www.two CNAME x.example.\n", None),
        ("two\n", "two CNAME x.example.\n", Some("two")),
        ("one\n", "a CNAME x.example.\n|a CNAME y.example.\n", Some("a")),
        ("one\n", "a CNAME x.example.\nb.a CNAME y.example.\n", None),
    ] {
        let records = records.split('|').map(|text| dataset(Kind::Generic, text));
        let zone = zone(records.chain([dataset(Kind::Dnset, names)]).collect(), no_tests());
        let expected =
            refused.map(|name| Unwritable::CnameAndOther(Name::from_text(name.as_bytes()).unwrap()));
        assert_eq!(VirtualZone::check(&zone).err(), expected, "{names}");
    }
}

#[test]
fn a_cut_hides_what_a_wildcard_says() {
    let hiding = |kind: Kind, text: &str, cut: &str| {
        let name = Name::from_text(cut.as_bytes()).unwrap();
        let name_servers = vec![Name::from_text(b"ns.example").unwrap()];
        let delegations = vec![Delegation { name, name_servers, signers: Vec::new() }];
        let zone = zone(vec![dataset(kind, text)], ZoneOptions { delegations, ..no_tests() });
        VirtualZone::cuts_in_data(&zone).count() > 0
    };
    for (text, cut, expected) in [
        ("10.0.0.0/8\n", "5.6.10", true),
        ("10.0.0.0/8\n!10.6.0.0/16\n", "5.6.10", false),
        ("10.0.0.0/8\n", "5.6.11", false),
        ("10.0.0.0/8\n", "x.6.10", false),
        ("10.6.5.4\n", "5.6.10", true),
    ] {
        assert_eq!(hiding(Kind::Ip4trie, text, cut), expected, "{text}{cut}");
    }
    assert!(hiding(Kind::Dnset, ".two\n", "a.two") && !hiding(Kind::Dnset, "two\n", "a.two"));
}

#[test]
fn names_that_nobody_can_ask_for_are_left_out() {
    let apex = Name::from_text(["a".repeat(60).as_str(); 4].join(".").as_bytes()).unwrap();
    let datasets = vec![dataset(Kind::Dnset, "short\nalittlelonger\n"), dataset(Kind::Ip, "2001:db8::/32\n")];
    let zone = Zone::new(apex, datasets, 0, Status::Serving, no_tests(), &mut Default::default());
    let mut names = VirtualZone::new(&zone, Plain).names();
    let kept: Vec<_> = names.by_ref().map(|name| name.labels()).collect();
    assert!(kept.contains(&vec![b"short".to_vec()]));
    assert!(!kept.contains(&vec![b"alittlelonger".to_vec()]));
    assert!(names.too_long() > 0);
}
