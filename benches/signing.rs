//! What signatures cost: processor time of the library's bare sign operation, of a signature made by the signer, and
//! of one found in the cache; and the memory that a full cache holds.
//!
//! ```text
//! cargo bench --bench signing
//! ```
//!
//! The cryptography is what Cargo.toml chooses among hickory-proto's features; docs/dnssec-keys.md has the
//! figures of both. RRsets are the A and NSEC records of names of 34 labels.

mod usage;

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use hickory_proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey, signing_key_from_der};
use hickory_proto::dnssec::{self, SigningKey, TBS};
use nibbl::dnssec::cache::SignatureCache;
use nibbl::dnssec::key::{Algorithm, Key, Role};
use nibbl::dnssec::key_set::{KeySet, TimedKey, Timing};
use nibbl::dnssec::nsec;
use nibbl::dnssec::record_type::NSEC;
use nibbl::dnssec::signer::{Unsigned, ZoneSigner};
use nibbl::dnssec::validity::Validity;
use nibbl::name::Name;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const A: u16 = 1;
const NOW: u32 = 1_800_000_000;
/// How often each operation is done.
const TIMES: u32 = 20_000;
/// The size of the cache that is filled.
const CACHE_OCTETS: usize = 32 << 20;

fn main() {
    if usage::is_asked(include_str!("signing.rs")) {
        return;
    }
    let apex = Name::from_text(b"bl.example").expect("a short name");
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let bare = bare(algorithm);
        let message = TBS::from(&[7; 200][..]);
        report(algorithm, "bare", TIMES, |_| drop(black_box(bare.sign(&message))));
        let signer = signer(&apex, algorithm, CACHE_OCTETS);
        for (what, record_type) in [("A", A), ("NSEC", NSEC)] {
            report(algorithm, &format!("{what}, made"), TIMES, |number| {
                with_set(&apex, record_type, number, |set| drop(black_box(signer.sign(set, NOW))));
            });
            report(algorithm, &format!("{what}, cached"), TIMES, |number| {
                with_set(&apex, record_type, number, |set| {
                    assert!(black_box(signer.cached(set, NOW)).is_some());
                });
            });
        }
        report(algorithm, "RRset alone", TIMES, |number| {
            with_set(&apex, NSEC, number, |set| _ = black_box(set));
        });
    }
    fill(&apex);
}

/// What the library does, and nothing else.
fn bare(algorithm: Algorithm) -> Box<dyn SigningKey> {
    let (der, number) = match algorithm {
        Algorithm::EcdsaP256Sha256 => {
            let number = dnssec::Algorithm::ECDSAP256SHA256;
            (EcdsaSigningKey::generate_pkcs8(number), number)
        }
        Algorithm::Ed25519 => (Ed25519SigningKey::generate_pkcs8(), dnssec::Algorithm::ED25519),
    };
    signing_key_from_der(&der.expect("random numbers").into(), number).expect("a new key")
}

fn signer(apex: &Name, algorithm: Algorithm, octets: usize) -> ZoneSigner {
    let role = Role::SecureEntry;
    let key = Key::generate(algorithm, role).expect("random numbers").into();
    let keys = KeySet::new(apex, &[TimedKey { key, timing: Timing::from(NOW, role) }], KeySet::DEFAULT_TTL);
    let cache = SignatureCache::new(octets).into();
    ZoneSigner::new(apex, keys.expect("an active key"), Validity::default(), cache)
}

/// An RRset of the name of a number.
fn with_set(apex: &Name, record_type: u16, number: u32, work: impl FnOnce(&Unsigned<'_>)) {
    let mut owner = Vec::with_capacity(80);
    for nibble in 0..32 {
        owner.extend([1, b"0123456789abcdef"[(number >> (nibble % 8 * 4)) as usize & 15]]);
    }
    owner.extend_from_slice(apex.wire());
    let rdata = match record_type {
        NSEC => nsec::rdata(&owner, [A, 16]),
        _ => vec![127, 0, 0, 2],
    };
    work(&Unsigned { owner: &owner, record_type, ttl: 2100, rdata: &[Cow::Owned(rdata)] });
}

/// Processor time of one operation on average.
fn report(algorithm: Algorithm, what: &str, times: u32, mut work: impl FnMut(u32)) {
    let before = processor_time();
    (0..times).for_each(&mut work);
    let each = (processor_time() - before).as_secs_f64() / f64::from(times);
    println!("{:16} {what:14} {:8.2} µs {:10.0} a second", algorithm.name(), each * 1e6, 1.0 / each);
}

/// Fills a cache more than once.
fn fill(apex: &Name) {
    let before = MEMORY.current_usage();
    let signer = signer(apex, Algorithm::EcdsaP256Sha256, CACHE_OCTETS);
    let most = (CACHE_OCTETS / 80) as u32;
    for number in 0..most {
        with_set(apex, A, number, |set| drop(black_box(signer.sign(set, NOW))));
    }
    let used = MEMORY.current_usage() - before;
    let (held, counted) = (signer.cache().len(), signer.cache().octets());
    println!(
        "cache of {CACHE_OCTETS} octets after {most} signatures: {held} held, {used} octets ({:.0} each), counted as {counted}",
        used as f64 / held as f64
    );
}

/// The processor time of this thread: others on the machine do not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
