//! Range records as a zone serves them, against its own ordinary answers: the random zones are
//! those of `tests`.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::tests::{
    NaiveList, Rule, dataset, dataset_of_files, interesting, list, naive_codes, no_tests, zone,
};
use super::*;
use crate::address::{self, Key, MAPPED, SIX_TO_FOUR};
use crate::answer::{Client, Signing, Transport, respond};
use crate::dataset::Dataset;
use crate::range_record::name::{address_text, block_text};
use crate::range_record::walk::{Answer, Listing, Question, Step, Walk};
use crate::range_record::{Prefix, apl, value};
use crate::snapshot::{Settings, Snapshot};
use crate::wire::tests::{OPT, packet};
use crate::zone_file::Kind;

const A: u16 = 1;
const TXT: u16 = 16;

fn with_ranges(options: ZoneOptions, block_bytes: usize) -> ZoneOptions {
    let ranges = RangesOptions { block_bytes, ttl: 300, clients: Vec::new() };
    ZoneOptions { ranges: Some(ranges), ..options }
}

fn served(datasets: Vec<Arc<Dataset>>, options: ZoneOptions) -> Zone {
    zone(datasets, options).with_ranges(None, &mut Diagnostics::default())
}

/// The rdata of the records of a name and type; `None` where the name does not exist.
fn records(zone: &Zone, name: &str, wanted: u16) -> Option<Vec<Box<[u8]>>> {
    let labels: Vec<&[u8]> = name.split('.').map(str::as_bytes).collect();
    match zone.lookup(&labels, &View::Data) {
        Lookup::Found(found) => {
            let sets = found.records(wanted);
            Some(sets.iter().flat_map(|set| &set.rdata).map(|rdata| Box::from(&**rdata)).collect())
        }
        Lookup::NoData => Some(vec![]),
        Lookup::NxDomain => None,
    }
}

/// What an ordinary query is answered: the A records and the texts.
fn ordinary(zone: &Zone, key: Key) -> (BTreeSet<Box<[u8]>>, BTreeSet<Vec<u8>>) {
    let name = address_text(key);
    let texts = records(zone, &name, TXT).unwrap_or_default();
    let texts = texts.iter().map(|rdata| value::strings(rdata).unwrap().concat()).collect();
    (records(zone, &name, A).unwrap_or_default().into_iter().collect(), texts)
}

fn answer(zone: &Zone, question: Question) -> Answer {
    match records(zone, &question.name(), question.record_type()) {
        Some(records) if !records.is_empty() => Answer::Records(records),
        _ => Answer::NoRecords,
    }
}

/// Walks over the records of a zone, and holds what it ends in against the ordinary query.
fn check_walk(zone: &Zone, key: Key) -> Result<(), TestCaseError> {
    let mut walk = Walk::new(key, true);
    let verdict = loop {
        match walk.step() {
            Step::Done(verdict) => break verdict,
            Step::Ask(question) => walk.answer(&answer(zone, question)),
        }
    };
    let (addresses, _) = ordinary(zone, key);
    match verdict.listing {
        Listing::NotListed => prop_assert!(addresses.is_empty(), "{key:?}"),
        Listing::Listed(Some(said)) => {
            let said_addresses = said.addresses.iter().map(|a| Box::from(a.octets())).collect();
            prop_assert_eq!(&addresses, &said_addresses, "{:?}", key);
            let texts: BTreeSet<Vec<u8>> = said.texts.unwrap().into_iter().collect();
            prop_assert_eq!(ordinary(zone, said.text_address).1, texts, "{:?}", key);
        }
        other => prop_assert!(false, "{:?}: {:?}", key, other),
    }
    let may_fall_back = matches!(key, Key::V6(address) if address::mapped(address).is_some());
    prop_assert!(verdict.fallback.is_none() || may_fall_back, "{:?}: {:?}", key, verdict.fallback);
    Ok(())
}

fn key((v6, address): (bool, u128)) -> Key {
    if v6 { Key::V6(address) } else { Key::V4(address as u32) }
}

/// The text of a list, its values said in one of several ways.
fn worded(list: &NaiveList, style: u8) -> String {
    let text = list.text();
    match style {
        0 => text,
        1 => text.replace(" :3:", " :3:three $").replace(" :4:", " :4:$$ $"),
        2 => text.replace(" :3:", " :3:three").replace(" :5:", " :2:see $"),
        3 => format!("$TTL 600\n{text}"),
        _ => format!("$1 $5 each\n$= $1 [$] $=\n{text}"),
    }
}

