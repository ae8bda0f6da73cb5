//! The octets that an RRSIG signs (RFC 4034, sections 3.1.8 and 6), and its rdata.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::validity::Times;
use crate::name::labels;

const IN: u16 = 1;

/// An RRset that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The owner in wire form and lower case; what a wildcard answers is signed at the wildcard's own name.
    pub owner: &'a [u8],
    /// The type code.
    pub record_type: u16,
    /// The TTL of the data in seconds. Answers may have a lower one.
    pub ttl: u32,
    /// The rdata of each record, in wire form without compression.
    pub rdata: &'a [Cow<'a, [u8]>],
}

/// Rdata of an RRSIG record in wire form.
pub type Rrsig = SmallVec<[u8; 128]>;

/// Octets of an RRSIG's rdata before the signer's name.
const FIXED: usize = 18;

/// What is signed: the rdata of the RRSIG but for the signature, then the records in canonical form and order.
/// The fields of the key and the times are filled in for each signature.
pub(super) struct ToBeSigned {
    octets: SmallVec<[u8; 512]>,
    /// Octets of the RRSIG's part.
    head: usize,
}

impl ToBeSigned {
    pub(super) fn new(set: &Unsigned<'_>, apex: &[u8]) -> Self {
        let mut octets: SmallVec<[u8; 512]> = SmallVec::new();
        let labels = labels(set.owner).enumerate().filter(|&(index, label)| index > 0 || label != b"*");
        let labels = labels.count() as u8;
        octets.extend_from_slice(&set.record_type.to_be_bytes());
        octets.extend_from_slice(&[0, labels]);
        octets.extend_from_slice(&set.ttl.to_be_bytes());
        octets.resize(FIXED, 0);
        octets.extend_from_slice(apex);
        let head = octets.len();
        let mut rdata: SmallVec<[Cow<'_, [u8]>; 4]> =
            set.rdata.iter().map(|rdata| canonical(set.record_type, rdata)).collect();
        rdata.sort_unstable();
        rdata.dedup();
        for rdata in &rdata {
            octets.extend_from_slice(set.owner);
            octets.extend_from_slice(&set.record_type.to_be_bytes());
            octets.extend_from_slice(&IN.to_be_bytes());
            octets.extend_from_slice(&set.ttl.to_be_bytes());
            octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            octets.extend_from_slice(rdata);
        }
        Self { octets, head }
    }

    pub(super) fn set_key(&mut self, algorithm: u8, tag: u16) {
        self.octets[2] = algorithm;
        self.octets[16..18].copy_from_slice(&tag.to_be_bytes());
        // The fields of the times are part of what the cache is keyed by.
        self.octets[8..16].fill(0);
    }

    pub(super) fn set_times(&mut self, times: Times) {
        self.octets[8..12].copy_from_slice(&times.expiration.to_be_bytes());
        self.octets[12..16].copy_from_slice(&times.inception.to_be_bytes());
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The rdata of the RRSIG.
    pub(super) fn rrsig(&self, signature: &[u8]) -> Rrsig {
        let mut rdata = Rrsig::from_slice(&self.octets[..self.head]);
        rdata.extend_from_slice(signature);
        rdata
    }
}

/// Rdata in canonical form: names in lower case, in the types of RFC 4034, section 6.2, as amended by RFC 6840,
/// section 5.1. (Of these A6 and SIG, which nobody signs, are left out.)
fn canonical(record_type: u16, rdata: &[u8]) -> Cow<'_, [u8]> {
    // Octets before the first name, and how many names there are.
    let (before, names) = match record_type {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => (0, 1),
        // SOA, MINFO, RP
        6 | 14 | 17 => (0, 2),
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => (2, 1),
        // PX
        26 => (2, 2),
        // SRV
        33 => (6, 1),
        // NAPTR: two numbers and three strings
        35 => {
            let strings = (0..3).fold(4, |at, _| at + 1 + usize::from(rdata.get(at).copied().unwrap_or(0)));
            (strings, 1)
        }
        _ => return Cow::Borrowed(rdata),
    };
    let Some(rest) = rdata.get(before..) else { return Cow::Borrowed(rdata) };
    let mut end = before;
    for _ in 0..names {
        let name = rest.get(end - before..).unwrap_or_default();
        end += labels(name).map(|label| label.len() + 1).sum::<usize>() + 1;
    }
    let end = end.min(rdata.len());
    if !rdata[before..end].iter().any(u8::is_ascii_uppercase) {
        return Cow::Borrowed(rdata);
    }
    let mut rdata = rdata.to_vec();
    // A length octet is at most 63, and so no letter.
    rdata[before..end].make_ascii_lowercase();
    Cow::Owned(rdata)
}
