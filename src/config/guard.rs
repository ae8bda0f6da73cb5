//! `[rate_limit]` and `[cookies]` in `nibbl.toml`: how often what is answered, and to whom without limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::values::{Count, Network, Seconds};
use super::{CookieConfig, CookieMode};
use crate::rate_limit::{Mode, RateLimit};

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitTable {
    mode: Option<Mode>,
    per_second: Option<Count>,
    all_per_second: Option<Count>,
    window: Option<Window>,
    slip: Option<u8>,
    ipv4_prefix: Option<Length<32>>,
    ipv6_prefix: Option<Length<64>>,
    entries: Option<Entries>,
    #[serde(default)]
    exempt: Vec<Network>,
}

impl RateLimitTable {
    pub(super) fn check(self) -> RateLimit {
        let defaults = RateLimit::default();
        RateLimit {
            mode: self.mode.unwrap_or(defaults.mode),
            per_second: self.per_second.map_or(defaults.per_second, |count| count.0),
            all_per_second: self.all_per_second.map(|count| count.0),
            window: self.window.map_or(defaults.window, |window| window.0),
            slip: self.slip.map_or(defaults.slip, u32::from),
            ipv4_prefix: self.ipv4_prefix.map_or(defaults.ipv4_prefix, |length| length.0),
            ipv6_prefix: self.ipv6_prefix.map_or(defaults.ipv6_prefix, |length| length.0),
            entries: self.entries.map_or(defaults.entries, |entries| entries.0),
            exempt: self.exempt.into_iter().map(|network| network.0).collect(),
        }
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CookieTable {
    #[serde(default)]
    mode: CookieMode,
    secrets: Option<PathBuf>,
}

impl CookieTable {
    pub(super) fn check(self, own_dir: &Path) -> CookieConfig {
        CookieConfig { mode: self.mode, secrets: self.secrets.map(|file| own_dir.join(file)) }
    }
}

/// How long a rate is saved.
#[derive(serde::Deserialize)]
#[serde(try_from = "Seconds")]
struct Window(Duration);

impl TryFrom<Seconds> for Window {
    type Error = &'static str;
    fn try_from(Seconds(seconds): Seconds) -> Result<Self, Self::Error> {
        match seconds {
            1..=3600 => Ok(Self(Duration::from_secs(seconds.into()))),
            _ => Err("window: 1s to 1h"),
        }
    }
}

/// The length of a prefix.
#[derive(serde::Deserialize)]
#[serde(try_from = "u8")]
struct Length<const LONGEST: u8>(u8);

impl<const LONGEST: u8> TryFrom<u8> for Length<LONGEST> {
    type Error = String;
    fn try_from(length: u8) -> Result<Self, Self::Error> {
        if length <= LONGEST { Ok(Self(length)) } else { Err(format!("a prefix of 0 to {LONGEST} bits")) }
    }
}

/// How many keys are remembered.
#[derive(serde::Deserialize)]
#[serde(try_from = "u32")]
struct Entries(usize);

impl TryFrom<u32> for Entries {
    type Error = &'static str;
    fn try_from(entries: u32) -> Result<Self, Self::Error> {
        const MOST: u32 = 1 << 26;
        if (1024..=MOST).contains(&entries) {
            Ok(Self(entries as usize))
        } else {
            Err("entries: 1024 to 67108864")
        }
    }
}
