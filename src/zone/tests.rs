//! Zones against naive oracles: every dataset is a plain list of rules that is searched from end to
//! end, every zone the union of what its datasets say, and a name exists exactly if some
//! interesting address below it is listed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::address;
use crate::config::ReadConfig;
use crate::prefix_table::Address;
use crate::zone_file::{Kind, Parser, ReadOptions};

/// One line of a list: a prefix, and the last octet of its A record, or an exception.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) v6: bool,
    pub(crate) first: u128,
    pub(crate) length: u8,
    code: Option<u8>,
}

impl Rule {
    fn covers(&self, v6: bool, address: u128) -> bool {
        let shift = self.bits() - u32::from(self.length);
        self.v6 == v6 && (shift == 128 || address >> shift == self.first >> shift)
    }

    fn bits(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn last(&self) -> u128 {
        if self.v6 {
            self.first.last_of(self.length)
        } else {
            (self.first as u32).last_of(self.length).into()
        }
    }
}

/// A dataset as a plain list.
#[derive(Clone, Debug)]
pub(crate) struct NaiveList {
    pub(crate) kind: Kind,
    pub(crate) rules: Vec<Rule>,
}

impl NaiveList {
    /// The codes of an address.
    fn codes(&self, v6: bool, address: u128) -> BTreeSet<u8> {
        let covering = self.rules.iter().filter(|rule| rule.covers(v6, address));
        if self.kind != Kind::Ip4set {
            let longest = covering.rev().max_by_key(|rule| rule.length);
            return longest.and_then(|rule| rule.code).into_iter().collect();
        }
        // The finest octet level that has any block for the address; an exception there wins.
        let level = |rule: &Rule| rule.length.max(1).div_ceil(8);
        let covering: Vec<&Rule> = covering.collect();
        let finest = covering.iter().map(|rule| level(rule)).max();
        let there = covering.iter().filter(|rule| Some(level(rule)) == finest);
        let codes: Option<BTreeSet<u8>> = there.map(|rule| rule.code).collect();
        codes.unwrap_or_default()
    }

