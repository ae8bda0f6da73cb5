//! Three real sets of address ranges, served from the `ip` and `ip6trie` files that `tests/real-data.py`
//! writes, against a binary search in the ranges that they were written from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::harness::client::ask_all;
use crate::harness::dns::{Query, reversed};
use crate::harness::random::Random;
use crate::harness::server::Server;

/// Questions in all.
const QUESTIONS: usize = 1_000_000;

#[test]
fn real_data_is_answered_right() {
    let Some(directory) = std::env::var_os("NIBBL_REAL_DATA") else {
        println!("SKIPPED (NIBBL_REAL_DATA names no directory that tests/real-data.py has filled)");
        return;
    };
    let directory = Path::new(&directory);
    let sets = ["asn", "country", "tor"];
    let zones = sets.map(|set| format!("{set}.example:ip:{set}.ip"));
    let v6_zones = sets.map(|set| format!("{set}6.example:ip6trie:{set}.ip6trie"));
    let mut arguments = vec!["--dir".into(), directory.as_os_str().to_owned()];
    arguments.extend(zones.iter().chain(&v6_zones).map(Into::into));
    let server = Server::serve(arguments);
    let mut random = Random::new(8);
    for set in sets {
        let ranges = Ranges::read(&directory.join(set).with_extension("csv"));
        for (zone, only_v6) in [(format!("{set}.example"), false), (format!("{set}6.example"), true)] {
            let addresses: Vec<IpAddr> = std::iter::repeat_with(|| ranges.sample(&mut random))
                .filter(|address| is_plain(*address) && !(only_v6 && address.is_ipv4()))
                .take(QUESTIONS.div_ceil(2 * sets.len()))
                .collect();
            let names = addresses.iter().map(|address| Query::new(reversed(*address, &zone), "TXT"));
            let replies = ask_all(server.udp, &names.collect::<Vec<_>>());
            let mut listed = 0;
            for (address, reply) in addresses.iter().zip(replies) {
                let reply = reply.unwrap_or_else(|| panic!("{address} in {zone}: no answer"));
                let wanted = ranges.text_of(*address).map(|text| format!("\"{text}\""));
                listed += usize::from(wanted.is_some());
                assert_eq!(reply.rdata("TXT").first().copied(), wanted.as_deref(), "{address} in {zone}");
            }
            println!("{zone}: {} addresses, {listed} of them listed", addresses.len());
        }
    }
    server.stop();
}

/// Neither a test entry, nor mapped to another address.
fn is_plain(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => v6.segments()[0] != 0x2002 && v6.to_ipv4_mapped().is_none(),
    }
}

/// Disjoint ranges in order.
struct Ranges(Vec<(IpAddr, IpAddr, String)>);

impl Ranges {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let ranges = text.lines().map(|line| {
            let mut fields = line.splitn(3, ',');
            let mut field = || fields.next().expect("three fields");
            let [first, last] = [field(), field()].map(|text| text.parse().expect("an address"));
            (first, last, field().to_string())
        });
        Self(ranges.collect())
    }

    fn text_of(&self, address: IpAddr) -> Option<&str> {
        let (_, last, text) =
            self.0.get(self.0.partition_point(|(first, ..)| *first <= address).checked_sub(1)?)?;
        (address <= *last).then_some(text)
    }

    /// A border of a range, its neighbour outside, an address within, or any address at all.
    fn sample(&self, random: &mut Random) -> IpAddr {
        let (first, last, _) = &self.0[random.below(self.0.len() as u64) as usize];
        let (low, high) = (bits(*first), bits(*last));
        let bits = match random.below(5) {
            0 => low,
            1 => high,
            2 => low.wrapping_sub(1),
            3 => high.wrapping_add(1),
            _ => low + random.next_u128() % (high - low + 1),
        };
        match first {
            IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
            IpAddr::V6(_) if random.below(20) == 0 => Ipv6Addr::from_bits(random.next_u128()).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
