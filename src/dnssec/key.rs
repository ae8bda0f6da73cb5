//! One key: what it is, what it says in the DNS, and how it signs.
//!
//! The cryptography is hickory-proto's. It takes private keys as PKCS #8, BIND's files have the bare number: the
//! few fixed octets between the two are here.

use std::fmt;

use hickory_proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey, signing_key_from_der};
use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::dnssec::{self, DigestType, PublicKeyBuf, TBS};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use xxhash_rust::xxh3::xxh3_64;

use super::cache::SIGNATURE_OCTETS;
use crate::name::Name;

/// The algorithms of RFC 8624, section 3.1, that one should sign with today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 13 (RFC 6605): what all resolvers know.
    EcdsaP256Sha256,
    /// 15 (RFC 8080).
    Ed25519,
}

impl Algorithm {
    /// The number of the algorithm in the registry of DNSSEC.
    pub fn number(self) -> u8 {
        match self {
            Self::EcdsaP256Sha256 => 13,
            Self::Ed25519 => 15,
        }
    }

    /// The algorithm of a number, if it is one of these.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::EcdsaP256Sha256, Self::Ed25519].into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// The name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ECDSAP256SHA256",
            Self::Ed25519 => "ED25519",
        }
    }

    /// Octets of the public key.
    fn public_octets(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 64,
            Self::Ed25519 => 32,
        }
    }

    fn hickory(self) -> dnssec::Algorithm {
        match self {
            Self::EcdsaP256Sha256 => dnssec::Algorithm::ECDSAP256SHA256,
            Self::Ed25519 => dnssec::Algorithm::ED25519,
        }
    }
}

/// What the keys of a zone are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The zone above has its digest (the flag SEP is set): it signs the keys, and where there is no other
    /// key all the rest too.
    SecureEntry,
    /// It signs all but the keys.
    Zone,
}

/// The octets of a bare private key, in both algorithms.
pub const PRIVATE_OCTETS: usize = 32;

/// A key pair.
pub struct Key {
    role: Role,
    algorithm: Algorithm,
    public: Vec<u8>,
    private: [u8; PRIVATE_OCTETS],
    signing: Box<dyn dnssec::SigningKey>,
    tag: u16,
}

/// Why there is no key. Says nothing of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The public key is of another length than the algorithm's.
    #[error("the public key of algorithm {} has {} octets", .0.name(), .0.public_octets())]
    PublicLength(Algorithm),
    /// The private and the public key do not belong together, or one is out of range.
    #[error("the private key does not belong to the public key")]
    Mismatch,
    /// The system has no random numbers.
    #[error("no key could be made: the system gives no random numbers")]
    NoRandom,
}

