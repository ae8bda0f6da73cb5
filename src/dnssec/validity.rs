//! The rounded clock of signatures: when one begins, ends, and is replaced.
//!
//! Time is cut into epochs of a quarter of the validity. A signature is made for an epoch: it begins an hour
//! before (clocks differ) and ends a validity later. So all servers of a fleet sign the same fields
//! without talking to each other, and a reload or a restart changes none. Each RRset has its own phase,
//! made of its owner and type: never do all signatures end at once.
//!
//! ```text
//! epochs    │    e    │   e+1   │   e+2   │   e+3   │   e+4
//! one of e ├┼─────────┼─────────┼─────────┼────────┤
//!           └ fresh ──┘
//!                     └ served ─┘ while that of e+1 is being made
//! ```

use xxhash_rust::xxh3::xxh3_64;

/// How long before its epoch a signature begins, in seconds.
const EARLY: u64 = 3600;

/// How long signatures are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    seconds: u32,
}

/// When one signature holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The field of the RRSIG.
    pub inception: u32,
    /// The field of the RRSIG.
    pub expiration: u32,
    /// The end of its epoch: from then on another one should be made.
    pub renew: u32,
    /// The end of the epoch after: from then on it is not served.
    pub until: u32,
}

impl Default for Validity {
    /// 14 days.
    fn default() -> Self {
        Self { seconds: 14 * 86_400 }
    }
}

impl Validity {
    /// The shortest validity: a day. After two epochs half of it is left, for the TTL of what resolvers
    /// keep, and for their clocks.
    pub const SHORTEST: u32 = 86_400;
    /// The longest: a year. Who sees an answer may show it to others for so long.
    pub const LONGEST: u32 = 366 * 86_400;

    /// `None` where the validity is out of bounds.
    pub fn new(seconds: u32) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&seconds).then_some(Self { seconds })
    }

    /// The length of an epoch in seconds.
    pub fn refresh(self) -> u32 {
        self.seconds / 4
    }

    /// How many seconds the epochs of an RRset begin before those of phase 0. Equal on all servers.
    pub(super) fn phase(self, owner: &[u8], record_type: u16) -> u32 {
        let octets: smallvec::SmallVec<[u8; 256]> =
            owner.iter().copied().chain(record_type.to_be_bytes()).collect();
        (xxh3_64(&octets) % u64::from(self.refresh())) as u32
    }

    /// The epoch at `now`, for RRsets of a phase.
    pub(super) fn epoch(self, phase: u32, now: u32) -> u32 {
        ((u64::from(now) + u64::from(phase)) / u64::from(self.refresh())) as u32
    }

    /// The times of the signature that is made for an epoch.
    pub(super) fn times(self, phase: u32, epoch: u32) -> Times {
        let refresh = u64::from(self.refresh());
        let begin = (u64::from(epoch) * refresh).saturating_sub(phase.into());
        let inception = begin.saturating_sub(EARLY);
        // The fields are 32 bits wide and go round in 2106 (RFC 4034, section 3.1.5).
        Times {
            inception: inception as u32,
            expiration: (inception + u64::from(self.seconds)) as u32,
            renew: (begin + refresh) as u32,
            until: (begin + 2 * refresh) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_signature_holds_while_it_is_served(
            now in 1_700_000_000u32..3_000_000_000,
            seconds in Validity::SHORTEST..=Validity::LONGEST,
            owner in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let validity = Validity::new(seconds).unwrap();
            let phase = validity.phase(&owner, 1);
            let epoch = validity.epoch(phase, now);
            let times = validity.times(phase, epoch);
            prop_assert!(times.inception <= now - 3600 && now < times.renew);
            prop_assert!(times.renew < times.until && times.until - times.renew == validity.refresh());
            prop_assert!(times.expiration - times.until >= seconds / 2 - 3601);
            // The next epoch begins just when this one ends, and another server says the same.
            prop_assert_eq!(validity.epoch(phase, times.renew), epoch + 1);
            prop_assert_eq!(validity.epoch(phase, times.renew - 1), epoch);
        }
    }

    #[test]
    fn phases_are_spread() {
        let validity = Validity::default();
        let refresh = validity.refresh();
        let mut quarters = [0; 4];
        for number in 0..1000u32 {
            quarters[(validity.phase(&number.to_be_bytes(), 47) / (refresh / 4)) as usize] += 1;
        }
        assert!(quarters.iter().all(|&count| count > 200), "{quarters:?}");
    }
}
