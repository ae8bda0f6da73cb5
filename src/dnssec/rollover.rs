//! A new key in the place of an old one, without a moment in which a resolver that holds old records and gets new
//! ones (or the reverse) cannot put them together (RFC 6781, section 4.1; RFC 7583).
//!
//! A key that the zone above does not know is replaced by times alone (pre-publication):
//!
//! ```text
//! new  publish ──DNSKEY TTL──▶ activate
//! old                          inactive ──greatest TTL──▶ delete
//! ```
//!
//! One that it knows needs its help (double DS). The new key is published and stands in the CDS RRset beside the old
//! one; from when all servers of the zone above have its DS record, the rest are times again:
//!
//! ```text
//! new  publish, sync ── DS seen ──DS TTL──▶ activate
//! old                                       inactive ──DNSKEY TTL──▶ sync delete ──▶ delete
//! ```
//!
//! To each wait the time is added that a change of the key files takes to reach all servers. Before "DS seen" nothing
//! depends on the new key: the rollover may rest there for months. Both keys have one algorithm.

use super::key::{Key, Role};
use super::key_set::{TimedKey, Timing};

/// How long what takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The TTL of the DNSKEY RRset.
    pub dnskey_ttl: u32,
    /// The greatest TTL in the zone.
    pub greatest_ttl: u32,
    /// The TTL of the DS RRset in the zone above.
    pub ds_ttl: u32,
    /// Until all servers have a change of the key files, and their clocks have shown the same time.
    pub propagation: u32,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The key that is to be made: which of those given it follows, whose algorithm and role it has, and its times.
    pub successor: Option<(usize, Timing)>,
    /// The keys that get other times: which of those given, and their times.
    pub changes: Vec<(usize, Timing)>,
}

/// Why there is no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolloverError {
    /// No key of this role signs now.
    #[error("no {0} signs now")]
    None(&'static str),
    /// More than one does.
    #[error("several keys sign in the same role: {0} and {1}")]
    Several(u16, u16),
    /// A successor has been made already.
    #[error("a rollover is under way: key {0} has been made, and does not sign yet")]
    UnderWay(u16),
    /// The key that signs has an end already.
    #[error("a rollover is under way: key {0} has an end already")]
    Ends(u16),
    /// There is no successor that waits for its DS record.
    #[error("no key waits for its DS record in the zone above")]
    NoneWaits,
}

/// Begins the rollover of the one active key of a role. A combined key has the role [`Role::SecureEntry`].
///
/// # Errors
/// There is not one such key, or its rollover is under way.
pub fn begin(keys: &[TimedKey], role: Role, now: u32, waits: &Waits) -> Result<Step, RolloverError> {
    if let Some(next) = keys.iter().find(|key| key.key.role() == role && is_to_come(&key.timing, now)) {
        return Err(RolloverError::UnderWay(next.key.tag()));
    }
    let (index, old) = the_active(keys, role, now)?;
    let new = Timing { created: Some(now), publish: Some(now), ..Timing::default() };
    if role == Role::SecureEntry {
        let successor = Timing { sync_publish: Some(now), ..new };
        // A key that was never in the CDS RRset would be thrown out of the zone above by the first one.
        let timing = Timing { sync_publish: old.timing.sync_publish.or(Some(now)), ..old.timing };
        let changes = if timing == old.timing { Vec::new() } else { vec![(index, timing)] };
        return Ok(Step { successor: Some((index, successor)), changes });
    }
    let activate = later(now, &[waits.dnskey_ttl, waits.propagation]);
    let delete = later(activate, &[waits.greatest_ttl, waits.propagation]);
    let successor = Timing { activate: Some(activate), ..new };
    let changes = vec![(index, Timing { inactive: Some(activate), delete: Some(delete), ..old.timing })];
    Ok(Step { successor: Some((index, successor)), changes })
}

/// Goes on with the rollover of a key that the zone above knows, all of whose servers have the new DS record now.
///
/// # Errors
/// There is no such rollover.
pub fn ds_seen(keys: &[TimedKey], now: u32, waits: &Waits) -> Result<Step, RolloverError> {
    let waits_for_ds = |key: &TimedKey| {
        key.key.role() == Role::SecureEntry && key.timing.is_published(now) && key.timing.activate.is_none()
    };
    let next = keys.iter().position(waits_for_ds).ok_or(RolloverError::NoneWaits)?;
    let (index, old) = the_active(keys, Role::SecureEntry, now)?;
    let published = keys[next].timing.publish.unwrap_or(now);
    let everywhere = later(published, &[waits.dnskey_ttl, waits.propagation]);
    let activate = later(now, &[waits.ds_ttl, waits.propagation]).max(everywhere);
    let sync_delete = later(activate, &[waits.dnskey_ttl, waits.propagation]);
    let delete = later(activate, &[waits.greatest_ttl, waits.propagation]).max(sync_delete);
    let new = Timing { activate: Some(activate), ..keys[next].timing };
    let old = Timing {
        inactive: Some(activate),
        sync_delete: Some(sync_delete),
        delete: Some(delete),
        ..old.timing
    };
    Ok(Step { successor: None, changes: vec![(next, new), (index, old)] })
}

/// What people call a key, which depends on what other keys there are.
pub fn role_name(key: &Key, keys: &[TimedKey]) -> &'static str {
    let has_zone_key =
        |other: &TimedKey| other.key.role() == Role::Zone && other.key.algorithm() == key.algorithm();
    match key.role() {
        Role::Zone => "zone-signing key",
        Role::SecureEntry if keys.iter().any(has_zone_key) => "key-signing key",
        Role::SecureEntry => "combined key",
    }
}

fn the_active(keys: &[TimedKey], role: Role, now: u32) -> Result<(usize, &TimedKey), RolloverError> {
    let mut active =
        keys.iter().enumerate().filter(|(_, key)| key.key.role() == role && key.timing.is_active(now));
    let name = if role == Role::Zone { "zone-signing key" } else { "key-signing or combined key" };
    let (index, key) = active.next().ok_or(RolloverError::None(name))?;
    if let Some((_, other)) = active.next() {
        return Err(RolloverError::Several(key.key.tag(), other.key.tag()));
    }
    if key.timing.inactive.is_some() || key.timing.delete.is_some() {
        return Err(RolloverError::Ends(key.key.tag()));
    }
    Ok((index, key))
}

/// True for a key that does not sign yet.
fn is_to_come(timing: &Timing, now: u32) -> bool {
    timing.activate.is_none_or(|activate| now < activate) && timing.delete.is_none_or(|delete| now < delete)
}

fn later(time: u32, waits: &[u32]) -> u32 {
    waits.iter().fold(time, |time, wait| time.saturating_add(*wait))
}

#[cfg(test)]
#[path = "rollover_tests.rs"]
mod tests;