fn lists() -> impl Strategy<Value = Vec<(NaiveList, u8)>> {
    prop::collection::vec((list(), 0..5_u8), 1..4)
}

fn datasets(lists: &[(NaiveList, u8)]) -> Vec<Arc<Dataset>> {
    lists.iter().map(|(list, style)| dataset(list.kind, &worded(list, *style))).collect()
}

/// The nibble-aligned prefixes around everything that can change in some lists.
fn prefixes(lists: &[(NaiveList, u8)]) -> BTreeSet<Prefix> {
    let plain: Vec<NaiveList> = lists.iter().map(|(list, _)| list.clone()).collect();
    let mapped = |(v6, address): (bool, u128)| if v6 { address } else { MAPPED | address };
    let addresses = interesting(&plain).into_iter().map(mapped);
    addresses
        .flat_map(|address| (0..=128).step_by(4).map(move |length| Prefix::containing(address, length)))
        .collect()
}

/// All blocks at some prefixes.
/// The records of a block, `None` where there is no such block.
type Block = Option<Vec<Box<[u8]>>>;

fn blocks(zone: &Zone, prefixes: &BTreeSet<Prefix>) -> Vec<(Prefix, Block)> {
    let block = |&prefix: &Prefix| {
        let name = block_text(prefix);
        let records = [apl::TYPE, TXT].map(|wanted| records(zone, &name, wanted));
        (prefix, records.into_iter().collect::<Option<Vec<_>>>().map(|records| records.concat()))
    };
    prefixes.iter().map(block).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn walks_end_as_ordinary_queries(
        lists in lists(), limit in 100..800_usize, tests: bool, six_to_four: bool,
    ) {
        let plain = if tests { ZoneOptions::default() } else { no_tests() };
        let zone = served(datasets(&lists), with_ranges(ZoneOptions { six_to_four, ..plain }, limit));
        let plain: Vec<NaiveList> = lists.into_iter().map(|(list, _)| list).collect();
        let test_keys = [(false, 0x7f00_0002), (true, SIX_TO_FOUR | 0x7f00_0002 << 80)];
        for asked in interesting(&plain).into_iter().chain(test_keys) {
            check_walk(&zone, key(asked))?;
        }
    }

    #[test]
    fn a_block_is_there_where_the_map_is_mixed(lists in prop::collection::vec(list(), 1..4)) {
        let styled: Vec<(NaiveList, u8)> = lists.iter().map(|list| (list.clone(), 0)).collect();
        let zone = served(datasets(&styled), with_ranges(no_tests(), 800));
        let codes = |address: u128| match address::mapped(address) {
            Some(v4) => naive_codes(&lists, false, v4.into()),
            None => naive_codes(&lists, true, address),
        };
        let telling: BTreeSet<u128> = interesting(&lists)
            .into_iter()
            .map(|(v6, address)| if v6 { address } else { MAPPED | address })
            .collect();
        for prefix in prefixes(&styled) {
            let first = codes(prefix.first());
            let mixed = telling
                .range(prefix.first()..=prefix.last())
                .copied()
                .chain([prefix.last()])
                .any(|address| codes(address) != first);
            let found = records(&zone, &block_text(prefix), apl::TYPE);
            prop_assert_eq!(found.is_some(), mixed || prefix == Prefix::ROOT, "{}", prefix);
            prop_assert!(found.is_none_or(|records| records.len() == 1));
        }
    }

    #[test]
    fn same_data_same_blocks(lists in lists(), seed in any::<prop::sample::Index>(), limit in 100..800_usize) {
        let lists: Vec<(NaiveList, u8)> = lists.into_iter().map(without_duplicates).collect();
        let options = with_ranges(ZoneOptions::default(), limit);
        let prefixes = prefixes(&lists);
        let first = served(datasets(&lists), options.clone());
        let expected = blocks(&first, &prefixes);

        // In another order, each list in two files and, where it is of both families, as two datasets.
        let mut parts = Vec::new();
        for (list, style) in lists.iter().rev() {
            let mut rules = list.rules.clone();
            let turns = seed.index(rules.len().max(1));
            rules.rotate_left(turns);
            rules.reverse();
            let (v6, v4): (Vec<Rule>, Vec<Rule>) = rules.iter().partition(|rule| rule.v6);
            if list.kind == Kind::Ip && !v4.is_empty() {
                parts.push((NaiveList { kind: Kind::Ip6trie, rules: v6 }, *style));
                parts.push((NaiveList { kind: Kind::Ip4trie, rules: v4 }, *style));
            } else {
                parts.push((NaiveList { kind: list.kind, rules }, *style));
            }
        }
        let in_files = parts.iter().map(|(list, style)| {
            let (front, back) = list.rules.split_at(list.rules.len() / 2);
            let [front, back] = [front, back]
                .map(|rules| NaiveList { kind: list.kind, rules: rules.to_vec() })
                .map(|list| worded(&list, *style));
            dataset_of_files(list.kind, &[&front, &back])
        });
        let other = served(in_files.collect(), options.clone());
        // (The test entry is excluded by any exception, wherever it is.)
        prop_assert_eq!(&blocks(&other, &prefixes), &expected);

        // By way of other data.
        let mut diagnostics = Diagnostics::default();
        let between = zone(datasets(&lists[1..]), options.clone()).with_ranges(Some(&first), &mut diagnostics);
        blocks(&between, &prefixes);
        let again = zone(datasets(&lists), options).with_ranges(Some(&between), &mut diagnostics);
        prop_assert_eq!(&blocks(&again, &prefixes), &expected);
    }

    #[test]
    fn a_change_stays_in_its_prefix(mut lists in lists(), limit in 100..800_usize) {
        let prefixes = prefixes(&lists);
        let options = with_ranges(no_tests(), limit);
        // A base that says the same of all, lest a list without entries be about nothing.
        let before = served(datasets(&lists), options.clone());
        let Some(list) = lists.iter_mut().map(|(list, _)| list).find(|list| list.rules.len() > 1) else {
            return Ok(());
        };
        let gone = list.rules.pop().unwrap();
        prop_assume!(list.kind != Kind::Ip || list.rules.iter().any(|rule| !rule.v6) || gone.v6);
        let places = match gone.v6 {
            true => vec![Prefix::containing(gone.first, gone.length)],
            false => vec![
                Prefix::containing(MAPPED | gone.first, 96 + gone.length),
                Prefix::containing(SIX_TO_FOUR | gone.first << 80, 16 + gone.length),
            ],
        };
        let after = served(datasets(&lists), options);
        for (before, after) in blocks(&before, &prefixes).into_iter().zip(blocks(&after, &prefixes)) {
            if !places.iter().any(|place| place.covers(before.0) || before.0.covers(*place)) {
                prop_assert_eq!(before, after);
            }
        }
    }
}

