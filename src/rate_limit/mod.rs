//! Response rate limiting: who can forge a sender's address can have this server send answers to that
//! address, larger than the questions. So the same answer is given to one prefix of clients only so
//! often.
//!
//! An *answer* is what a name and a type are answered: NXDOMAIN is counted by the whole name and never by
//! the zone, since a large resolver asks a list for thousands of unlisted addresses a second. Refusals and
//! errors, which say nothing of the name, are one answer. What has proved where it comes from (a cookie,
//! TCP) does not come here.
//!
//! The counters are one table of fixed size for all workers: the packets of a forged sender come to all of
//! them, and each would give the whole rate by itself. A place is one word, `time (40 bits), tag (24 bits)`:
//! the time up to which the key has used its rate (the generic cell rate algorithm), and part of its hash.
//! The time comes first, so that it is reckoned with as it stands. There is no lock, and a place is read and
//! written by itself: where two workers meet at one, a count is lost. Keys hash with secrets of the process,
//! so nobody can aim at another's place. A key has two places in one cache line; a new key takes the one that
//! is used least, so that a flood of keys does not wash away those that are over their limit.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::answer::Outcome;
use crate::wire::rcode;

mod identity;
#[cfg(test)]
mod tests;

pub use identity::{of_address, of_packet};

/// What is done with answers over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is counted.
    Off,
    /// They are counted, and given.
    #[default]
    Count,
    /// They are withheld, but for one of [`RateLimit::slip`].
    On,
}

/// How often what is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What is done with answers over the limit; they are only counted by default.
    pub mode: Mode,
    /// How often one prefix gets the same answer, a second; 20 by default.
    pub per_second: u32,
    /// How many answers one prefix gets, a second; no limit by default.
    pub all_per_second: Option<u32>,
    /// How long the rate is saved by who does not use it, for a burst; 5 s by default.
    pub window: Duration,
    /// One of so many answers over the limit goes out without records, and says with TC to come back
    /// over TCP: who asks in earnest does. 0 is none; 2 by default.
    pub slip: u32,
    /// The prefix of IPv4 that counts as one client; 24 by default.
    pub ipv4_prefix: u8,
    /// The prefix of IPv6 that counts as one client, 64 at most; 56 by default.
    pub ipv6_prefix: u8,
    /// Keys that are remembered, made a power of two; 8 octets each. 131,072 by default.
    pub entries: usize,
    /// Who is never limited.
    pub exempt: Vec<IpNet>,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            per_second: 20,
            all_per_second: None,
            window: Duration::from_secs(5),
            slip: 2,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            entries: 1 << 17,
            exempt: Vec::new(),
        }
    }
}

/// The counters.
#[derive(Debug)]
pub struct RateLimiter {
    table: Box<[Places]>,
    /// How far a hash is shifted for its place in the table.
    shift: u32,
    secrets: [u64; 2],
    ipv4_mask: u32,
    ipv6_mask: u64,
    interval: u64,
    all_interval: Option<u64>,
    /// The furthest that a key can be ahead of time.
    window: u64,
    started: Instant,
    exempt: Box<[IpNet]>,
}

/// The two places of a key.
#[derive(Debug, Default)]
#[repr(align(16))]
struct Places([AtomicU64; 2]);

/// Bits of a tag: the lowest.
const TAG_BITS: u32 = 24;
/// A tag in a place.
const TAG: u64 = (1 << TAG_BITS) - 1;
/// The longest time in a place. In ticks of 1,024 ns that is thirteen days; then they begin anew.
const TIME: u64 = u64::MAX >> TAG_BITS;
/// Nanoseconds are shifted by so many bits for ticks.
const TICK: u32 = 10;
/// The longest window, in ticks: what is further ahead has lain there for days.
const LONGEST: u64 = TIME / 4;
/// Stands for all answers of a prefix.
const ALL: u64 = u64::MAX;

/// A time in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks(u64);

impl From<Duration> for Ticks {
    fn from(time: Duration) -> Self {
        Self((time.as_nanos() >> TICK) as u64)
    }
}

