//! Signatures that were made, bounded in octets.
//!
//! An entry is found by a hash of what was signed and of the key: it knows nothing of zones and
//! snapshots, so that a reload keeps every signature whose records did not change, and what has changed is simply
//! not found. What cannot be found any more leaves when its room is needed. Both algorithms make
//! signatures of 64 octets: the entries are of one size, and nothing is allocated for them.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quick_cache::sync::Cache;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Octets of a signature, in both algorithms (RFC 6605, section 4; RFC 8080, section 4).
pub const SIGNATURE_OCTETS: usize = 64;

/// What an entry takes in memory, its place in the index of the cache included.
const ENTRY_OCTETS: usize = 160;

/// A bounded cache of signatures, shared by all zones of a server. Safe to use from many threads.
pub struct SignatureCache {
    signatures: Cache<u128, Entry>,
    /// Random, so that nobody can make data whose hash is that of other data.
    seed: u64,
    made: AtomicU64,
}

/// A signature and the epoch that it was made for.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) epoch: u32,
    pub(super) signature: [u8; SIGNATURE_OCTETS],
}

impl SignatureCache {
    /// An empty cache that takes about `octets` of memory when it is full.
    pub fn new(octets: usize) -> Self {
        Self {
            signatures: Cache::new((octets / ENTRY_OCTETS).max(1)),
            seed: RandomState::new().hash_one(0),
            made: AtomicU64::new(0),
        }
    }

    /// How many signatures it holds.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// About how many octets they take.
    pub fn octets(&self) -> usize {
        self.len() * ENTRY_OCTETS
    }

    /// How many signatures were made since the start.
    pub fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Where the signature of these octets by a key is kept; see `Key::seed`.
    pub(super) fn place(&self, octets: &[u8], key: u64) -> u128 {
        xxh3_128_with_seed(octets, self.seed ^ key)
    }

    pub(super) fn get(&self, place: u128) -> Option<Entry> {
        self.signatures.get(&place)
    }

    pub(super) fn insert(&self, place: u128, entry: Entry) {
        self.made.fetch_add(1, Relaxed);
        self.signatures.insert(place, entry);
    }
}

impl std::fmt::Debug for SignatureCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignatureCache").field("len", &self.len()).finish_non_exhaustive()
    }
}
