//! The compiled form of an acl dataset: client prefixes, longest match.
//!
//! `ip_network_table` knows the longest match. What it finds is the same from one end of a prefix to the next,
//! so it is asked once for each such span of addresses when the list is compiled, and a client is looked for
//! among the spans: a list has few. Who looks for many clients passes over the search for those that are in the
//! span of one before them.

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

/// The address of a client: a `u32` or a `u128`.
pub trait ClientAddress: Address {
    /// The spans of its family.
    #[doc(hidden)]
    fn spans(table: &AccessTable) -> &Spans<Self>;
}

impl ClientAddress for u32 {
    #[inline]
    fn spans(table: &AccessTable) -> &Spans<Self> {
        &table.v4
    }
}

impl ClientAddress for u128 {
    #[inline]
    fn spans(table: &AccessTable) -> &Spans<Self> {
        &table.v6
    }
}

/// The place of what a client gets in [`AccessTable::accesses`].
type AccessId = u32;

/// What has an id in every table.
const KINDS: [Access; 4] = [Access::Pass, Access::Ignore, Access::Refuse, Access::Empty];
const PASS: AccessId = 0;
const IGNORE: AccessId = 1;
const REFUSE: AccessId = 2;
const EMPTY: AccessId = 3;

/// The addresses of a family from one to another, none where `last` is less than `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<A> {
    /// The first address.
    pub first: A,
    /// The last address.
    pub last: A,
}

/// All addresses, as spans that follow each other.
#[derive(Debug)]
pub struct Spans<A> {
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
        let id = match client {
            IpAddr::V4(client) => self.v4.id(client.into()),
            IpAddr::V6(client) => self.v6.id(client.into()),
        };
        &self.accesses[id as usize]
    }

    /// Clients that get the data, and a certain one among them; `None` if that does not get it.
    #[inline]
    pub fn passing<A: ClientAddress>(&self, client: A) -> Option<Span<A>> {
        A::spans(self).around(client, PASS)
    }

    /// True if the answer of some client differs from that of another, other than by being refused
    /// or ignored.
    pub fn changes_answers(&self) -> bool {
        self.changes_answers
    }
}

impl<A: Address> Span<A> {
    /// All addresses.
    pub const ALL: Self = Self { first: A::MIN, last: A::MAX };
    /// No address.
    pub const NONE: Self = Self { first: A::MAX, last: A::MIN };

    /// True if an address is one of these.
    #[inline]
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// Those that are also others.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
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

    fn id(&self, client: A) -> AccessId {
        self.ids[self.behind(client) - 1]
    }

    /// The span that a client is in, if that has this id.
    fn around(&self, client: A, id: AccessId) -> Option<Span<A>> {
        let behind = self.behind(client);
        (self.ids[behind - 1] == id).then(|| Span {
            first: self.firsts[behind - 1],
            last: self.firsts.get(behind).and_then(|next| next.predecessor()).unwrap_or(A::MAX),
        })
    }

    /// The place behind the span that a client is in.
    fn behind(&self, client: A) -> usize {
        self.firsts.partition_point(|&first| first <= client)
    }
}
