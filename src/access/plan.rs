//! What a customer or a group of clients gets: a plan of the configuration.

use std::net::Ipv4Addr;

use super::bucket::Rate;
use crate::dataset::Saying;
use crate::name::Name;
use crate::value::{Value, Variables};

/// A plan by its place among all.
pub type PlanId = u8;

/// What whoever has the plan may ask, and what is said beyond that.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its name, as rules and key files have it.
    pub name: String,
    /// The zones that it is for; all where `None`.
    pub zones: Option<Vec<Name>>,
    /// Questions a second, and how many may come at once.
    pub rate: Option<Rate>,
    /// Questions a day (UTC).
    pub daily: Option<u64>,
    /// Questions a month (UTC).
    pub monthly: Option<u64>,
    /// What is said beyond that.
    pub beyond: Beyond,
    /// What is said to people then: with REFUSED and a code.
    pub text: Option<String>,
}

/// What is said to whoever asks more than the plan allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Beyond {
    /// REFUSED, with an Extended DNS Error (RFC 8914): resolvers ask another server, mail goes through.
    #[default]
    Refuse,
    /// Nothing is listed.
    NotListed,
    /// Everything is listed, with this value. Mail servers that do not look at it reject all mail.
    Listed(Saying),
}

/// The TTL of [`Beyond::Listed`], in seconds.
pub const BEYOND_TTL: u32 = 60;

/// The longest text of a refusal, in octets: it fits into a packet of 512 with any question.
pub const LONGEST_TEXT: usize = 128;

impl Plan {
    /// A plan for all zones without limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            zones: None,
            rate: None,
            daily: None,
            monthly: None,
            beyond: Beyond::Refuse,
            text: None,
        }
    }

    /// True if it is for a zone.
    pub fn covers(&self, zone: &Name) -> bool {
        self.zones.as_ref().is_none_or(|zones| zones.contains(zone))
    }

    /// True if some of those who have it get other answers than others, and no refusals.
    pub fn changes_answers(&self) -> bool {
        let is_limited = self.rate.is_some() || self.daily.is_some() || self.monthly.is_some();
        is_limited && self.beyond != Beyond::Refuse
    }

    /// So many questions may be put down as asked before they are: what a crash may add to the usage.
    /// A quarter of a per cent of the smallest quota.
    pub fn slice(&self) -> u64 {
        const OF_A_QUOTA: u64 = 400;
        const MOST: u64 = 4096;
        let quota = self.daily.into_iter().chain(self.monthly).min();
        quota.map_or(MOST / 16, |quota| (quota / OF_A_QUOTA).clamp(1, MOST))
    }
}

impl Beyond {
    /// Everything is listed with this address and text, in which `$` is the client's address.
    pub fn listed(address: Ipv4Addr, text: Option<&str>) -> Self {
        let text = text.map(|text| text.as_bytes().into());
        Self::Listed(Saying::new(&Value { address, text }, &Variables::default()))
    }
}
