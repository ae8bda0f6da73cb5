//! The keys of a zone over time: which are published, which sign, and what the zone above is told.
//!
//! Each key carries the times of its life, in the words of BIND's files. The changes are few and known ahead:
//! [`KeySet::new`] makes a timetable of them, and [`KeySet::at`] looks the clock up in it. A rollover is
//! nothing but keys with times (`rollover` sets them); nothing has to happen at the moment of a change.
//!
//! A change that would leave the zone without a signing key, or without one that the DS records of the zone above can
//! lead to, does not take place: the keys before it go on, which is better than a bogus zone, and
//! [`KeySet::warnings`] says so.

use std::borrow::Cow;
use std::sync::Arc;

use super::key::{Key, Role};
use super::record_type::{CDNSKEY, CDS, DNSKEY};
use super::time_text;
use crate::name::Name;

/// When a key does what, in seconds since 1970. `None` is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// When it was made.
    pub created: Option<u32>,
    /// From then on it is in the DNSKEY RRset ...
    pub publish: Option<u32>,
    /// ... from then on it signs ...
    pub activate: Option<u32>,
    /// ... and no longer from then on ...
    pub inactive: Option<u32>,
    /// ... and from then on it is not in the DNSKEY RRset any more.
    pub delete: Option<u32>,
    /// From then on the CDS and CDNSKEY RRsets have it ...
    pub sync_publish: Option<u32>,
    /// ... and no longer from then on.
    pub sync_delete: Option<u32>,
}

impl Timing {
    /// A key that does all from `now` on.
    pub fn from(now: u32, role: Role) -> Self {
        Self {
            created: Some(now),
            publish: Some(now),
            activate: Some(now),
            sync_publish: (role == Role::SecureEntry).then_some(now),
            ..Self::default()
        }
    }

    /// True if the key is in the DNSKEY RRset.
    pub fn is_published(&self, now: u32) -> bool {
        is_between(now, self.publish, self.delete)
    }

    /// True if the key signs.
    pub fn is_active(&self, now: u32) -> bool {
        is_between(now, self.activate, self.inactive) && is_between(now, self.activate, self.delete)
    }

    /// True if the CDS RRset has the key.
    pub fn is_synced(&self, now: u32) -> bool {
        is_between(now, self.sync_publish, self.sync_delete)
    }

    /// All its times but that of its making, in no order.
    pub fn times(&self) -> impl Iterator<Item = u32> {
        let Self { created: _, publish, activate, inactive, delete, sync_publish, sync_delete } = *self;
        [publish, activate, inactive, delete, sync_publish, sync_delete].into_iter().flatten()
    }
}

fn is_between(now: u32, begin: Option<u32>, end: Option<u32>) -> bool {
    begin.is_some_and(|begin| begin <= now) && end.is_none_or(|end| now < end)
}

/// A key and its times.
#[derive(Clone, Debug)]
pub struct TimedKey {
    /// The key.
    pub key: Arc<Key>,
    /// Its times.
    pub timing: Timing,
}

/// The keys of one zone.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// In the order of time; never empty.
    stages: Vec<Stage>,
    warnings: Vec<String>,
}

/// What holds between two changes.
#[derive(Clone, Debug)]
pub struct Stage {
    /// From when on.
    begin: u32,
    /// Until when; the last one has no end.
    end: Option<u32>,
    /// DNSKEY and, where there are any, CDS and CDNSKEY.
    records: Vec<KeyRecords>,
    /// What signs these.
    key_signers: Vec<Arc<Key>>,
    /// What signs all others.
    zone_signers: Vec<Arc<Key>>,
    /// One of `key_signers` is published and such as DS records are made of.
    has_entry: bool,
}

/// An RRset at the apex that the keys bring along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecords {
    /// DNSKEY, CDS or CDNSKEY.
    pub record_type: u16,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The rdata of each record.
    pub rdata: Vec<Cow<'static, [u8]>>,
}

/// Why there is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// No key ever signs.
    #[error("no key is ever active")]
    NoneActive,
    /// Two keys cannot be told apart by what an RRSIG says of its key.
    #[error("two keys have the tag {0}")]
    SameTag(u16),
}

impl KeySet {
    /// The TTL of the DNSKEY RRset where nothing else is said: an hour.
    pub const DEFAULT_TTL: u32 = 3600;