/// Of rules for one prefix the first: else their order would matter.
fn without_duplicates((list, style): (NaiveList, u8)) -> (NaiveList, u8) {
    let mut seen = BTreeSet::new();
    let rules = list.rules.into_iter().filter(|rule| seen.insert((rule.v6, rule.first, rule.length)));
    (NaiveList { rules: rules.collect(), ..list }, style)
}

fn shown(zone: &Zone, name: &str) -> Option<String> {
    let records = records(zone, name, apl::TYPE)?;
    Some(records.iter().map(|rdata| apl::text(&apl::read(rdata).unwrap())).collect())
}

#[test]
fn names_and_types() {
    let text = "2001:db8::/32 :2:see $\n!2001:db8:8000::/33\n";
    let zone = served(vec![dataset(Kind::Ip6trie, text)], with_ranges(no_tests(), 800));
    assert_eq!(shown(&zone, "_ranges").unwrap(), "2:2001:db8::/33");
    assert_eq!(shown(&zone, "8.B.d.0.1.0.0.2._RANGES").unwrap(), "2:2001:db8::/33");
    let texts = records(&zone, "_ranges", TXT).unwrap();
    assert_eq!(texts, [Box::from(&b"\x01*\x09127.0.0.2\x05see $"[..])]);
    assert_eq!(records(&zone, "0.0.2._ranges", A), Some(vec![]));
    for name in ["0.8.b.d.0.1.0.0.2._ranges", "3._ranges", "x._ranges", "_ranges._ranges", "_range"] {
        assert_eq!(records(&zone, name, apl::TYPE), None, "{name}");
    }
    assert!(matches!(zone.lookup(&[b"_ranges"], &View::WithoutRanges), Lookup::NxDomain));
}

