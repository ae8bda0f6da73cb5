//! A token bucket in one word, so that any number of workers share it without a lock.
//!
//! The word is a time: when the bucket will be full again (the "theoretical arrival time" of the
//! generic cell rate algorithm). A token moves it on by the time in which one token comes; there is
//! none where it would lie further ahead than the whole burst lasts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How fast tokens come, and how many may be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two tokens.
    interval: u64,
    /// Nanoseconds in which all but one of a burst come.
    tolerance: u64,
}

/// The tokens that are left; full at first.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it will be full, in nanoseconds of the clock that [`Bucket::take`] is told.
    full_at: AtomicU64,
}

impl Rate {
    /// So many tokens a second, of which `burst` may come at once. Both count as at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let interval = SECOND / u64::from(per_second.max(1));
        Self { interval, tolerance: interval * u64::from(burst.max(1) - 1) }
    }
}

impl Bucket {
    /// Takes a token; false if there is none. `now` is in nanoseconds, counted from any fixed moment.
    #[inline]
    pub fn take(&self, rate: Rate, now: u64) -> bool {
        let next = |full_at: u64| {
            let from = full_at.max(now);
            (from - now <= rate.tolerance).then(|| from.saturating_add(rate.interval))
        };
        self.full_at.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    /// Puts back a token that was taken and not used.
    pub fn give_back(&self, rate: Rate) {
        self.full_at.fetch_sub(rate.interval, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn taken(bucket: &Bucket, rate: Rate, now: u64) -> usize {
        (0..).take_while(|_| bucket.take(rate, now)).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 25));
        assert_eq!(taken(&bucket, rate, 0), 25);
        assert_eq!(taken(&bucket, rate, SECOND / 20), 0);
        assert_eq!(taken(&bucket, rate, SECOND / 2), 5);
        assert_eq!(taken(&bucket, rate, 60 * SECOND), 25, "no more than a burst is saved up");
        bucket.give_back(rate);
        assert_eq!(taken(&bucket, rate, 60 * SECOND), 1);
        assert_eq!(taken(&bucket, rate, 59 * SECOND), 0, "time does not go back");
        assert_eq!(taken(&Bucket::default(), Rate::new(0, 0), 0), 1);
    }

    #[test]
    fn threads_together_get_no_more() {
        let (bucket, rate) = (Bucket::default(), Rate::new(1000, 5000));
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&bucket, rate, SECOND))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 5000);
    }

    proptest! {
        /// Against a bucket that counts tokens in fractions.
        #[test]
        fn as_a_naive_bucket(
            per_second in 1u32..2000, burst in 1u32..50, waits in vec(0u64..20_000_000, 1..300),
        ) {
            let (bucket, rate) = (Bucket::default(), Rate::new(per_second, burst));
            let interval = SECOND / u64::from(per_second);
            let most = interval * u64::from(burst);
            let (mut now, mut tokens) = (0, most);
            for wait in waits {
                now += wait;
                tokens = (tokens + wait).min(most);
                let expected = tokens >= interval;
                tokens -= if expected { interval } else { 0 };
                prop_assert_eq!(bucket.take(rate, now), expected);
            }
        }
    }
}
