//! Rollovers before a resolver that has kept anything for as long as it may.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::dnssec::key::Algorithm;
use crate::dnssec::key_set::KeySet;
use crate::dnssec::record_type::{CDS, DNSKEY};
use crate::name::Name;

const NOW: u32 = 1_800_000_000;
const A: u16 = 1;

fn key(role: Role, timing: Timing) -> TimedKey {
    TimedKey { key: Key::generate(Algorithm::Ed25519, role).unwrap().into(), timing }
}

fn apply(keys: &mut Vec<TimedKey>, step: Step) {
    for (index, timing) in step.changes {
        keys[index].timing = timing;
    }
    if let Some((follows, timing)) = step.successor {
        keys.push(key(keys[follows].key.role(), timing));
    }
}

/// All that happens to a zone: its key files and its DS records over time.
#[derive(Default)]
struct World {
    /// From when on which files are written, in order.
    files: Vec<(u32, KeySet)>,
    /// From when on the zone above has which DS records (by key tag), in order.
    ds: Vec<(u32, Vec<u16>)>,
    waits: Option<Waits>,
}

fn at<T>(history: &[(u32, T)], time: u32) -> &T {
    let after = history.partition_point(|(begin, _)| *begin <= time);
    &history[after.saturating_sub(1)].1
}

impl World {
    fn write(&mut self, time: u32, keys: &[TimedKey]) {
        let apex = Name::from_text(b"bl.example").unwrap();
        self.files.push((time, KeySet::new(&apex, keys, 1).unwrap()));
    }

    /// What a server says at `time` of its keys that has files of `lag` seconds ago: the published tags, those that
    /// sign the keys, and those that sign the rest.
    fn server(&self, time: u32, lag: u32) -> [Vec<u16>; 3] {
        let stage = at(&self.files, time - lag).at(time);
        let dnskeys = &stage.records()[0];
        assert_eq!(dnskeys.record_type, DNSKEY);
        let tags = |keys: &[Arc<Key>]| keys.iter().map(|key| key.tag()).collect::<Vec<_>>();
        let all: Vec<u16> = dnskeys.rdata.iter().map(|rdata| tag_of(rdata)).collect();
        [all, tags(stage.signers(DNSKEY)), tags(stage.signers(A))]
    }

    /// Panics if a resolver could hold records at `now` that do not fit together.
    fn check(&self, now: u32) {
        let waits = self.waits.unwrap();
        let lags = [0, waits.propagation.saturating_sub(1)];
        let ages = |ttl: u32| [0, ttl - 1];
        for (key_age, data_age, ds_age) in
            all_of(ages(waits.dnskey_ttl), ages(waits.greatest_ttl), ages(waits.ds_ttl))
        {
            for (key_lag, data_lag) in lags.into_iter().flat_map(|a| lags.map(|b| (a, b))) {
                let [published, key_signers, _] = self.server(now - key_age, key_lag);
                let [.., zone_signers] = self.server(now - data_age, data_lag);
                let ds = at(&self.ds, now - ds_age);
                let trusted = key_signers.iter().any(|tag| ds.contains(tag) && published.contains(tag));
                assert!(trusted, "{now}: DNSKEY of {published:?} by {key_signers:?}, DS {ds:?}");
                let valid = zone_signers.iter().any(|tag| published.contains(tag));
                assert!(valid, "{now}: data by {zone_signers:?}, DNSKEY {published:?}");
            }
        }
    }

    /// Checks around every moment at which anything changes or is forgotten.
    fn check_all(&self) {
        let waits = self.waits.unwrap();
        let stages = self.files.iter().flat_map(|(time, keys)| {
            let ends = std::iter::successors(keys.at(NOW - 1).end(), |end| keys.at(*end).end());
            ends.chain([*time]).collect::<Vec<_>>()
        });
        let changes: Vec<u32> = stages.chain(self.ds.iter().map(|(time, _)| *time)).collect();
        for change in changes.into_iter().filter(|change| *change >= NOW - 1) {
            for wait in [0, waits.dnskey_ttl, waits.greatest_ttl, waits.ds_ttl] {
                for more in [0, waits.propagation] {
                    let time = change + wait + more;
                    [time - 1, time].into_iter().for_each(|time| self.check(time));
                }
            }
        }
    }
}

