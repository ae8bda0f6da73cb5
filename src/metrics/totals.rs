//! The sums over all workers, as a reader gets them.

use std::collections::BTreeMap;

use super::histogram::Buckets;
use super::labels::{Answer, Dropped, Labels, Limited, Origin, labels};
use crate::access::Passage;
use crate::cookie::Standing;
use crate::name::Name;

/// Sums over all workers since the process started. Counters are read one after the other while
/// the workers go on, so sums of the same moment may differ by the packets in between.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Each zone that was ever served, in the order in which they came.
    pub zones: Vec<(Name, ZoneTotals)>,
    /// What was answered outside of all zones.
    pub elsewhere: ZoneTotals,
    /// What is not counted by zone, by how clients come.
    pub origins: BTreeMap<Origin, OriginTotals>,
    /// What access rules made of questions; none of the counts is 0.
    pub passages: BTreeMap<Passage, u64>,
}

/// What was answered from one zone. Packets without an answer count nowhere, as in rbldnsd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneTotals {
    /// Answered queries; none of the counts is 0.
    pub queries: BTreeMap<Labels, u64>,
    /// Octets of the queries.
    pub octets_in: u64,
    /// Octets of the answers.
    pub octets_out: u64,
}

/// What clients of one kind got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OriginTotals {
    /// Answers cut for UDP.
    pub truncated: u64,
    /// Packets that deserve no answer, or whose client is ignored.
    pub unanswered: u64,
    /// Answers that the system would not send.
    pub unsent: u64,
    /// Errors of the system while receiving or accepting.
    pub receive_errors: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that are open.
    pub open_connections: u64,
    /// Connections closed at once because their client has too many, or over QUIC all.
    pub refused_connections: u64,
    /// Answers over the rate limit, in the order of [`Limited::ALL`].
    pub limited: [u64; Limited::ALL.len()],
    /// Answered queries with cookies, in the order of [`Standing::TOLD`].
    pub cookies: [u64; Standing::TOLD.len()],
    /// What was dropped unread, in the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// The sizes of the answers, in octets.
    pub sizes: Buckets,
    /// The time between the arrival of a packet and the departure of its answer, in seconds; of a
    /// sample of them.
    pub times: Buckets,
}

impl Totals {
    /// What was answered from all zones, and outside.
    pub fn all(&self) -> impl Iterator<Item = &ZoneTotals> {
        self.zones.iter().map(|(_, zone)| zone).chain([&self.elsewhere])
    }

    /// How many answered queries `which` is true for.
    pub fn count(&self, which: impl Fn(&Labels) -> bool) -> u64 {
        self.all().map(|zone| zone.count(&which)).sum()
    }

    /// The sum of a figure over all kinds of clients.
    pub fn sum(&self, figure: impl Fn(&OriginTotals) -> u64) -> u64 {
        self.origins.values().map(figure).sum()
    }
}

impl ZoneTotals {
    /// How many answered queries `which` is true for.
    pub fn count(&self, which: impl Fn(&Labels) -> bool) -> u64 {
        self.queries.iter().filter(|(labels, _)| which(labels)).map(|(_, count)| count).sum()
    }

    /// How many queries were answered that what they ask about is listed.
    pub fn listed(&self) -> u64 {
        self.count(|labels| labels.answer == Answer::Listed)
    }

    /// Adds the counters of a worker, in the order of its table.
    pub(super) fn add(&mut self, origin: Origin, counters: impl Iterator<Item = u64>) {
        for (cell, count) in counters.enumerate().filter(|&(_, count)| count > 0) {
            *self.queries.entry(labels(origin, cell)).or_default() += count;
        }
    }
}
