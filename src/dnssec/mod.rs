//! Signed zones: keys, signatures and NSEC records (RFC 4033 to 4035).
//!
//! Everything here works on RRsets in wire form and on a clock that is a number: which records a zone has is
//! the affair of `virtual_zone`, when signatures are made that of the server. Keys stand in BIND's files, so
//! that its tools work on them and a zone can move in and out with its keys.
//!
//! NSEC3 is not offered: its hashes part the neighbours whose gap a resolver needs to answer a whole prefix
//! from its cache (BIND never does so with NSEC3), names of 34 labels cost a resolver a hash for each, and
//! what it would hide, a list that answers every question about itself, is no secret.
//!
//! ```text
//! key_file ──read──▶ keys ──▶ key_set: which keys are published and which sign, from when on
//!                                 │
//! RRset ──signature: canonical form──▶ signer ──▶ RRSIG
//!              validity: a rounded clock ──┘ └── cache
//! ```

pub mod cache;
pub mod key;
pub mod key_file;
pub mod key_set;
pub mod nsec;
pub mod rollover;
pub mod signature;
pub mod signer;
pub mod time_text;
pub mod validity;

/// The type codes of DNSSEC.
pub mod record_type {
    /// The digest of a key of a zone below (RFC 4034, section 5).
    pub const DS: u16 = 43;
    /// A signature (RFC 4034, section 3).
    pub const RRSIG: u16 = 46;
    /// The gap between two names (RFC 4034, section 4).
    pub const NSEC: u16 = 47;
    /// A public key (RFC 4034, section 2).
    pub const DNSKEY: u16 = 48;
    /// The DS records that the zone above should have (RFC 7344).
    pub const CDS: u16 = 59;
    /// The keys that the zone above should make DS records of (RFC 7344).
    pub const CDNSKEY: u16 = 60;
}