fn all_of(a: [u32; 2], b: [u32; 2], c: [u32; 2]) -> impl Iterator<Item = (u32, u32, u32)> {
    a.into_iter().flat_map(move |a| b.into_iter().flat_map(move |b| c.map(|c| (a, b, c))))
}

fn tag_of(dnskey: &[u8]) -> u16 {
    let sum: u32 =
        dnskey.iter().enumerate().map(|(index, octet)| u32::from(*octet) << (8 * (1 - index % 2))).sum();
    (sum + (sum >> 16)) as u16
}

fn waits() -> impl Strategy<Value = Waits> {
    let wait = || prop::sample::select(vec![1u32, 60, 3600, 86_400, 200_000]);
    (wait(), wait(), wait(), wait()).prop_map(|(dnskey_ttl, greatest_ttl, ds_ttl, propagation)| Waits {
        dnskey_ttl,
        greatest_ttl,
        ds_ttl,
        propagation,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_resolver_is_ever_at_a_loss(waits in waits(), split: bool, patience in 0u32..300_000) {
        let old = Timing::from(NOW - 1_000_000, Role::SecureEntry);
        let mut keys = vec![key(Role::SecureEntry, old)];
        if split {
            keys.push(key(Role::Zone, Timing { sync_publish: None, ..old }));
        }
        let mut world = World { waits: Some(waits), ..World::default() };
        world.write(NOW - 1_000_000, &keys);
        world.ds.push((NOW - 1_000_000, vec![keys[0].key.tag()]));
        if split {
            let step = begin(&keys, Role::Zone, NOW, &waits).unwrap();
            apply(&mut keys, step);
            world.write(NOW, &keys);
            prop_assert!(begin(&keys, Role::Zone, NOW + 1, &waits).is_err());
        }
        // In the middle of it the key that the zone above knows is replaced, too.
        let begun = NOW + patience / 7;
        let step = begin(&keys, Role::SecureEntry, begun, &waits).unwrap();
        apply(&mut keys, step);
        world.write(begun, &keys);
        prop_assert!(begin(&keys, Role::SecureEntry, begun + 1, &waits).is_err());
        let new = keys.last().unwrap().key.tag();
        world.ds.push((begun + patience, vec![keys[0].key.tag(), new]));
        let step = ds_seen(&keys, begun + patience, &waits).unwrap();
        apply(&mut keys, step);
        world.write(begun + patience, &keys);
        prop_assert!(ds_seen(&keys, begun + patience, &waits).is_err());
        // The zone above follows the CDS RRset at once.
        let removed = keys[0].timing.sync_delete.unwrap();
        let last = &world.files.last().unwrap().1;
        let cds = |time: u32| last.at(time).records().iter().find(|set| set.record_type == CDS).unwrap().rdata.len();
        prop_assert_eq!((cds(removed - 1), cds(removed)), (2, 1));
        world.ds.push((removed, vec![new]));
        world.check_all();
        let end = world.server(u32::MAX - 1, 0);
        prop_assert!(end[1] == [new] && end[0].len() == 1 + usize::from(split));
    }
}

#[test]
fn what_cannot_begin() {
    let waits = Waits { dnskey_ttl: 1, greatest_ttl: 1, ds_ttl: 1, propagation: 1 };
    let active = Timing::from(NOW, Role::SecureEntry);
    let keys = [key(Role::SecureEntry, active), key(Role::SecureEntry, active)];
    let error = |keys: &[TimedKey], role| begin(keys, role, NOW, &waits).unwrap_err().to_string();
    assert!(error(&keys, Role::SecureEntry).starts_with("several keys"));
    assert_eq!(error(&keys, Role::Zone), "no zone-signing key signs now");
    let ends = [key(Role::SecureEntry, Timing { inactive: Some(NOW + 5), ..active })];
    assert!(error(&ends, Role::SecureEntry).ends_with("has an end already"));
    assert_eq!(ds_seen(&keys, NOW, &waits), Err(RolloverError::NoneWaits));
    // A key that BIND made without CDS gets one.
    let unsynced = [key(Role::SecureEntry, Timing { sync_publish: None, ..active })];
    let step = begin(&unsynced, Role::SecureEntry, NOW, &waits).unwrap();
    assert_eq!(step.changes, [(0, active)]);
}