/// Every value of an IPv4 listing meets that of 2002::/16, and nothing is stored for each.
#[test]
fn many_values_meet_one() {
    let values = 2_000u32;
    let listing = |number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        format!("10.{high}.{low}.0/24 :127.1.{high}.{low}:number {number}\n")
    };
    let v4 = dataset(Kind::Ip4trie, &(0..values).map(listing).collect::<String>());
    let six_to_four = "2002::/16 :127.0.0.9:\n2002:a07:d000::/44 :127.0.0.10:$\n";
    let zone = served(vec![v4, dataset(Kind::Ip6trie, six_to_four)], with_ranges(no_tests(), 800));
    let ranges = zone.ranges().unwrap();
    assert!(ranges.map().bytes() < values as usize, "{} octets", ranges.map().bytes());
    for number in (0..values).step_by(7) {
        let embedded = u128::from(10u32 << 24 | number << 8 | 77);
        for key in [Key::V6(SIX_TO_FOUR | embedded << 80), Key::V4(embedded as u32)] {
            check_walk(&zone, key).unwrap();
        }
    }
}

#[test]
fn domain_lists_and_ranges_do_not_meet() {
    let names = dataset(Kind::Dnset, "_ranges\n.8._ranges\nbad.example\n");
    let alone = served(vec![names.clone()], with_ranges(ZoneOptions::default(), 800));
    assert!(!alone.has_ranges());
    assert_eq!(records(&alone, "_ranges", A).unwrap().len(), 1);
    let both = served(vec![names, dataset(Kind::Ip6trie, "2001:db8::/32\n")], with_ranges(no_tests(), 800));
    assert_eq!(records(&both, "_ranges", A), Some(vec![]));
    assert_eq!(records(&both, "8._ranges", A), None);
    assert_eq!(records(&both, "bad.example", A).unwrap().len(), 1);
}

#[test]
fn sub_zones_have_their_own() {
    let combined = dataset(Kind::Combined, "$DATASET ip6trie x @ a.b\n2001:db8::/32\n");
    let plain = dataset(Kind::Ip4trie, "192.0.2.0/24\n");
    let zone = served(vec![combined, plain], with_ranges(no_tests(), 800));
    assert_eq!(shown(&zone, "_ranges").unwrap(), "1:192.0.2.0/24 2:2001:db8::/32 2:2002:c000:200::/40");
    assert_eq!(shown(&zone, "_ranges.A.b").unwrap(), "2:2001:db8::/32");
    assert_eq!(shown(&zone, "_ranges.b"), None);
}

#[test]
fn the_test_entry_is_in_the_map() {
    let options = with_ranges(ZoneOptions::default(), 800);
    let zone = served(vec![dataset(Kind::Ip6trie, "2001:db8::/32 :3:\n")], options);
    assert_eq!(shown(&zone, "_ranges").unwrap(), "1:127.0.0.2/32 2:2001:db8::/32");
    check_walk(&zone, Key::V4(0x7f00_0002)).unwrap();
    check_walk(&zone, Key::V4(0x7f00_0001)).unwrap();
}

#[test]
fn who_has_no_range_records() {
    let data = || dataset(Kind::Ip6trie, "2001:db8::/32\n");
    let options = with_ranges(no_tests(), 800);
    let mut diagnostics = Diagnostics::default();
    for (access, errors) in [("192.0.2.0/24 :refuse\n", 0), ("192.0.2.0/24 :empty\n", 1)] {
        let zone = zone(vec![data(), dataset(Kind::Acl, access)], options.clone());
        let zone = zone.with_ranges(None, &mut diagnostics);
        assert_eq!((diagnostics.errors(), zone.has_ranges()), (errors, errors == 0), "{access}");
    }
    let long = format!("{0}.{0}.{0}", "a".repeat(62));
    let zone = Zone::new(
        Name::from_text(long.as_bytes()).unwrap(),
        vec![data()],
        0,
        Status::Serving,
        options.clone(),
        &mut diagnostics,
    );
    let warnings = diagnostics.warnings();
    assert!(!zone.with_ranges(None, &mut diagnostics).has_ranges());
    assert_eq!(diagnostics.warnings(), warnings + 1);

    let clients = vec!["192.0.2.0/24".parse().unwrap()];
    let ranges = RangesOptions { clients, ..options.ranges.unwrap() };
    let zone = served(vec![data()], ZoneOptions { ranges: Some(ranges), ..no_tests() });
    assert!(zone.shows_ranges("192.0.2.7".parse().unwrap()));
    assert!(!zone.shows_ranges("198.51.100.7".parse().unwrap()));
}

#[test]
fn the_access_list_of_the_server() {
    let zone =
        || Arc::new(served(vec![dataset(Kind::Ip6trie, "2001:db8::/32\n")], with_ranges(no_tests(), 800)));
    for (access, shown) in [("192.0.2.0/24 :refuse\n", true), ("192.0.2.0/24 :4:listed\n", false)] {
        let snapshot = Snapshot::new(vec![zone()], Settings::default(), Some(dataset(Kind::Acl, access)));
        let view = snapshot.view(&snapshot.zones()[0], "198.51.100.7".parse().unwrap());
        assert_eq!(matches!(view, View::Data), shown, "{access}");
        assert_eq!(snapshot.without_ranges().count(), usize::from(!shown), "{access}");
    }
}

