//! The compiled form of an acl dataset: client prefixes, longest match.
//!
//! `ip_network_table` knows the longest match. What it finds is the same from one end of a prefix to the next,
//! so it is asked once for each such span of addresses when the list is compiled, and a client is looked for
//! among the spans: a list has few, and packets of many clients cost little more than those of one.

use std::net::IpAddr;

use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;

use super::Saying;
use crate::prefix_table::Address;
use crate::value::Variables;
use crate::zone_file::{AccessAction, AccessRule};

/// What clients get, by address.
#[derive(Debug)]
pub struct AccessTable {
    v4: Spans<u32>,
    v6: Spans<u128>,
    /// What ids stand for: [`KINDS`], and behind them what is always listed.
    accesses: Vec<Access>,
    changes_answers: bool,
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

/// The place of what a client gets in [`AccessTable::accesses`].
type AccessId = u32;

/// What has an id in every table.
const KINDS: [Access; 4] = [Access::Pass, Access::Ignore, Access::Refuse, Access::Empty];
const PASS: AccessId = 0;
const IGNORE: AccessId = 1;
const REFUSE: AccessId = 2;
const EMPTY: AccessId = 3;

/// All addresses, as spans that follow each other.
#[derive(Debug)]
struct Spans<A> {
    /// The first address of each; that of the first is 0.
    firsts: Box<[A]>,
    ids: Box<[AccessId]>,
}

impl AccessTable {
    pub(super) fn new(rules: Vec<AccessRule>, variables: &Variables, ttl: u32) -> Self {
        let mut accesses = KINDS.to_vec();
        let mut changes_answers = false;
        let (mut v4, mut v6) = (vec![u32::MIN], vec![u128::MIN]);
        let mut table = IpNetworkTable::new();
        for AccessRule { clients, action } in rules {
            // The prefix was checked when it was read; the first of equal ones wins.
            let Ok(network) = IpNetwork::new(clients.network(), clients.prefix_len()) else { continue };
            if table.exact_match(network).is_some() {
                continue;
            }
            let id = match action {
                AccessAction::Pass => PASS,
                AccessAction::Ignore => IGNORE,
                AccessAction::Refuse => REFUSE,
                AccessAction::Empty => EMPTY,
                AccessAction::Always(value) => {
                    accesses.push(Access::Always(Saying::new(&value, variables)));
                    (accesses.len() - 1) as AccessId
                }
            };
            changes_answers |= ![PASS, IGNORE, REFUSE].contains(&id);
            table.insert(network, id);
            match clients.network() {
                IpAddr::V4(first) => add_ends(&mut v4, first.into(), clients.prefix_len()),
                IpAddr::V6(first) => add_ends(&mut v6, first.into(), clients.prefix_len()),
            }
        }
        let id = |client: IpAddr| table.longest_match(client).map_or(PASS, |(_, &id)| id);
        Self {
            v4: Spans::new(v4, |first| id(IpAddr::V4(first.into()))),
            v6: Spans::new(v6, |first| id(IpAddr::V6(first.into()))),
            accesses,
            changes_answers,
            ttl,
        }
    }

    /// What the longest matching rule gives a client; without one, the data.
    pub fn access(&self, client: IpAddr) -> &Access {
        &self.accesses[self.id(client) as usize]
    }

    /// True if a client gets the data.
    #[inline]
    pub fn passes(&self, client: IpAddr) -> bool {
        self.id(client) == PASS
    }

    /// True if the answer of some client differs from that of another, other than by being refused
    /// or ignored.
    pub fn changes_answers(&self) -> bool {
        self.changes_answers
    }

    #[inline]
    fn id(&self, client: IpAddr) -> AccessId {
        match client {
            IpAddr::V4(client) => self.v4.id(client.into()),
            IpAddr::V6(client) => self.v6.id(client.into()),
        }
    }
}

/// Adds where a prefix begins, and what is behind it.
fn add_ends<A: Address>(firsts: &mut Vec<A>, first: A, length: u8) {
    firsts.push(first);
    firsts.extend(first.last_of(length).successor());
}

impl<A: Address> Spans<A> {
    /// Spans that begin at some of `firsts`, of which 0 is one, and nowhere else.
    fn new(mut firsts: Vec<A>, id: impl Fn(A) -> AccessId) -> Self {
        firsts.sort_unstable();
        firsts.dedup();
        let mut spans: Vec<(A, AccessId)> = firsts.into_iter().map(|first| (first, id(first))).collect();
        spans.dedup_by_key(|(_, id)| *id);
        let (firsts, ids): (Vec<_>, Vec<_>) = spans.into_iter().unzip();
        Self { firsts: firsts.into(), ids: ids.into() }
    }

    #[inline]
    fn id(&self, client: A) -> AccessId {
        let behind = self.firsts.partition_point(|&first| first <= client);
        self.ids[behind - 1]
    }
}
