//! The table's interface over `ip_network_table`, a tree bitmap of all prefixes as they were
//! written: what the compiled form is tested against and measured beside.
//!
//! It answers for single addresses only: a trie of prefixes knows neither ranges nor neighbours.

use std::net::{Ipv4Addr, Ipv6Addr};

use ip_network::{IpNetwork, Ipv4Network, Ipv6Network};
use ip_network_table::IpNetworkTable;

use super::{Address, Entry, State, UNLISTED, sort};

/// A map from addresses to states by longest match, as [`super::PrefixTable`] is.
#[derive(Default)]
pub struct ReferenceTable<A> {
    trie: IpNetworkTable<State>,
    family: std::marker::PhantomData<A>,
}

impl<A: Address> ReferenceTable<A> {
    /// Enters all prefixes, the first by origin where several are equal.
    pub fn build(mut entries: Vec<Entry<A>>) -> Self {
        sort(&mut entries);
        entries.dedup_by_key(|entry| (entry.first, entry.length));
        let mut trie = IpNetworkTable::with_capacity(0, 0);
        for entry in entries {
            trie.insert(network(entry.first, entry.length), entry.state);
        }
        Self { trie, family: std::marker::PhantomData }
    }

    /// The state of one address.
    pub fn lookup(&self, address: A) -> State {
        let state = if A::BITS == 32 {
            self.trie.longest_match_ipv4(v4(address)).map(|(_, &state)| state)
        } else {
            self.trie.longest_match_ipv6(v6(address)).map(|(_, &state)| state)
        };
        state.unwrap_or(UNLISTED)
    }
}

/// The prefix as `ip_network` has it, host bits cleared.
fn network<A: Address>(first: A, length: u8) -> IpNetwork {
    let network = if A::BITS == 32 {
        Ipv4Network::new_truncate(v4(first), length).map(IpNetwork::V4)
    } else {
        Ipv6Network::new_truncate(v6(first), length).map(IpNetwork::V6)
    };
    network.expect("a prefix has at most as many bits as an address")
}

fn v4<A: Address>(address: A) -> Ipv4Addr {
    Ipv4Addr::from(address.into() as u32)
}

fn v6<A: Address>(address: A) -> Ipv6Addr {
    Ipv6Addr::from(address.into())
}
