//! The time of buckets and quotas. The rim moves it on, once per batch; whoever answers only reads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use time::OffsetDateTime;

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since a fixed moment, as buckets count them.
    pub nanos: u64,
    /// The day, counted from 1970-01-01 (UTC).
    pub day: u16,
    /// The month, counted from 0 for January 1970 (UTC).
    pub month: u16,
}

impl Now {
    /// The date at a time in seconds since 1970, for quotas alone.
    pub fn date(seconds: u64) -> Self {
        Self { nanos: 0, day: (seconds / SECONDS_OF_A_DAY) as u16, month: month(seconds) }
    }
}

/// The time that was told last.
#[derive(Debug, Default)]
pub struct Clock {
    nanos: AtomicU64,
    /// Day and month, as in [`Now`]: upper and lower half.
    date: AtomicU32,
}

const SECONDS_OF_A_DAY: u64 = 86_400;
/// Workers write this often at most, so that they seldom take the word from each other.
const STEP: u64 = 1_000_000;

impl Clock {
    /// Moves the time on: `elapsed` since a fixed moment, and seconds since 1970.
    #[inline]
    pub fn set(&self, elapsed: Duration, seconds: u64) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        if nanos.saturating_sub(self.nanos.load(Relaxed)) >= STEP {
            self.nanos.store(nanos, Relaxed);
        }
        let day = (seconds / SECONDS_OF_A_DAY) as u16;
        if self.date.load(Relaxed) >> 16 != u32::from(day) {
            self.date.store(u32::from(day) << 16 | u32::from(month(seconds)), Relaxed);
        }
    }

    /// The time that was told last.
    #[inline]
    pub fn now(&self) -> Now {
        let date = self.date.load(Relaxed);
        Now { nanos: self.nanos.load(Relaxed), day: (date >> 16) as u16, month: date as u16 }
    }
}

fn month(seconds: u64) -> u16 {
    let date =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    date.map_or(0, |date| ((date.year() - 1970) * 12 + i32::from(u8::from(date.month())) - 1) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months() {
        let clock = Clock::default();
        for (seconds, day, month) in [
            (0, 0, 0),
            (31 * 86_400 - 1, 30, 0),
            (31 * 86_400, 31, 1),
            (1_795_392_000, 20_780, 682),
            (1_796_083_199, 20_787, 682),
            (1_796_083_200, 20_788, 683),
        ] {
            clock.set(Duration::from_secs(seconds), seconds);
            let now = Now { nanos: seconds * 1_000_000_000, day, month };
            assert_eq!((clock.now(), Now::date(seconds)), (now, Now { nanos: 0, ..now }));
        }
    }

    #[test]
    fn small_steps_wait() {
        let clock = Clock::default();
        clock.set(Duration::from_micros(1500), 0);
        clock.set(Duration::from_micros(2000), 0);
        assert_eq!(clock.now().nanos, 1_500_000);
        clock.set(Duration::from_micros(2500), 0);
        assert_eq!(clock.now().nanos, 2_500_000);
    }
}
