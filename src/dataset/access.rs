//! The compiled form of an acl dataset: client prefixes, longest match.

use std::net::IpAddr;

use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;

use super::Saying;
use crate::value::Variables;
use crate::zone_file::{AccessAction, AccessRule};

/// What clients get, by address.
pub struct AccessTable {
    rules: IpNetworkTable<Access>,
    /// The TTL of [`Access::Always`], in seconds.
    pub ttl: u32,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The data, as if there were no acl.
    Pass,
    /// No reply.
    Ignore,
    /// REFUSED for everything.
    Refuse,
    /// As if nothing were listed.
    Empty,
    /// Every complete key is listed.
    Always(Saying),
}

impl AccessTable {
    pub(super) fn new(rules: Vec<AccessRule>, variables: &Variables, ttl: u32) -> Self {
        let mut table = IpNetworkTable::new();
        for AccessRule { clients, action } in rules {
            // The prefix was checked when it was read; the first of equal ones wins.
            let Ok(network) = IpNetwork::new(clients.network(), clients.prefix_len()) else { continue };
            if table.exact_match(network).is_some() {
                continue;
            }
            let access = match action {
                AccessAction::Pass => Access::Pass,
                AccessAction::Ignore => Access::Ignore,
                AccessAction::Refuse => Access::Refuse,
                AccessAction::Empty => Access::Empty,
                AccessAction::Always(value) => Access::Always(Saying::new(&value, variables)),
            };
            table.insert(network, access);
        }
        Self { rules: table, ttl }
    }

    /// What the longest matching rule gives a client; without one, the data.
    pub fn access(&self, client: IpAddr) -> &Access {
        self.rules.longest_match(client).map_or(&Access::Pass, |(_, access)| access)
    }

    /// True if the answer of some client differs from that of another, other than by being refused
    /// or ignored.
    pub fn changes_answers(&self) -> bool {
        self.rules.iter().any(|(_, access)| matches!(access, Access::Empty | Access::Always(_)))
    }
}

impl std::fmt::Debug for AccessTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.rules.iter()).finish()
    }
}