#[test]
fn unchanged_data_keep_their_blocks() {
    let data = dataset(Kind::Ip6trie, "2001:db8::/32\n");
    let options = with_ranges(no_tests(), 800);
    let first = served(vec![data.clone()], options.clone());
    let mut diagnostics = Diagnostics::default();
    let next = |data: &Arc<Dataset>, options: &ZoneOptions, diagnostics: &mut Diagnostics| {
        zone(vec![data.clone()], options.clone()).with_ranges(Some(&first), diagnostics)
    };
    let kept = |zone: &Zone| Arc::ptr_eq(zone.ranges().unwrap(), first.ranges().unwrap());
    assert!(kept(&next(&data, &options, &mut diagnostics)));
    assert!(!kept(&next(&dataset(Kind::Ip6trie, "2001:db8::/32\n"), &options, &mut diagnostics)));
    assert!(!kept(&next(&data, &with_ranges(no_tests(), 900), &mut diagnostics)));
}

/// A zone with more blocks than stay for good, and the name of one that does not.
fn with_a_cold_block() -> (Zone, String) {
    let text: String = (0..5000u128)
        .map(|n| {
            let network = (0x2001_0000 + (n % 50) * 0x111) << 96 | n.wrapping_mul(0x9e37_79b9) << 64;
            format!("{}/64\n", std::net::Ipv6Addr::from(network))
        })
        .collect();
    let zone = served(vec![dataset(Kind::Ip6trie, &text)], with_ranges(no_tests(), 672));
    let ranges = zone.ranges().unwrap();
    let cold = (0..50u128)
        .map(|n| Prefix::containing((0x2001_0000 + n * 0x111) << 96, 36))
        .find(|&prefix| ranges.has_block(prefix) && ranges.made(prefix).is_none())
        .expect("a block that is not at the top");
    (zone, block_text(cold))
}

#[test]
fn blocks_are_made_when_they_are_needed() {
    let (zone, name) = with_a_cold_block();
    let labels: Vec<&[u8]> = name.split('.').map(str::as_bytes).collect();
    let found = || match zone.lookup(&labels, &View::Data) {
        Lookup::Found(found) => found,
        other => panic!("{other:?}"),
    };
    assert!(found().prepare(A, |_| panic!("no block is needed")));
    assert!(!found().prepare(apl::TYPE, |octets| {
        assert_eq!(octets, 672);
        false
    }));
    let mut now = found();
    assert!(now.prepare(apl::TYPE, |_| true));
    assert_eq!(now.records(apl::TYPE).len(), 1);
    assert!(found().prepare(apl::TYPE, |_| panic!("it is made already")));
}

#[test]
fn range_records_count_as_memory() {
    let (zone, name) = with_a_cold_block();
    let data: usize = zone.datasets().iter().map(|dataset| dataset.summary.bytes).sum();
    let cold = zone.memory();
    assert!(cold > data, "{cold}");
    assert!(records(&zone, &name, apl::TYPE).is_some_and(|blocks| blocks.len() == 1));
    assert!(zone.memory() > cold);
}

#[test]
fn replies_with_blocks() {
    let (zone, cold) = with_a_cold_block();
    let snapshot = Snapshot::new(vec![Arc::new(zone)], Settings::default(), None);
    let asked = |name: &str, transport| {
        let name = Name::from_text(format!("{name}.bl.example").as_bytes()).unwrap();
        let packet = packet(0, [1, 0, 0, 1], &[name.wire(), b"\0\x2a\0\x01", OPT]);
        let mut reply = Vec::new();
        let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), transport };
        let outcome = respond(&snapshot, &packet, client, Signing::default(), &mut reply);
        (outcome.rcode, outcome.truncated, outcome.answers)
    };
    while snapshot.allowance.take(1, true) {}
    assert_eq!(asked("_ranges", Transport::Udp), (0, false, 1), "the top costs nothing");
    assert_eq!(asked("f._ranges", Transport::Udp), (3, false, 0));
    assert_eq!(asked(&cold, Transport::Udp), (0, true, 0));
    assert_eq!(asked(&cold, Transport::Tcp), (2, false, 0));
    snapshot.allowance.fill(std::time::Duration::from_secs(1));
    assert_eq!(asked(&cold, Transport::Udp), (0, false, 1));
}
