//! What keeps clients from being harmed in each other's names, and the server by them: which packets are
//! taken at all, and how often the same answer is given.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::fast::Exchange;
use crate::metrics::{Limited, WorkerCounters};
use crate::rate_limit::{Mode, RateLimit, RateLimiter, Ticks};

/// What is configured against abuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How often what is answered over UDP.
    pub rate_limit: RateLimit,
}

/// The rate limit, where there is one.
#[derive(Debug)]
pub(super) struct Limiter {
    counters: RateLimiter,
    /// Answers over the limit are not given.
    enforced: bool,
    slip: u32,
    /// Answers over the limit since the last that was cut.
    withheld: AtomicU32,
}

impl Limiter {
    /// `None` where nothing is counted.
    pub(super) fn new(limit: &RateLimit) -> Option<Self> {
        let enforced = match limit.mode {
            Mode::Off => return None,
            Mode::Count => false,
            Mode::On => true,
        };
        let (counters, slip) = (RateLimiter::new(limit), limit.slip);
        Some(Self { counters, enforced, slip, withheld: AtomicU32::new(0) })
    }

    /// The time of a batch.
    pub(super) fn now(&self) -> Ticks {
        self.counters.now()
    }

    /// Counts the answer of an exchange, and takes it back or cuts it where it is one too many. False if
    /// there is nothing to be sent.
    #[inline(always)]
    pub(super) fn allows(&self, now: Ticks, exchange: &mut Exchange<'_>, counters: &WorkerCounters) -> bool {
        let Some(outcome) = exchange.outcome().filter(|outcome| outcome.reply && !outcome.is_exempt()) else {
            return true;
        };
        if !self.counters.exceeds(now, exchange.client().address, outcome, exchange.identity()) {
            return true;
        }
        self.limit(exchange, counters)
    }

    #[cold]
    fn limit(&self, exchange: &mut Exchange<'_>, counters: &WorkerCounters) -> bool {
        if !self.enforced {
            counters.limited(Limited::Counted);
            return true;
        }
        let slips = self.slip > 0 && self.withheld.fetch_add(1, Relaxed) % self.slip == self.slip - 1;
        if slips {
            counters.limited(Limited::Slipped);
            exchange.cut();
        } else {
            counters.limited(Limited::Dropped);
            exchange.withhold();
        }
        slips
    }
}
