//! A zone signed as a whole: each name of the virtual zone with its NSEC record and the signatures of all it owns
//! (RFC 4035, section 2), as the server gives them one by one.

use std::borrow::Cow;
use std::num::NonZero;
use std::thread;

use smallvec::smallvec;

use crate::dnssec::nsec;
use crate::dnssec::record_type::{DS, NSEC, RRSIG};
use crate::dnssec::signer::{SigningFailed, Unsigned, ZoneSigner};
use crate::name::key_wire;
use crate::virtual_zone::VirtualName;
use crate::zone::{EmptyNonTerminals, RecordSet, RecordSets};

const NS: u16 = 2;

/// Names that are signed at one time: enough work for all processors, and little memory.
const BATCH: usize = 4096;

/// How a zone is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'s> {
    /// What signs it.
    pub signer: &'s ZoneSigner,
    /// What empty non-terminals have.
    pub empty_non_terminals: EmptyNonTerminals,
    /// Seconds since 1970.
    pub now: u32,
    /// The TTL of NSEC records.
    pub nsec_ttl: u32,
}

impl Signing<'_> {
    /// Signs names in canonical order, the apex first, and hands them to `write`.
    pub(super) fn each<'z, E: From<SigningFailed>>(
        &self,
        names: impl Iterator<Item = VirtualName<'z>>,
        mut write: impl FnMut(VirtualName<'z>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut names = names.peekable();
        loop {
            let batch: Vec<_> = names.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            // After the last name comes the apex.
            let after = names.peek().map(|name| name.key.clone()).unwrap_or_default();
            for name in self.batch(batch, after)? {
                write(name)?;
            }
        }
    }

    /// Signs names on all processors; `after` is the name after the last.
    fn batch<'z>(
        &self,
        names: Vec<VirtualName<'z>>,
        after: Vec<u8>,
    ) -> Result<Vec<VirtualName<'z>>, SigningFailed> {
        let keys: Vec<Vec<u8>> = names.iter().map(|name| name.key.clone()).skip(1).chain([after]).collect();
        let mut work: Vec<_> = names.into_iter().zip(keys).collect();
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = work.len().div_ceil(threads);
        thread::scope(|scope| {
            let mut threads = Vec::new();
            while !work.is_empty() {
                let part = work.split_off(work.len().saturating_sub(share));
                threads.push(scope.spawn(move || {
                    part.into_iter().map(|(name, next)| self.sign(name, &next)).collect::<Result<Vec<_>, _>>()
                }));
            }
            // The first names were split off last.
            let parts = threads.into_iter().rev().map(|part| match part.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        })
    }

    /// A name with all that signing adds.
    fn sign<'z>(&self, name: VirtualName<'z>, next: &[u8]) -> Result<VirtualName<'z>, SigningFailed> {
        let VirtualName { key, mut records } = name;
        let apex = self.signer.apex();
        let owner = key_wire(&key, apex);
        if key.is_empty() {
            records.extend(self.signer.key_records(self.now).iter().map(|set| RecordSet {
                record_type: set.record_type,
                ttl: set.ttl,
                rdata: set.rdata.iter().cloned().collect(),
            }));
        }
        let types = records.iter().map(|set| set.record_type);
        let nsec = nsec::rdata(&key_wire(next, apex), types);
        // At a zone cut only the DS and NSEC records are this zone's own (RFC 4035, section 2.2).
        let is_cut = !key.is_empty() && records.iter().any(|set| set.record_type == NS);
        records.push(RecordSet { record_type: NSEC, ttl: self.nsec_ttl, rdata: smallvec![Cow::Owned(nsec)] });
        let mut all = RecordSets::new();
        for set in records {
            let is_own = !is_cut || [DS, NSEC].contains(&set.record_type);
            let signatures = if is_own { Some(self.signatures(&owner, &set)?) } else { None };
            all.push(set);
            all.extend(signatures);
        }
        Ok(VirtualName { key, records: all })
    }

    fn signatures<'z>(&self, owner: &[u8], set: &RecordSet<'z>) -> Result<RecordSet<'z>, SigningFailed> {
        let unsigned = Unsigned { owner, record_type: set.record_type, ttl: set.ttl, rdata: &set.rdata };
        let signatures = self.signer.sign(&unsigned, self.now)?;
        let rdata = signatures.records.into_iter().map(|rdata| Cow::Owned(rdata.to_vec()));
        Ok(RecordSet { record_type: RRSIG, ttl: set.ttl, rdata: rdata.collect() })
    }
}
