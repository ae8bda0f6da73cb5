//! Lists that are made from a seed: the same for every benchmark that names the same one.

#![allow(dead_code, reason = "each benchmark takes what it needs")]

use nibbl::prefix_table::{Address, Entry, State, UNLISTED};

/// The /32s of the IPv6 list.
const NETWORKS: usize = 4000;

/// Random numbers from a seed (SplitMix64), and what a list is made of.
pub(crate) struct List {
    seed: u64,
    states: u32,
    line: u32,
}

impl List {
    /// Begins anew.
    pub(crate) fn new(seed: u64, states: u32) -> Self {
        Self { seed, states, line: 0 }
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// 1 to `states`, each as frequent as the inverse of its number.
    pub(crate) fn state(&mut self) -> State {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (f64::from(self.states + 1).powf(uniform) as u32).clamp(1, self.states)
    }

    fn entry<A: Address>(&mut self, address: A, length: u8, state: State) -> Entry<A> {
        self.line += 1;
        Entry { first: address.masked(length), length, state, line: self.line, file: 0 }
    }
}

/// An address in one of 4,000 /32s.
pub(crate) fn v6_miss(list: &mut List) -> u128 {
    let network = (list.below(NETWORKS) as u32).wrapping_mul(0x9e37_79b1) >> 4 | 0x2000_0000;
    u128::from(network) << 96 | u128::from(list.next()) << 32 | u128::from(list.next()) >> 32
}

/// IPv6 prefixes with exceptions; what they are like is told in `table.rs`.
pub(crate) fn v6_entries(list: &mut List, size: usize) -> Vec<Entry<u128>> {
    let mut entries: Vec<Entry<u128>> = Vec::with_capacity(size);
    for _ in 0..size {
        let length = match list.below(100) {
            0..70 => 64,
            70..82 => 56,
            82..92 => 48,
            92..94 => 128,
            94 if entries.len() < NETWORKS / 2 => 32,
            _ => 0,
        };
        let entry = match entries.len() {
            // An exception inside an earlier entry.
            places @ 1.. if length == 0 => {
                let around = entries[list.below(places)];
                let address = around.first | (v6_miss(list) & u128::MAX.last_of(0) >> around.length.min(127));
                list.entry(address, (around.length + 8).next_multiple_of(8).min(128), UNLISTED)
            }
            _ => {
                let (address, state) = (v6_miss(list), list.state());
                list.entry(address, length, state)
            }
        };
        entries.push(entry);
    }
    entries
}

/// An address in one of 50,000 /16s, as far as there are so many.
pub(crate) fn v4_miss(list: &mut List) -> u32 {
    let network = (list.below(50_000) as u32).wrapping_mul(0x9e37_79b1) >> 16;
    network << 16 | list.next() as u32 >> 16
}

/// IPv4 prefixes with exceptions.
pub(crate) fn v4_entries(list: &mut List, size: usize) -> Vec<Entry<u32>> {
    let one = |_| {
        let length = match list.below(100) {
            0..90 => 32,
            90..98 => 24,
            _ => 25 + list.below(7) as u8,
        };
        let state = if list.below(50) == 0 { UNLISTED } else { list.state() };
        let address = v4_miss(list);
        list.entry(address, length, state)
    };
    (0..size).map(one).collect()
}