    fn about_v4(&self) -> bool {
        match self.kind {
            Kind::Ip => self.rules.iter().any(|rule| !rule.v6),
            kind => kind != Kind::Ip6trie,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let exception = if rule.code.is_none() { "!" } else { "" };
            let address: IpAddr = match rule.v6 {
                true => Ipv6Addr::from(rule.first).into(),
                false => Ipv4Addr::from(rule.first as u32).into(),
            };
            write!(text, "{exception}{}/{}", plain(address), rule.length).unwrap();
            if let Some(code) = rule.code {
                write!(text, " :{code}:").unwrap();
            }
            text.push('\n');
        }
        text
    }
}

/// The address without a dotted tail, which rbldnsd's formats do not know.
fn plain(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

fn read_options() -> ReadOptions {
    ReadConfig::default().options(SystemTime::UNIX_EPOCH)
}

pub(crate) fn dataset(kind: Kind, text: &str) -> Arc<Dataset> {
    dataset_of_files(kind, &[text])
}

pub(crate) fn dataset_of_files(kind: Kind, texts: &[&str]) -> Arc<Dataset> {
    let path = Path::new("data");
    let mut parser = Parser::new(kind, &read_options());
    for text in texts {
        parser.file(path, SystemTime::UNIX_EPOCH, &mut text.as_bytes()).unwrap();
    }
    let (parsed, mut diagnostics) = parser.finish();
    assert_eq!(diagnostics.errors(), 0, "{:?}", diagnostics.kept());
    let paths: Vec<_> = texts.iter().map(|_| Arc::new(path.into())).collect();
    Arc::new(Dataset::compile(parsed, &paths, 2100, &mut diagnostics).unwrap())
}

pub(crate) fn zone(datasets: Vec<Arc<Dataset>>, options: ZoneOptions) -> Zone {
    Zone::new(
        Name::from_text(b"bl.example").unwrap(),
        datasets,
        0,
        Status::Serving,
        options,
        &mut Diagnostics::default(),
    )
}

pub(crate) fn no_tests() -> ZoneOptions {
    ZoneOptions { test_value: None, ..Default::default() }
}

/// The codes that a zone gives a name; none where it has no A record.
fn codes(zone: &Zone, labels: &[String]) -> (BTreeSet<u8>, bool) {
    let labels: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
    match zone.lookup(&labels, &View::Data) {
        Lookup::Found(found) => {
            (found.records(1).iter().flat_map(|set| &set.rdata).map(|rdata| rdata[3]).collect(), true)
        }
        Lookup::NoData => (BTreeSet::new(), true),
        Lookup::NxDomain => (BTreeSet::new(), false),
    }
}

/// The labels of an address, or of a prefix of it: octets or nibbles, reversed.
pub(crate) fn labels(v6: bool, address: u128, length: u8) -> Vec<String> {
    let units: Vec<String> = match v6 {
        true => (0..32).map(|nibble| format!("{:x}", address >> (124 - 4 * nibble) & 15)).collect(),
        false => (0..4).map(|octet| (address >> (24 - 8 * octet) & 255).to_string()).collect(),
    };
    let unit = if v6 { 4 } else { 8 };
    units.into_iter().take(usize::from(length / unit)).rev().collect()
}

/// What a zone of naive lists says of an address.
pub(crate) fn naive_codes(lists: &[NaiveList], v6: bool, address: u128) -> BTreeSet<u8> {
    let about_v4 = lists.iter().any(NaiveList::about_v4);
    let ask =
        |v6, address| lists.iter().flat_map(move |list| list.codes(v6, address)).collect::<BTreeSet<u8>>();
    if !v6 || !about_v4 {
        return ask(v6, address);
    }
    match (address::mapped(address), address::six_to_four(address)) {
        (Some(v4), _) => ask(false, v4.into()),
        (None, Some(v4)) => ask(true, address).into_iter().chain(ask(false, v4.into())).collect(),
        (None, None) => ask(true, address),
    }
}

/// Every address at which the state of something can change, and some between.
pub(crate) fn interesting(lists: &[NaiveList]) -> Vec<(bool, u128)> {
    let mut keys = BTreeSet::from([(false, 0), (false, u32::MAX.into()), (true, 0), (true, u128::MAX)]);
    // The IPv4-mapped addresses belong to the IPv4 lists, and those around them do not.
    keys.extend([(true, address::MAPPED - 1), (true, address::MAPPED + (1 << 32))]);
    for rule in lists.iter().flat_map(|list| &list.rules) {
        let limit = if rule.v6 { u128::MAX } else { u32::MAX.into() };
        let (first, last) = (rule.first, rule.last());
        for key in
            [first, last, first.saturating_sub(1), last.saturating_add(1).min(limit), first / 2 + last / 2]
        {
            keys.insert((rule.v6, key));
            if !rule.v6 {
                keys.insert((true, address::MAPPED | key));
                keys.insert((true, address::SIX_TO_FOUR | key << 80));
                keys.insert((true, address::SIX_TO_FOUR | key << 80 | ((1 << 80) - 1)));
            }
        }
    }
    keys.into_iter().collect()
}

fn rule(v6: bool) -> impl Strategy<Value = Rule> {
    // Few distinct high bits, so that prefixes nest; every length.
    let bits: u8 = if v6 { 128 } else { 32 };
    let bases = if v6 {
        prop_oneof![
            Just(0x2001_0db8_u128 << 96),
            Just(address::SIX_TO_FOUR | 0x0102_0304 << 80),
            Just(address::MAPPED),
            Just(0x2000_u128 << 112),
            any::<u128>(),
        ]
        .boxed()
    } else {
        prop_oneof![Just(0x0102_0304_u128), Just(0x0102_0000), any::<u32>().prop_map(u128::from)].boxed()
    };
    let noise = prop_oneof![Just(0_u128), any::<u128>()];
    (bases, noise, 0..=bits, 1..=bits, prop::option::weighted(0.75, 2_u8..6)).prop_map(
        move |(base, noise, keep, length, code)| {
            let noise = if v6 { noise } else { noise & u128::from(u32::MAX) };
            let tail = if keep == 0 { u128::MAX } else { (1_u128 << (bits - keep)) - 1 };
            let address = base ^ (noise & tail);
            let first = if v6 { address.masked(length) } else { (address as u32).masked(length).into() };
            Rule { v6, first, length, code }
        },
    )
}

pub(crate) fn list() -> impl Strategy<Value = NaiveList> {
    let kinds = prop_oneof![Just(Kind::Ip), Just(Kind::Ip4set), Just(Kind::Ip4trie), Just(Kind::Ip6trie)];
    kinds.prop_flat_map(|kind| {
        let rule = match kind {
            Kind::Ip => prop_oneof![rule(true), rule(false)].boxed(),
            Kind::Ip6trie => rule(true).boxed(),
            _ => rule(false).boxed(),
        };
        prop::collection::vec(rule, 0..12).prop_map(move |rules| NaiveList { kind, rules })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Complete keys: the union of the datasets. Partial keys: an empty non-terminal exactly where
    /// something is listed below.
    #[test]
    fn a_zone_is_the_union_of_naive_lists(lists in prop::collection::vec(list(), 1..4)) {
        let zone = zone(lists.iter().map(|list| dataset(list.kind, &list.text())).collect(), no_tests());
        let keys = interesting(&lists);
        for &(v6, address) in &keys {
            let complete = labels(v6, address, if v6 { 128 } else { 32 });
            for cut in 0..complete.len() {
                let name = &complete[cut..];
                let expected = naive_name(&lists, &keys, name);
                prop_assert_eq!(codes(&zone, name), expected, "{:?}", name);
            }
        }
    }
}

/// What a zone of naive lists says of a name, which may be read as octets and as nibbles: the codes
/// where it is a complete key, and whether it exists. Something is listed below a partial name if
/// an interesting address inside the prefix is, or its first or last.
fn naive_name(lists: &[NaiveList], keys: &[(bool, u128)], name: &[String]) -> (BTreeSet<u8>, bool) {
    let name: Vec<&[u8]> = name.iter().map(|label| label.as_bytes()).collect();
    let read = address::ReversedName::read(&name);
    let v4 = read.v4.map(|(first, length)| (false, first.into(), first.last_of(length).into(), length == 32));
    let v6 = read.v6.map(|(first, length)| (true, first, first.last_of(length), length == 128));
    let mut codes = BTreeSet::new();
    let mut exists = false;
    for (v6, first, last, complete) in v4.into_iter().chain(v6) {
        if complete {
            codes.extend(naive_codes(lists, v6, first));
        }
        let inside = keys.iter().filter(|&&(family, key)| family == v6 && (first..=last).contains(&key));
        let mut inside = inside.map(|&(_, key)| key).chain([first, last]);
        exists |= inside.any(|key| !naive_codes(lists, v6, key).is_empty());
    }
    (codes, exists)
}

#[test]
fn test_entries_are_served_unless_data_decides() {
    let test_v4 = labels(false, 0x7f00_0002, 32);
    let test_v6 = labels(true, 0xffff_7f00_0002, 128);
    for (kind, text, expected) in [
        (Kind::Ip6trie, "2001:db8::/32\n", 2),
        (Kind::Ip4trie, "192.0.2.0/24\n", 2),
        (Kind::Ip, "127.0.0.2 :9:\n", 9),
    ] {
        let zone = zone(vec![dataset(kind, text)], ZoneOptions::default());
        assert_eq!(codes(&zone, &test_v4), ([expected].into(), true), "{kind:?}");
        assert_eq!(codes(&zone, &test_v6), ([expected].into(), true), "{kind:?}");
        assert_eq!(codes(&zone, &test_v4[1..]), ([].into(), true), "the name above exists");
        assert_eq!(codes(&zone, &test_v6[9..]), ([].into(), true), "the name above exists");
        assert_eq!(codes(&zone, &labels(false, 0x7f00_0001, 32)), ([].into(), false));
    }
    let excluded = zone(vec![dataset(Kind::Ip, "!127.0.0.0/8\n")], ZoneOptions::default());
    assert_eq!(codes(&excluded, &test_v4), ([].into(), false));
    let names = zone(vec![dataset(Kind::Dnset, "bad.example\n")], ZoneOptions::default());
    assert_eq!(codes(&names, &["TEST".into()]), ([2].into(), true));
    assert_eq!(codes(&names, &["invalid".into()]), ([].into(), false));
    assert_eq!(codes(&names, &test_v4), ([].into(), false), "no address data, no test address");
}
