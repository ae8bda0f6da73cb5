//! The compiled table against an oracle that compares label by label.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::name::Name;

/// An entry with the labels of its name, left to right.
#[derive(Clone, Debug)]
struct Listing {
    labels: Vec<Vec<u8>>,
    scope: Scope,
    state: State,
    line: u32,
}

fn key(labels: &[Vec<u8>]) -> Vec<u8> {
    let mut key = Vec::new();
    labels.iter().rev().for_each(|label| crate::name::push_key_label(&mut key, label));
    key
}

/// An exception wins, else the states become one number.
fn merge(states: &[State]) -> State {
    if states.contains(&UNLISTED) { UNLISTED } else { states.iter().fold(0, |all, state| all * 10 + state) }
}

fn build(listings: &[Listing]) -> (NameTable, Vec<u32>) {
    let mut entries = NameEntries::default();
    for listing in listings {
        entries.push(&key(&listing.labels), listing.scope, listing.state, 0, listing.line);
    }
    let mut redundant = Vec::new();
    let table = NameTable::build(entries, &mut merge, &mut |remark, _| redundant.push(remark.line));
    redundant.sort();
    (table, redundant)
}

/// What the listings of one scope say at exactly one name.
fn state_at(listings: &[Listing], labels: &[Vec<u8>], scope: Scope) -> Option<State> {
    let mut found: Vec<_> =
        listings.iter().filter(|l| l.scope == scope && key(&l.labels) == key(labels)).collect();
    found.sort_by_key(|listing| listing.line);
    let states: Vec<State> = found.iter().map(|listing| listing.state).collect();
    (!states.is_empty()).then(|| if states.len() == 1 { states[0] } else { merge(&states) })
}

/// The state that a name has from the names above it, and how many labels the one that decides has.
fn inherited(listings: &[Listing], labels: &[Vec<u8>]) -> (State, usize) {
    (1..=labels.len())
        .find_map(|skip| Some((state_at(listings, &labels[skip..], Scope::Below)?, labels.len() - skip)))
        .unwrap_or((UNLISTED, 0))
}

fn decide(listings: &[Listing], labels: &[Vec<u8>]) -> (State, usize) {
    let exact = state_at(listings, labels, Scope::Exact);
    exact.map_or_else(|| inherited(listings, labels), |state| (state, labels.len()))
}

/// Looks for a listed name below by trying: every listed name, and a strange label below each.
fn listed_below(listings: &[Listing], labels: &[Vec<u8>]) -> bool {
    let strange = |labels: &[Vec<u8>]| [&[b"strange".to_vec()], labels].concat();
    let mut candidates = vec![strange(labels)];
    for listing in listings {
        candidates.extend([listing.labels.clone(), strange(&listing.labels)]);
    }
    candidates.iter().any(|candidate| {
        candidate.len() > labels.len()
            && key(candidate).starts_with(&key(labels))
            && decide(listings, candidate).0 != UNLISTED
    })
}

fn check(listings: &[Listing], more: &[Vec<Vec<u8>>]) {
    let (table, remarks) = build(listings);
    let asked = listings.iter().flat_map(|listing| {
        let below = [&[b"x".to_vec()], &listing.labels[..]].concat();
        (0..=listing.labels.len()).map(|skip| listing.labels[skip..].to_vec()).chain([below])
    });
    for labels in asked.chain(more.iter().cloned()) {
        let (state, deciding) = decide(listings, &labels);
        let found = table.lookup(&labels.iter().map(|label| &label[..]).collect::<Vec<_>>());
        assert_eq!(found.state, state, "{labels:?}");
        assert_eq!(found.listed_below, listed_below(listings, &labels), "below {labels:?}");
        // A redundant exception is gone, so what is above decides, or nothing.
        if state != UNLISTED {
            assert_eq!(found.labels, deciding, "{labels:?}");
        }
    }
    assert_eq!(remarks, redundant(listings));
    check_entries(listings, &table);
}

