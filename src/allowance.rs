//! How many blocks of range records may be made: a bucket of tokens that all workers share.
//!
//! Making a block takes far longer than an ordinary answer, and anyone can ask for blocks that
//! nobody else asks for. The rim fills the bucket by its clock, `answer` takes from it; when it is
//! empty, clients are sent away to ask in another way.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Tokens a second, and the most that a bucket holds: at 100 µs for a block, a tenth of one core.
const A_SECOND: u32 = 1000;
/// What of that is for clients that have shown that they are where they say (RFC 7766).
const CONNECTED: u32 = A_SECOND / 2;
/// One token is for making a block of this many octets.
const OCTETS: usize = 1024;

/// The bucket; full at first.
#[derive(Debug)]
pub struct Allowance {
    tokens: AtomicU32,
    /// Up to when it was filled, in milliseconds of the rim's clock.
    filled: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { tokens: AtomicU32::new(A_SECOND), filled: AtomicU64::new(0) }
    }
}

impl Allowance {
    /// Fills in what the time up to `now` gives. `now` is counted from any fixed moment.
    pub fn fill(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let filled = self.filled.load(Relaxed);
        let tokens = now.saturating_sub(filled).saturating_mul(A_SECOND.into()) / 1000;
        // Whoever moves the time forward fills.
        if tokens > 0 && self.filled.compare_exchange(filled, now, Relaxed, Relaxed).is_ok() {
            let tokens = tokens.min(A_SECOND.into()) as u32;
            // Never fails: the function always gives a value.
            let _ = self
                .tokens
                .fetch_update(Relaxed, Relaxed, |there| Some(there.saturating_add(tokens).min(A_SECOND)));
        }
    }

    /// Takes what making a block of up to `octets` octets costs; false if that is not there. Clients
    /// that are not connected leave something for those that are.
    pub fn take(&self, octets: usize, connected: bool) -> bool {
        let tokens = octets.div_ceil(OCTETS) as u32;
        let kept = if connected { 0 } else { CONNECTED };
        self.tokens
            .fetch_update(Relaxed, Relaxed, |there| there.checked_sub(tokens).filter(|&left| left >= kept))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket() {
        let allowance = Allowance::default();
        let taken = |connected| (0..).take_while(|_| allowance.take(800, connected)).count() as u32;
        assert_eq!((taken(false), taken(true), taken(true)), (A_SECOND - CONNECTED, CONNECTED, 0));
        allowance.fill(Duration::from_micros(900));
        assert_eq!(taken(true), 0);
        allowance.fill(Duration::from_millis(100));
        assert_eq!((taken(false), taken(true)), (0, A_SECOND / 10));
        allowance.fill(Duration::from_millis(50));
        assert_eq!(taken(true), 0, "time does not go back");
        allowance.fill(Duration::from_secs(1 << 40));
        assert!(allowance.take(16_000, false));
        assert_eq!(taken(true), A_SECOND - 16);
    }
}