    /// The timetable of the keys of a zone, whose DNSKEY, CDS and CDNSKEY RRsets have `ttl`.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn new(apex: &Name, keys: &[TimedKey], ttl: u32) -> Result<Self, KeySetError> {
        for (index, TimedKey { key, .. }) in keys.iter().enumerate() {
            let same =
                |other: &TimedKey| (other.key.tag(), other.key.algorithm()) == (key.tag(), key.algorithm());
            if keys[..index].iter().any(same) {
                return Err(KeySetError::SameTag(key.tag()));
            }
        }
        let mut changes: Vec<u32> = keys.iter().flat_map(|key| key.timing.times()).collect();
        changes.sort_unstable();
        changes.dedup();
        let mut stages: Vec<Stage> = Vec::new();
        let mut warnings = Vec::new();
        for begin in changes {
            let stage = Stage::new(apex, keys, ttl, begin);
            let before = stages.last();
            let fault = if stage.zone_signers.is_empty() {
                Some("no key would sign")
            } else if before.is_some_and(|before| before.has_entry) && !stage.has_entry {
                Some("no published key would sign the DNSKEY records that a DS record can lead to")
            } else {
                None
            };
            if let Some(fault) = fault {
                // Before the first key is active, that is as it should be.
                if before.is_some() {
                    let begin = time_text::show(begin);
                    warnings.push(format!("from {begin} on {fault}: what was before goes on"));
                }
                continue;
            }
            for key in
                keys.iter().filter(|key| key.timing.is_active(begin) && !key.timing.is_published(begin))
            {
                let (begin, tag) = (time_text::show(begin), key.key.tag());
                warnings.push(format!("from {begin} on key {tag} signs and is not published"));
            }
            if let Some(before) = stages.last_mut() {
                before.end = Some(begin);
            }
            stages.push(stage);
        }
        if stages.is_empty() {
            return Err(KeySetError::NoneActive);
        }
        Ok(Self { stages, warnings })
    }

    /// The same keys, but the zone above is asked to remove all DS records (RFC 8078, section 4): for a zone that is
    /// to be signed no more.
    pub fn withdrawn(mut self) -> Self {
        const DELETE_CDS: [u8; 5] = [0; 5];
        const DELETE_CDNSKEY: [u8; 5] = [0, 0, 3, 0, 0];
        for stage in &mut self.stages {
            let ttl = stage.records.first().map_or(Self::DEFAULT_TTL, |set| set.ttl);
            stage.records.retain(|set| set.record_type == DNSKEY);
            stage.records.extend([(CDS, DELETE_CDS), (CDNSKEY, DELETE_CDNSKEY)].map(
                |(record_type, rdata)| KeyRecords {
                    record_type,
                    ttl,
                    rdata: vec![Cow::Owned(rdata.to_vec())],
                },
            ));
        }
        self
    }

    /// What holds at `now`. Before the first key is active it signs all the same: the server's clock may be
    /// behind that of whoever made the key.
    pub fn at(&self, now: u32) -> &Stage {
        let after = self.stages.partition_point(|stage| stage.begin <= now);
        &self.stages[after.saturating_sub(1)]
    }

    /// When the keys change next; `None` if they do not any more.
    pub fn next_change(&self, now: u32) -> Option<u32> {
        self.stages.iter().map(|stage| stage.begin).find(|&begin| begin > now)
    }

    /// Changes that do not take place, and why.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Stage {
    fn new(apex: &Name, keys: &[TimedKey], ttl: u32, begin: u32) -> Self {
        let active: Vec<_> = keys.iter().filter(|key| key.timing.is_active(begin)).collect();
        let signers = |role: Role| {
            // Each algorithm signs everything (RFC 4035, section 2.2), with keys of the other kind where it
            // has none of this.
            let has = |other: &TimedKey| {
                active
                    .iter()
                    .any(|key| key.key.algorithm() == other.key.algorithm() && key.key.role() == role)
            };
            let signs = active.iter().filter(|key| key.key.role() == role || !has(key));
            signs.map(|key| key.key.clone()).collect::<Vec<_>>()
        };
        let set = |record_type, rdata: Vec<Vec<u8>>| KeyRecords {
            record_type,
            ttl,
            rdata: rdata.into_iter().map(Cow::Owned).collect(),
        };
        let of = |is: fn(&Timing, u32) -> bool, rdata: &dyn Fn(&Key) -> Vec<u8>| {
            let of = keys.iter().filter(|key| is(&key.timing, begin));
            of.map(|key| rdata(&key.key)).collect::<Vec<_>>()
        };
        let records = [
            set(DNSKEY, of(Timing::is_published, &Key::dnskey)),
            set(CDS, of(Timing::is_synced, &|key| key.ds(apex))),
            set(CDNSKEY, of(Timing::is_synced, &Key::dnskey)),
        ];
        let is_entry =
            |key: &&TimedKey| key.key.role() == Role::SecureEntry && key.timing.is_published(begin);
        Self {
            begin,
            end: None,
            has_entry: active.iter().copied().any(|key| is_entry(&key)),
            records: records.into_iter().filter(|set| !set.rdata.is_empty()).collect(),
            key_signers: signers(Role::SecureEntry),
            zone_signers: signers(Role::Zone),
        }
    }

    /// When the keys change; `None` if they do not.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// The RRsets at the apex: DNSKEY and, where there are any, CDS and CDNSKEY.
    pub fn records(&self) -> &[KeyRecords] {
        &self.records
    }

    /// The keys that sign RRsets of a type.
    pub fn signers(&self, record_type: u16) -> &[Arc<Key>] {
        match record_type {
            DNSKEY | CDS | CDNSKEY => &self.key_signers,
            _ => &self.zone_signers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Algorithm;
    use super::*;

    const NOW: u32 = 1_800_000_000;

    fn apex() -> Name {
        Name::from_text(b"bl.example").unwrap()
    }

    fn key(role: Role, timing: Timing) -> TimedKey {
        TimedKey { key: Key::generate(Algorithm::Ed25519, role).unwrap().into(), timing }
    }

    #[test]
    fn a_zone_never_loses_its_last_key() {
        let all = Timing::from(NOW, Role::SecureEntry);
        let keys =
            [key(Role::SecureEntry, Timing { inactive: Some(NOW + 10), delete: Some(NOW + 20), ..all })];
        let set = KeySet::new(&apex(), &keys, 60).unwrap();
        for now in [0, NOW - 1, NOW, NOW + 9, NOW + 10, NOW + 20, u32::MAX] {
            assert_eq!((set.at(now).signers(1).len(), set.at(now).records().len()), (1, 3), "{now}");
        }
        assert_eq!(set.warnings().len(), 2, "{:?}", set.warnings());
        let never = [key(Role::Zone, Timing { publish: Some(NOW), ..Timing::default() })];
        assert_eq!(KeySet::new(&apex(), &never, 60).unwrap_err(), KeySetError::NoneActive);
        let twice = [keys[0].clone(), keys[0].clone()];
        assert_eq!(KeySet::new(&apex(), &twice, 60).unwrap_err(), KeySetError::SameTag(keys[0].key.tag()));
        let hidden = [key(Role::Zone, Timing { publish: None, ..all })];
        assert!(KeySet::new(&apex(), &hidden, 60).unwrap().warnings()[0].ends_with("not published"));
    }

    #[test]
    fn a_zone_never_loses_the_key_that_the_zone_above_knows() {
        let all = Timing::from(NOW, Role::SecureEntry);
        let zone_key = key(Role::Zone, Timing::from(NOW, Role::Zone));
        for timing in [
            Timing { inactive: Some(NOW + 10), ..all },
            Timing { delete: Some(NOW + 10), ..all },
            Timing { inactive: Some(NOW + 10), delete: Some(NOW + 10), ..all },
        ] {
            // A rollover of the other key meanwhile does not make it better.
            let next = Timing { publish: Some(NOW + 5), activate: Some(NOW + 15), ..Timing::default() };
            let keys = [key(Role::SecureEntry, timing), zone_key.clone(), key(Role::Zone, next)];
            let set = KeySet::new(&apex(), &keys, 60).unwrap();
            for now in [NOW, NOW + 10, NOW + 20] {
                let signers: Vec<u16> = set.at(now).signers(DNSKEY).iter().map(|key| key.tag()).collect();
                assert_eq!(signers, [keys[0].key.tag()], "{timing:?}");
                assert!(set.at(now).records()[0].rdata.contains(&keys[0].key.dnskey().into()));
            }
            assert!(set.warnings()[0].contains("DS record"), "{:?}", set.warnings());
        }
        // Another that takes its place does.
        let before = Timing { inactive: Some(NOW + 10), delete: Some(NOW + 20), ..all };
        let next = Timing { publish: Some(NOW), activate: Some(NOW + 10), ..Timing::default() };
        let keys = [key(Role::SecureEntry, before), zone_key.clone(), key(Role::SecureEntry, next)];
        let set = KeySet::new(&apex(), &keys, 60).unwrap();
        assert_eq!(set.at(NOW + 10).signers(DNSKEY)[0].tag(), keys[2].key.tag());
        assert_eq!((set.at(NOW + 20).records()[0].rdata.len(), set.warnings()), (2, &[][..]));
        let changes = [NOW - 1, NOW, NOW + 10, NOW + 20].map(|now| set.next_change(now));
        assert_eq!(changes, [Some(NOW), Some(NOW + 10), Some(NOW + 20), None]);
        // Not so one that nobody can see.
        let hidden = key(Role::SecureEntry, Timing { publish: Some(NOW + 30), ..next });
        let keys = [keys[0].clone(), zone_key.clone(), hidden];
        let set = KeySet::new(&apex(), &keys, 60).unwrap();
        assert_eq!(set.at(NOW + 20).signers(DNSKEY)[0].tag(), keys[0].key.tag());
        assert_eq!(set.at(NOW + 30).signers(DNSKEY)[0].tag(), keys[2].key.tag());
        // Where there never was one, none is missed.
        let set = KeySet::new(&apex(), &[zone_key], 60).unwrap();
        assert_eq!((set.at(NOW).signers(DNSKEY).len(), set.warnings()), (1, &[][..]));
    }

    #[test]
    fn the_zone_above_may_be_asked_to_forget() {
        let keys = [key(Role::SecureEntry, Timing::from(NOW, Role::SecureEntry))];
        let set = KeySet::new(&apex(), &keys, 60).unwrap().withdrawn();
        let records = set.at(NOW).records();
        let of =
            |record_type: u16| &records.iter().find(|set| set.record_type == record_type).unwrap().rdata[..];
        assert_eq!((&of(CDS)[0][..], &of(CDNSKEY)[0][..]), (&[0; 5][..], &[0, 0, 3, 0, 0][..]));
        assert_eq!((records.len(), &of(DNSKEY)[0][..]), (3, &keys[0].key.dnskey()[..]));
    }
}
