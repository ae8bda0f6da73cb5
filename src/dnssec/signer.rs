//! The signer of one zone: RRsets in, RRSIG records out.
//!
//! Whoever answers asks [`ZoneSigner::cached`], which never signs and takes about a microsecond. What is
//! not there goes to [`ZoneSigner::sign`], which takes some tens of them, on a thread whose time that is.
//! A signature whose epoch is over is still given out by `cached` for another epoch, with the wish
//! that it be made again ([`Signatures::renew`]): so no answer waits for what was answered before.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::cache::{Entry, Place, SignatureCache};
use super::key::Key;
pub use super::key::SigningFailed;
use super::key_set::{KeyRecords, KeySet};
use super::signature::ToBeSigned;
pub use super::signature::{Rrsig, Unsigned};
use super::validity::Validity;
use crate::name::Name;

/// What signs one zone. It lives across reloads of the zone's data; keys that changed make another one,
/// [`ZoneSigner::with_keys`].
pub struct ZoneSigner {
    /// In wire form and lower case.
    apex: Box<[u8]>,
    keys: KeySet,
    validity: Validity,
    cache: Arc<SignatureCache>,
}

/// The signatures of an RRset, one for each key that signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// The rdata of the RRSIG records. Their TTL is that of the RRset, their owner the one in the answer.
    pub records: SmallVec<[Rrsig; 1]>,
    /// From then on (seconds since 1970) they should be made again; in the past if that is overdue.
    pub renew: u32,
    /// From then on they must not be served: what is kept of an answer holds until then at most.
    pub until: u32,
}

impl ZoneSigner {
    /// A signer that keeps what it made in `cache`, which zones may share.
    pub fn new(apex: &Name, keys: KeySet, validity: Validity, cache: Arc<SignatureCache>) -> Self {
        Self { apex: apex.lowercase_wire(), keys, validity, cache }
    }

    /// The same signer with other keys. Signatures of keys that both have are kept.
    pub fn with_keys(&self, keys: KeySet) -> Self {
        Self { apex: self.apex.clone(), keys, validity: self.validity, cache: self.cache.clone() }
    }

    /// The apex in wire form and lower case.
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// The keys.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The RRsets that the keys bring to the apex: DNSKEY and, where there are any, CDS and CDNSKEY.
    pub fn key_records(&self, now: u32) -> &[KeyRecords] {
        self.keys.at(now).records()
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<SignatureCache> {
        &self.cache
    }

    /// The signatures of an RRset, if all of them are in the cache. Never signs.
    pub fn cached(&self, set: &Unsigned<'_>, now: u32) -> Option<Signatures> {
        let signed = self.each_key(set, now, |work| {
            // That of the epoch before still holds for long.
            let is_served = |entry: &Entry| entry.epoch == work.epoch || entry.epoch + 1 == work.epoch;
            self.cache.get(work.place).filter(is_served).ok_or(())
        });
        let signed = signed.ok()?;
        self.cache.count_reused(signed.records.len());
        Some(signed)
    }

    /// The signatures of an RRset: those of this epoch that the cache has, the others are made and kept.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn sign(&self, set: &Unsigned<'_>, now: u32) -> Result<Signatures, SigningFailed> {
        self.each_key(set, now, |work| {
            if let Some(entry) = self.cache.get(work.place).filter(|entry| entry.epoch == work.epoch) {
                return Ok(entry);
            }
            work.octets.set_times(self.validity.times(work.phase, work.epoch));
            let entry = Entry { epoch: work.epoch, signature: work.key.sign(work.octets.octets())? };
            self.cache.insert(work.place, entry);
            Ok(entry)
        })
    }

    /// The signatures that `find` finds for each key that signs the RRset.
    fn each_key<E>(
        &self,
        set: &Unsigned<'_>,
        now: u32,
        find: impl Fn(&mut Work<'_>) -> Result<Entry, E>,
    ) -> Result<Signatures, E> {
        let stage = self.keys.at(now);
        let end = stage.end().unwrap_or(u32::MAX);
        let mut signatures = Signatures { records: SmallVec::new(), renew: end, until: end };
        let phase = self.validity.phase(set.owner, set.record_type);
        let epoch = self.validity.epoch(phase, now);
        let mut octets = ToBeSigned::new(set, &self.apex);
        for key in stage.signers(set.record_type) {
            octets.set_key(key.algorithm().number(), key.tag());
            // Epochs of another validity have other numbers.
            let place = self.cache.place(octets.octets(), key.seed() ^ u64::from(self.validity.refresh()));
            let entry = find(&mut Work { key, octets: &mut octets, place, phase, epoch })?;
            let times = self.validity.times(phase, entry.epoch);
            octets.set_times(times);
            signatures.records.push(octets.rrsig(&entry.signature));
            signatures.renew = signatures.renew.min(times.renew);
            signatures.until = signatures.until.min(times.until);
        }
        Ok(signatures)
    }
}

/// One signature that is wanted.
struct Work<'w> {
    key: &'w Key,
    octets: &'w mut ToBeSigned,
    /// Where the cache keeps it.
    place: Place,
    phase: u32,
    /// The epoch of now.
    epoch: u32,
}

impl fmt::Debug for ZoneSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZoneSigner").field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