/// The system gives no random numbers, which ECDSA needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: the system gives no random numbers")]
pub struct SigningFailed;

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn generate(algorithm: Algorithm, role: Role) -> Result<Self, KeyError> {
        let der = match algorithm {
            Algorithm::EcdsaP256Sha256 => EcdsaSigningKey::generate_pkcs8(algorithm.hickory()),
            Algorithm::Ed25519 => Ed25519SigningKey::generate_pkcs8(),
        };
        let der = der.map_err(|_| KeyError::NoRandom)?;
        let octets = der.secret_pkcs8_der().to_vec();
        let signing = signing_key_from_der(&PrivateKeyDer::from(der), algorithm.hickory())
            .map_err(|_| KeyError::Mismatch)?;
        let public = signing.to_public_key().map_err(|_| KeyError::Mismatch)?.into_inner();
        let (before, _) = pkcs8(algorithm);
        let private = octets.get(before.len()..).and_then(|rest| rest.first_chunk::<PRIVATE_OCTETS>());
        Self::new(algorithm, role, public, private.ok_or(KeyError::Mismatch)?)
    }

    /// The key of a file.
    ///
    /// # Errors
    /// The parts are no key, or do not belong together.
    pub fn new(
        algorithm: Algorithm,
        role: Role,
        public: Vec<u8>,
        private: &[u8; PRIVATE_OCTETS],
    ) -> Result<Self, KeyError> {
        if public.len() != algorithm.public_octets() {
            return Err(KeyError::PublicLength(algorithm));
        }
        let (before, between) = pkcs8(algorithm);
        let der = PrivatePkcs8KeyDer::from([before, private, between, &public].concat());
        let signing = signing_key_from_der(&PrivateKeyDer::from(der), algorithm.hickory())
            .map_err(|_| KeyError::Mismatch)?;
        let mut key = Self { role, algorithm, public, private: *private, signing, tag: 0 };
        key.tag = tag(&key.dnskey());
        Ok(key)
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key tag: a short name, which other keys may have too (RFC 4034, appendix B).
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// The public key, without the flags.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The bare private key.
    pub(crate) fn private(&self) -> &[u8; PRIVATE_OCTETS] {
        &self.private
    }

    /// The flags of the DNSKEY record (RFC 4034, section 2.1.1).
    pub fn flags(&self) -> u16 {
        match self.role {
            Role::SecureEntry => 257,
            Role::Zone => 256,
        }
    }

    /// The rdata of the DNSKEY record.
    pub fn dnskey(&self) -> Vec<u8> {
        const PROTOCOL: u8 = 3;
        let mut rdata = self.flags().to_be_bytes().to_vec();
        rdata.extend([PROTOCOL, self.algorithm.number()]);
        rdata.extend_from_slice(&self.public);
        rdata
    }

    /// The rdata of the DS record with a SHA-256 digest (RFC 4509) that the zone above is to have.
    pub fn ds(&self, apex: &Name) -> Vec<u8> {
        const SHA256: u8 = 2;
        let public = PublicKeyBuf::new(self.public.clone(), self.algorithm.hickory());
        let owner = hickory_proto::rr::Name::from_labels(apex.labels()).unwrap_or_default();
        let digest = DNSKEY::with_flags(self.flags(), public).to_digest(&owner, DigestType::SHA256);
        let mut rdata = self.tag.to_be_bytes().to_vec();
        rdata.extend([self.algorithm.number(), SHA256]);
        rdata.extend(digest.iter().flat_map(|digest| digest.as_ref()));
        rdata
    }

    /// A number of which two keys differ even if they have the same tag.
    pub(super) fn seed(&self) -> u64 {
        xxh3_64(&self.public)
    }

    /// Signs octets.
    pub(super) fn sign(&self, octets: &[u8]) -> Result<[u8; SIGNATURE_OCTETS], SigningFailed> {
        let signature = self.signing.sign(&TBS::from(octets)).map_err(|_| SigningFailed)?;
        signature.try_into().map_err(|_| SigningFailed)
    }
}

/// Without anything of the private key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("role", &self.role)
            .field("algorithm", &self.algorithm)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// The key tag of the rdata of a DNSKEY record (RFC 4034, appendix B).
fn tag(rdata: &[u8]) -> u16 {
    let sum: u32 = rdata
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    (sum + (sum >> 16)) as u16
}

/// The octets of a PKCS #8 document (RFC 5958) before the private key, and between it and the public key.
fn pkcs8(algorithm: Algorithm) -> (&'static [u8], &'static [u8]) {
    match algorithm {
        // id-ecPublicKey, prime256v1, an ECPrivateKey (RFC 5915) with an uncompressed point
        Algorithm::EcdsaP256Sha256 => (
            b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\
              \x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20",
            b"\xa1\x44\x03\x42\x00\x04",
        ),
        // id-Ed25519, version 2, which has the public key (RFC 8410, section 7)
        Algorithm::Ed25519 => (
            b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
            b"\x81\x21\x00",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_new_key_make_the_same_key() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
            let key = Key::generate(algorithm, Role::SecureEntry).unwrap();
            let again = Key::new(algorithm, Role::SecureEntry, key.public().to_vec(), key.private()).unwrap();
            assert_eq!((key.dnskey(), key.tag()), (again.dnskey(), again.tag()));
            let other = Key::generate(algorithm, Role::Zone).unwrap();
            let mixed = Key::new(algorithm, Role::Zone, other.public().to_vec(), key.private());
            assert_eq!(mixed.unwrap_err(), KeyError::Mismatch);
            let short = Key::new(algorithm, Role::Zone, vec![0; 31], key.private());
            assert_eq!(short.unwrap_err(), KeyError::PublicLength(algorithm));
            assert!(!format!("{key:?}").contains("private"));
        }
    }
}
