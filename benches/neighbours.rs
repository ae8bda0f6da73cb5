//! What an answer from a signed zone costs beside its signatures: processor time to find a name in the
//! virtual zone, and the NSEC record round it.
//!
//! ```text
//! cargo bench --bench neighbours -- [LISTINGS…]
//! ```
//!
//! Without arguments: one million listings. The lists are those of `table.rs`, made from a fixed seed: IPv6
//! prefixes with exceptions, and IPv4 addresses and prefixes.

mod generated;
mod usage;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use generated::List;
use nibbl::dataset::Dataset;
use nibbl::name::Name;
use nibbl::prefix_table::Entry;
use nibbl::value::{Value, ValueTable};
use nibbl::virtual_zone::{Match, VirtualZone};
use nibbl::zone::{EmptyNonTerminals, Status, Zone, ZoneOptions};
use nibbl::zone_file::diagnostic::Diagnostics;
use nibbl::zone_file::{AddressEntries, Content, Kind, Parsed, Specials};
use nix::time::{ClockId, clock_gettime};

/// How many names are asked for.
const NAMES: usize = 10_000;
const STATES: u32 = 50;

fn main() {
    if usage::is_asked(include_str!("neighbours.rs")) {
        return;
    }
    let counts: Vec<usize> = std::env::args().skip(1).filter_map(|count| count.parse().ok()).collect();
    for count in if counts.is_empty() { vec![1_000_000] } else { counts } {
        let mut list = List::new(1, STATES);
        let v6 = generated::v6_entries(&mut list, count);
        let listed: Vec<u128> =
            v6.iter().step_by((v6.len() / NAMES).max(1)).map(|entry| entry.first).collect();
        measure("IPv6", &zone(Vec::new(), v6), &v6_names(&mut list, &listed));
        let v4 = generated::v4_entries(&mut list, count);
        let listed: Vec<u32> =
            v4.iter().step_by((v4.len() / NAMES).max(1)).map(|entry| entry.first).collect();
        measure("IPv4", &zone(v4, Vec::new()), &v4_names(&mut list, &listed));
    }
}

/// Names at listings, in the networks of the list, and anywhere; and the middle of the tree.
fn v6_names(list: &mut List, listed: &[u128]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut random =
        |make: &mut dyn FnMut(&mut List) -> u128| -> Vec<u128> { (0..NAMES).map(|_| make(list)).collect() };
    let near = random(&mut |list| {
        listed[list.below(listed.len())] ^ 1 << (64 + list.below(16)) ^ u128::from(list.next())
    });
    let networks = random(&mut |list| generated::v6_miss(list));
    let anywhere =
        random(&mut |list| 0x2000 << 112 | u128::from(list.next()) << 61 | u128::from(list.next()));
    let key = |nibbles: usize| move |address: &u128| key_v6(*address, nibbles);
    vec![
        ("listed", listed.iter().map(key(32)).collect()),
        ("near a listing", near.iter().map(key(32)).collect()),
        ("in a network", networks.iter().map(key(32)).collect()),
        ("anywhere", anywhere.iter().map(key(32)).collect()),
        ("partial", near.iter().map(key(12)).collect()),
    ]
}

fn v4_names(list: &mut List, listed: &[u32]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let near: Vec<u32> = listed.iter().map(|address| address ^ (1 + list.below(255) as u32)).collect();
    let anywhere: Vec<u32> = (0..NAMES).map(|_| list.next() as u32).collect();
    let keys = |addresses: &[u32]| addresses.iter().map(|address| key_v4(*address)).collect();
    vec![("listed", keys(listed)), ("near a listing", keys(&near)), ("anywhere", keys(&anywhere))]
}

fn measure(title: &str, zone: &Zone, names: &[(&str, Vec<Vec<u8>>)]) {
    println!("{title}, {} entries", zone.datasets()[0].summary.entries);
    for (what, keys) in names {
        for empty_non_terminals in [EmptyNonTerminals::Marker, EmptyNonTerminals::Plain] {
            let made = cost(keys, |_| {
                black_box(VirtualZone::new(zone, empty_non_terminals));
            });
            let find = cost(keys, |key| {
                black_box(VirtualZone::new(zone, empty_non_terminals).find(key));
            });
            let gap = cost(keys, |key| {
                black_box(VirtualZone::new(zone, empty_non_terminals).gap(key));
            });
            // A denial: the name, the gap that it falls into, and the gap round the wildcard.
            let all = cost(keys, |key| {
                let virtual_zone = VirtualZone::new(zone, empty_non_terminals);
                black_box(virtual_zone.gap(key));
                if let Match::Nothing { encloser } = virtual_zone.find(key) {
                    black_box(virtual_zone.gap(&[&encloser[..], b"*\0"].concat()));
                }
            });
            println!(
                "  {what:15} {empty_non_terminals:6?} made {made:.1?}, find {find:.1?}, gap {gap:.1?}, all {all:.1?}"
            );
        }
    }
}

/// The mean time of a call.
fn cost(keys: &[Vec<u8>], mut call: impl FnMut(&[u8])) -> Duration {
    let start = processor_time();
    keys.iter().for_each(|key| call(key));
    (processor_time() - start) / keys.len() as u32
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn key_v6(address: u128, nibbles: usize) -> Vec<u8> {
    let digit = |place: usize| b"0123456789abcdef"[(address >> (124 - 4 * place)) as usize & 15];
    (0..nibbles).flat_map(|place| [digit(place), 0]).collect()
}

fn key_v4(address: u32) -> Vec<u8> {
    address.to_be_bytes().iter().flat_map(|octet| format!("{octet}\0").into_bytes()).collect()
}

fn zone(v4: Vec<Entry<u32>>, v6: Vec<Entry<u128>>) -> Zone {
    let mut values = ValueTable::default();
    for code in 1..=STATES {
        let text = Some(b"see https://bl.example/?$"[..].into());
        values.intern(Value { address: Ipv4Addr::new(127, 0, 1, code as u8), text });
    }
    let parsed = Parsed {
        kind: Kind::Ip,
        entries: (v4.len() + v6.len()) as u64,
        exceptions: 0,
        content: Content::Addresses(AddressEntries { v4, v6 }),
        values,
        specials: Specials::default(),
        modified: 0,
    };
    let mut diagnostics = Diagnostics::default();
    let dataset = Dataset::compile(parsed, &[], 2100, &mut diagnostics).expect("fewer than 2^31 entries");
    let name = Name::from_text(b"bl.example").expect("a short name");
    let options = ZoneOptions::default();
    Zone::new(name, vec![Arc::new(dataset)], 0, Status::Serving, options, &mut diagnostics)
}
