//! What one customer has asked: the counters of a key or of a rule, which outlive every reload.
//!
//! One counter only grows; a day and a month are known by what it was when they began. So a question
//! costs one atomic addition, and no thread has to set a million counters back at midnight.
//!
//! What was asked must survive the end of the process, also a sudden one, and nothing may wait for a
//! disk. So an account is *saved ahead*: when it has used half a slice, it is put down (`bookkeeping`)
//! with a slice more than was asked, and it calls for the next when half of that is used up. After a
//! sudden end a quota is short by what was left of a slice, or longer by the half that nobody had put
//! down yet. So what keys ask that ask little costs no writing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bucket::Bucket;
use super::clock::Now;
use super::plan::Plan;
use crate::prefix_table::prefetch;

/// What an account is known by: the first half of the SHA-256 digest of its key or rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub [u8; 16]);

/// What one key or rule has asked. What a question changes is together, so that it waits for little memory.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Account {
    granted: AtomicU64,
    day: AtomicU64,
    month: AtomicU64,
    bucket: Bucket,
    /// When `granted` passes this, a new slice is needed; [`CALLED`] while that is under way, 0 before the
    /// first question.
    enough_until: AtomicU64,
    denied: AtomicU64,
    /// Whose it is.
    pub id: AccountId,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is answered from the data.
    Granted,
    /// The plan is not for this zone.
    NotInPlan,
    /// Too many a second.
    Rate,
    /// The quota of the day is used up.
    Daily,
    /// The quota of the month is used up.
    Monthly,
    /// The name has no key, or one that nobody has.
    UnknownKey,
}

impl Verdict {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Granted, Self::NotInPlan, Self::Rate, Self::Daily, Self::Monthly, Self::UnknownKey];

    /// The name that metrics have.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::NotInPlan => "not_in_plan",
            Self::Rate => "rate",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::UnknownKey => "unknown_key",
        }
    }
}

/// The counters as they are put down. Each period is its number (16 bits) and what `granted` was when
/// it began (48 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Questions answered, ever.
    pub granted: u64,
    /// Questions beyond the plan, ever.
    pub denied: u64,
    /// The last day on which something was asked.
    pub day: u64,
    /// The last month.
    pub month: u64,
}

/// A slice was called for and is not there yet; also of accounts that nobody puts down.
const CALLED: u64 = u64::MAX;
const START_BITS: u32 = 48;
const START: u64 = (1 << START_BITS) - 1;

impl Account {
    /// An account with this usage; `saved` if it is put down.
    pub fn new(id: AccountId, usage: Usage, saved: bool) -> Self {
        Self {
            id,
            bucket: Bucket::default(),
            granted: AtomicU64::new(usage.granted),
            denied: AtomicU64::new(usage.denied),
            day: AtomicU64::new(usage.day),
            month: AtomicU64::new(usage.month),
            enough_until: AtomicU64::new(if saved { 0 } else { CALLED }),
        }
    }

    /// Has it fetched into the cache, where a question will soon be counted.
    #[inline(always)]
    pub(crate) fn expect(&self) {
        prefetch(&self.granted);
        prefetch(&self.enough_until);
    }

    /// Takes one question from what the plan allows. What is denied is not counted yet.
    #[inline]
    pub fn charge(&self, plan: &Plan, now: Now) -> Verdict {
        let granted = self.granted.load(Relaxed);
        let today = granted - start(&self.day, now.day, granted);
        let this_month = granted - start(&self.month, now.month, granted);
        if plan.daily.is_some_and(|quota| today >= quota) {
            return Verdict::Daily;
        }
        if plan.monthly.is_some_and(|quota| this_month >= quota) {
            return Verdict::Monthly;
        }
        if plan.rate.is_some_and(|rate| !self.bucket.take(rate, now.nanos)) {
            return Verdict::Rate;
        }
        self.granted.fetch_add(1, Relaxed);
        Verdict::Granted
    }

    /// Takes a question back that was granted and will be asked again.
    pub fn give_back(&self, plan: &Plan) {
        self.granted.fetch_sub(1, Relaxed);
        if let Some(rate) = plan.rate {
            self.bucket.give_back(rate);
        }
    }

    /// Counts a question that was denied.
    pub fn count_denied(&self) {
        self.denied.fetch_add(1, Relaxed);
    }

    /// True, once, when the account is to be put down.
    #[inline]
    pub fn calls(&self, plan: &Plan) -> bool {
        let enough_until = self.enough_until.load(Relaxed);
        let granted = self.granted.load(Relaxed);
        if granted <= enough_until {
            return false;
        }
        if enough_until == 0 {
            self.is_saved(granted + plan.slice() / 2);
            return false;
        }
        self.enough_until.swap(CALLED, Relaxed) != CALLED
    }

    /// The call was not heard: the next question repeats it.
    pub fn call_again(&self) {
        self.enough_until.store(1, Relaxed);
    }

    /// What is put down, and from what number of questions on the account calls again: see
    /// [`Self::is_saved`].
    pub fn ahead(&self, slice: u64) -> (Usage, u64) {
        let usage = self.usage();
        (Usage { granted: usage.granted + slice, ..usage }, usage.granted + slice / 2)
    }

    /// It was put down.
    pub fn is_saved(&self, enough_until: u64) {
        self.enough_until.store(enough_until, Relaxed);
    }

    /// The counters as they are.
    pub fn usage(&self) -> Usage {
        Usage {
            granted: self.granted.load(Relaxed),
            denied: self.denied.load(Relaxed),
            day: self.day.load(Relaxed),
            month: self.month.load(Relaxed),
        }
    }
}

/// What `granted` was when a period began, which is now where it is another than the last.
#[inline]
fn start(period: &AtomicU64, number: u16, granted: u64) -> u64 {
    let last = period.load(Relaxed);
    if last >> START_BITS == u64::from(number) {
        return (last & START).min(granted);
    }
    let begins = u64::from(number) << START_BITS | granted & START;
    // Where another worker was first, its word holds, and differs by no more than the workers are.
    let _ = period.compare_exchange(last, begins, Relaxed, Relaxed);
    granted
}

impl Usage {
    /// Octets of the written form.
    pub const OCTETS: usize = 32;

    /// Questions answered on the day of `now`.
    pub fn today(&self, now: Now) -> u64 {
        self.since(self.day, now.day)
    }

    /// Questions answered in the month of `now`.
    pub fn this_month(&self, now: Now) -> u64 {
        self.since(self.month, now.month)
    }

    fn since(&self, period: u64, number: u16) -> u64 {
        let is_now = period >> START_BITS == u64::from(number);
        if is_now { self.granted.saturating_sub(period & START) } else { 0 }
    }

    /// The written form.
    pub fn to_bytes(&self) -> [u8; Self::OCTETS] {
        let mut bytes = [0; Self::OCTETS];
        let words = [self.granted, self.denied, self.day, self.month];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Reads the written form; `None` where it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::OCTETS] = bytes.try_into().ok()?;
        let &[granted, denied, day, month] = bytes.as_chunks().0 else { return None };
        let [granted, denied, day, month] = [granted, denied, day, month].map(u64::from_le_bytes);
        Some(Self { granted, denied, day, month })
    }
}

/// As operators see it: the first 12 hexadecimal digits.
impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..6].iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
