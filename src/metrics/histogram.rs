//! Histograms that cost one addition a value: values fall into many narrow bins, of which a reader
//! makes the few buckets that are shown.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Replies by their sizes, in bins that each end with a multiple of 64 octets, the first with none.
const SIZE_BINS: usize = 4096 / 64 + 1;
/// The upper ends of the buckets of sizes, in octets; multiples of 64.
const SIZES: [u64; 12] = [64, 128, 192, 256, 320, 384, 512, 768, 1024, 1280, 2048, 4096];

/// Times, in bins of powers of two of nanoseconds.
const TIME_BINS: usize = 34;
/// The upper ends of the buckets of times, as powers of two of nanoseconds: 4 µs to 8.6 s.
const TIMES: std::ops::RangeInclusive<u32> = 12..=33;

/// Sizes of replies.
#[derive(Debug)]
pub(super) struct Sizes([AtomicU64; SIZE_BINS + 1]);

impl Default for Sizes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

impl Sizes {
    /// The counter of replies of that many octets.
    #[inline(always)]
    pub(super) fn bin(&self, octets: usize) -> &AtomicU64 {
        &self.0[(octets.wrapping_add(63) / 64).min(SIZE_BINS)]
    }

    /// Adds what was counted to the buckets.
    pub(super) fn add_to(&self, buckets: &mut Buckets) {
        let at_most = |octets: u64| sum(&self.0[..=(octets / 64) as usize]);
        buckets.add(SIZES.iter().map(|&octets| (octets as f64, at_most(octets))), sum(&self.0));
    }
}

/// Times of answers.
#[derive(Debug)]
pub(super) struct Times {
    bins: [AtomicU64; TIME_BINS + 1],
    nanoseconds: AtomicU64,
}

impl Default for Times {
    fn default() -> Self {
        Self { bins: std::array::from_fn(|_| AtomicU64::default()), nanoseconds: AtomicU64::default() }
    }
}

impl Times {
    /// The counter of answers that took so long, and the one of the sum.
    pub(super) fn bin(&self, nanoseconds: u64) -> (&AtomicU64, &AtomicU64) {
        let power = nanoseconds.saturating_sub(1).checked_ilog2().map_or(0, |log| log as usize + 1);
        (&self.bins[power.min(TIME_BINS)], &self.nanoseconds)
    }

    /// Adds what was counted to the buckets, in seconds.
    pub(super) fn add_to(&self, buckets: &mut Buckets) {
        let at_most = |power: u32| sum(&self.bins[..=power as usize]);
        let shown = TIMES.map(|power| ((1u64 << power) as f64 / 1e9, at_most(power)));
        buckets.add(shown, sum(&self.bins));
        buckets.sum += self.nanoseconds.load(Relaxed) as f64 / 1e9;
    }
}

fn sum(bins: &[AtomicU64]) -> u64 {
    bins.iter().map(|bin| bin.load(Relaxed)).sum()
}

/// A histogram as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Upper ends, and how many values are not above them.
    pub at_most: Vec<(f64, u64)>,
    /// How many values there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Buckets {
    fn add(&mut self, counted: impl Iterator<Item = (f64, u64)>, count: u64) {
        let mut places = self.at_most.iter_mut();
        let mut new = Vec::new();
        for (end, values) in counted {
            match places.next() {
                Some((_, before)) => *before += values,
                None => new.push((end, values)),
            }
        }
        self.at_most.extend(new);
        self.count += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_hold_what_is_not_above_them(
            octets in prop::collection::vec(0usize..6000, 0..50),
            times in prop::collection::vec((0u32..40).prop_map(|power| (1u64 << power) + u64::from(power % 3) - 1), 0..50),
        ) {
            let (sizes, timer) = (Sizes::default(), Times::default());
            for &octets in &octets {
                sizes.bin(octets).fetch_add(1, Relaxed);
            }
            for &time in &times {
                let (bin, sum) = timer.bin(time);
                bin.fetch_add(1, Relaxed);
                sum.fetch_add(time, Relaxed);
            }
            let (mut shown_sizes, mut shown_times) = (Buckets::default(), Buckets::default());
            // Twice, as of two workers.
            for _ in 0..2 {
                sizes.add_to(&mut shown_sizes);
                timer.add_to(&mut shown_times);
            }
            let check = |shown: &Buckets, values: Vec<f64>| {
                prop_assert_eq!(shown.count, 2 * values.len() as u64);
                for &(end, count) in &shown.at_most {
                    prop_assert_eq!(count, 2 * values.iter().filter(|&&value| value <= end).count() as u64);
                }
                Ok(())
            };
            check(&shown_sizes, octets.iter().map(|&octets| octets as f64).collect())?;
            check(&shown_times, times.iter().map(|&time| time as f64 / 1e9).collect())?;
            prop_assert!((shown_times.sum - times.iter().map(|&t| t as f64 / 5e8).sum::<f64>()).abs() < 1e-3);
        }
    }
}