/// What is answered, as one word, where the question has this identity ([`of_address`], [`of_packet`]).
#[inline(always)]
pub fn answer(outcome: &Outcome, identity: u64) -> u64 {
    // What is said of all names alike is one answer.
    let identity = if outcome.zone.is_some() && outcome.rcode != rcode::REFUSED { identity } else { 0 };
    identity ^ u64::from(outcome.rcode).rotate_right(8)
}

impl RateLimiter {
    /// Counters that are all at rest.
    pub fn new(limit: &RateLimit) -> Self {
        let pairs = (limit.entries / 2).clamp(2, 1 << 30).next_power_of_two();
        let interval = |rate: u32| (Ticks::from(Duration::from_secs(1) / rate.max(1)).0).max(1);
        let window = Ticks::from(limit.window).0.clamp(interval(limit.per_second), LONGEST);
        let random = || RandomState::new().hash_one(pairs);
        Self {
            table: (0..pairs).map(|_| Places::default()).collect(),
            shift: u64::BITS - pairs.ilog2(),
            secrets: [random(), random()],
            ipv4_mask: u32::MAX.checked_shl(32 - u32::from(limit.ipv4_prefix.min(32))).unwrap_or(0),
            ipv6_mask: u64::MAX.checked_shl(64 - u32::from(limit.ipv6_prefix.min(64))).unwrap_or(0),
            interval: interval(limit.per_second),
            all_interval: limit.all_per_second.map(interval),
            window,
            started: Instant::now(),
            exempt: limit.exempt.clone().into(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Ticks {
        Ticks::from(self.started.elapsed())
    }

    /// Counts an [`answer`] to a client, and tells whether it is one too many.
    #[inline(always)]
    pub fn exceeds(&self, now: Ticks, client: IpAddr, answer: u64) -> bool {
        let prefix = self.prefix(client);
        let exceeds = self.count(now, self.hash(prefix, answer), self.interval)
            || self.all_interval.is_some_and(|interval| self.count(now, self.hash(prefix, ALL), interval));
        // Few are over the limit, so that only they are looked for among those who have none.
        exceeds && !self.is_exempt(client)
    }

    #[cold]
    fn is_exempt(&self, client: IpAddr) -> bool {
        self.exempt.iter().any(|prefix| prefix.contains(&client))
    }

    /// Counts what has this hash, and tells whether it is one too many.
    #[inline(always)]
    fn count(&self, Ticks(now): Ticks, hash: u64, interval: u64) -> bool {
        let Some(Places([one, other])) = self.table.get((hash >> self.shift) as usize) else { return false };
        // As places are, so that those are compared as they stand.
        let (now, furthest) = (now << TAG_BITS, self.window << TAG_BITS | TAG);
        let (first, second) = (one.load(Relaxed), other.load(Relaxed));
        let is_own = |place: u64| (place ^ hash) & TAG == 0;
        // How far it is ahead of now; the tag counts for nothing there.
        let ahead = |place: u64| {
            let ahead = place.wrapping_sub(now);
            // What is past, or was left there days ago.
            if ahead > furthest { 0 } else { ahead }
        };
        let (place, used) = if is_own(first) {
            (one, ahead(first))
        } else if is_own(second) {
            (other, ahead(second))
        } else {
            (if ahead(first) <= ahead(second) { one } else { other }, 0)
        };
        let used = (used | hash & TAG) + (interval << TAG_BITS);
        if used > furthest {
            return true;
        }
        place.store(now.wrapping_add(used), Relaxed);
        false
    }

    /// The prefix that a client counts by.
    #[inline(always)]
    fn prefix(&self, client: IpAddr) -> u64 {
        match client {
            // Not a prefix of IPv6 that anyone has.
            IpAddr::V4(address) => u64::from(address.to_bits() & self.ipv4_mask) | 0xffff << 32,
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64 & self.ipv6_mask,
        }
    }

    /// A multiplication with what nobody outside knows: the cheapest hash whose collisions nobody can aim at.
    #[inline(always)]
    fn hash(&self, prefix: u64, answer: u64) -> u64 {
        let product = u128::from(prefix ^ self.secrets[0]) * u128::from(answer ^ self.secrets[1]);
        product as u64 ^ (product >> 64) as u64
    }
}