/// The lines that say nothing new: exceptions from nothing, repetitions of the line before it, and
/// what a wildcard above says.
fn redundant(listings: &[Listing]) -> Vec<u32> {
    let says_nothing_new = |listing: &&Listing| {
        let same =
            |other: &&Listing| other.scope == listing.scope && key(&other.labels) == key(&listing.labels);
        let mut group: Vec<_> = listings.iter().filter(same).collect();
        group.sort_by_key(|listing| listing.line);
        let place = group.iter().position(|other| other.line == listing.line).unwrap();
        let inherited = inherited(listings, &listing.labels).0;
        let excepts_nothing = inherited == UNLISTED && group.iter().all(|other| other.state == UNLISTED);
        let repeated = place > 0 && group[place - 1].state == listing.state;
        let all = state_at(listings, &listing.labels, listing.scope);
        let covered = listing.state != UNLISTED || inherited != UNLISTED;
        excepts_nothing || repeated || covered && listing.state == inherited && all == Some(inherited)
    };
    let mut lines: Vec<u32> = listings.iter().filter(says_nothing_new).map(|listing| listing.line).collect();
    lines.sort();
    lines
}

/// The entries come out in order, each with what the listings say.
fn check_entries(listings: &[Listing], table: &NameTable) {
    let all: Vec<_> = table.entries_from(&[]).collect();
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(all.len(), table.len());
    assert_eq!(table.is_empty(), listings.iter().all(|l| decide_is_nothing(listings, l)));
    for (place, (key_found, states)) in all.iter().enumerate() {
        let labels = &listings.iter().find(|listing| key(&listing.labels) == *key_found).unwrap().labels;
        let inherited = inherited(listings, labels).0;
        let expected = |scope| {
            state_at(listings, labels, scope).filter(|&state| state != UNLISTED || inherited != UNLISTED)
        };
        assert_eq!((states.exact, states.below), (expected(Scope::Exact), expected(Scope::Below)));
        assert!(table.entries_from(key_found).eq(all[place..].iter().cloned()));
    }
}

fn decide_is_nothing(listings: &[Listing], listing: &Listing) -> bool {
    let inherited = inherited(listings, &listing.labels).0;
    state_at(listings, &listing.labels, listing.scope) == Some(UNLISTED) && inherited == UNLISTED
}

fn labels(longest: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let octet = prop_oneof![3 => Just(b'a'), 2 => Just(b'B'), 1 => Just(0), 1 => Just(1), 1 => Just(2), 1 => any::<u8>()];
    vec(
        prop_oneof![4 => Just(b"a".to_vec()), 3 => Just(b"b".to_vec()), 1 => Just(b"*".to_vec()), 2 => vec(octet, 1..3)],
        0..=longest,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_the_oracle(
        listings in vec((labels(4), any::<bool>(), 0..4u32), 0..24),
        more in vec(labels(6), 8),
    ) {
        let scope = |below| if below { Scope::Below } else { Scope::Exact };
        let listings: Vec<Listing> = listings
            .into_iter()
            .zip(1..)
            .map(|((labels, below, state), line)| Listing { labels, scope: scope(below), state, line })
            .collect();
        check(&listings, &more);
    }
}

/// Lookup of names as text: state, labels of the entry that decides, anything listed below.
#[test]
fn exceptions_and_wildcards() {
    let mut entries = NameEntries::default();
    for (line, (text, scope, state)) in [
        ("org", Scope::Below, 4),
        ("d.org", Scope::Exact, 0),
        ("d.org", Scope::Below, 0),
        ("c.d.org", Scope::Exact, 3),
        ("c.d.org", Scope::Below, 3),
        ("only.net", Scope::Exact, 5),
        ("except.net", Scope::Below, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let key = Name::from_text(text.as_bytes()).unwrap().key();
        entries.push(&key, scope, state, 0, line as u32);
    }
    let table = NameTable::build(entries, &mut merge, &mut |remark, key| {
        assert_eq!(remark, NameRemark { file: 0, line: 6, why: Redundant::Exception });
        assert_eq!(crate::name::key_text(key), "except.net");
    });
    for (text, state, labels, listed_below) in [
        ("org", 0, 0, true),
        ("x.org", 4, 1, true),
        ("x.y.ORG", 4, 1, true),
        ("d.org", 0, 2, true),
        ("x.d.org", 0, 2, false),
        ("C.d.org", 3, 3, true),
        ("x.c.d.org", 3, 3, true),
        ("net", 0, 0, true),
        ("only.net", 5, 2, false),
        ("x.only.net", 0, 0, false),
        ("except.net", 0, 0, false),
        ("", 0, 0, true),
    ] {
        let name = Name::from_text(text.as_bytes()).unwrap();
        let found = table.lookup(&name.labels().collect::<Vec<_>>());
        assert_eq!(found, NameMatch { state, labels, listed_below }, "{text}");
    }
    assert!(NameTable::default().is_empty());
}
