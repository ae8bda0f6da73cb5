//! What follows the answer section in every reply of a zone, encoded once: the SOA of negative
//! answers, NS and glue of positive ones where answers are not minimal. Only the pointers into the
//! question differ from reply to reply.

use super::exchange::Buffer;
use super::nibbles;
use crate::name::labels;
use crate::snapshot::Glue;
use crate::wire::{HEADER_OCTETS, class};
use crate::zone::RecordSet;

/// Encoded records, and where their pointers are.
#[derive(Debug)]
pub(super) struct Tail {
    /// The first octets, all of them in most tails, so that a copy has a known length. The pointers are those of
    /// questions for IPv6 addresses, in all of which the apex begins at [`APEX_V6`].
    start: [u8; COPIED],
    /// The others.
    rest: Box<[u8]>,
    len: usize,
    pointers: Vec<Pointer>,
    /// The counts of the header of a reply that has no other records.
    pub(super) counts: u64,
}

/// The counts of a header (RFC 1035, section 4.1.1) as one number, with nothing but a question.
pub(super) const ONE_QUESTION: u64 = 1 << 48;

/// Where the apex begins in a question for an IPv6 address.
const APEX_V6: usize = HEADER_OCTETS + nibbles::OCTETS;

/// Octets that are always copied: an SOA with names of usual length.
pub(super) const COPIED: usize = 96;

/// A compression pointer (RFC 1035, section 4.1.4) into the apex in the question.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    /// Where it stands in the tail.
    at: usize,
    /// How far behind the beginning of the apex it points.
    offset: usize,
}

impl Pointer {
    /// The pointer where the apex begins at a place.
    fn octets(self, apex: usize) -> [u8; 2] {
        (0xc000 | (apex + self.offset) as u16).to_be_bytes()
    }
}

impl Tail {
    /// The SOA.
    pub(super) fn negative(soa: &RecordSet<'_>) -> Self {
        let mut records = Records::default();
        let authorities = records.add(&[], Some(0), soa);
        Self::new(records, authorities, 0)
    }

    /// NS of the apex, and the addresses of the name servers. `None` where a name server is named
    /// like an address in the zone: how that is compressed depends on the question.
    pub(super) fn positive(apex: &[u8], name_servers: &RecordSet<'_>, glue: &[Glue]) -> Option<Self> {
        let mut records = Records::default();
        let authorities = records.add(&[], Some(0), name_servers);
        let mut additionals = 0;
        for Glue { owner, records: set } in glue {
            let (own, offset) = compress(owner, apex);
            if offset == Some(0) && labels(own).last().is_some_and(super::view::is_digits) {
                return None;
            }
            additionals += records.add(own, offset, set);
        }
        Some(Self::new(records, authorities, additionals))
    }

    /// Nothing.
    pub(super) fn none() -> Self {
        Self::new(Records::default(), 0, 0)
    }

    fn new(Records { octets, pointers }: Records, authorities: u16, additionals: u16) -> Self {
        let mut start = [0; COPIED];
        let (first, rest) = octets.split_at(octets.len().min(COPIED));
        start[..first.len()].copy_from_slice(first);
        let counts = ONE_QUESTION | u64::from(authorities) << 16 | u64::from(additionals);
        Self { start, rest: rest.into(), len: octets.len(), pointers, counts }
    }

    /// Octets of the records.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the records at a place of a reply in which the apex begins at `apex`; what is behind them there
    /// is lost. Nothing is written where the room does not suffice for that.
    #[inline(always)]
    pub(super) fn write(&self, buffer: &mut Buffer, at: usize, apex: usize) {
        if self.len == 0 {
            return;
        }
        if let Some(place) = buffer.get_mut(at..at + COPIED) {
            place.copy_from_slice(&self.start);
        }
        if apex != APEX_V6 || !self.rest.is_empty() {
            self.complete(buffer, at, apex);
        }
    }

    /// Writes what is not in every tail, or not at its place.
    #[inline(never)]
    fn complete(&self, buffer: &mut Buffer, at: usize, apex: usize) {
        if let Some(place) = buffer.get_mut(at + COPIED..at + COPIED + self.rest.len()) {
            place.copy_from_slice(&self.rest);
        }
        for pointer in &self.pointers {
            if let Some(place) = buffer.get_mut(at + pointer.at..at + pointer.at + 2) {
                place.copy_from_slice(&pointer.octets(apex));
            }
        }
    }
}

/// Records while they are encoded.
#[derive(Default)]
struct Records {
    octets: Vec<u8>,
    pointers: Vec<Pointer>,
}

impl Records {
    /// Adds an RRset owned by labels and what they point to; tells how many records it has.
    fn add(&mut self, own: &[u8], offset: Option<usize>, set: &RecordSet<'_>) -> u16 {
        for rdata in &set.rdata {
            self.octets.extend_from_slice(own);
            if let Some(offset) = offset {
                let pointer = Pointer { at: self.octets.len(), offset };
                self.octets.extend_from_slice(&pointer.octets(APEX_V6));
                self.pointers.push(pointer);
            }
            self.octets.extend_from_slice(&set.record_type.to_be_bytes());
            self.octets.extend_from_slice(&class::IN.to_be_bytes());
            self.octets.extend_from_slice(&set.ttl.to_be_bytes());
            self.octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            self.octets.extend_from_slice(rdata);
        }
        set.rdata.len() as u16
    }
}

/// The labels of a name that the apex does not end in, and where in the apex the others begin.
fn compress<'n>(name: &'n [u8], apex: &[u8]) -> (&'n [u8], Option<usize>) {
    let mut at = 0;
    while let Some(&length @ 1..) = name.get(at) {
        let mut offset = 0;
        while let Some(&length @ 1..) = apex.get(offset) {
            if apex[offset..].eq_ignore_ascii_case(&name[at..]) {
                return (&name[..at], Some(offset));
            }
            offset += 1 + usize::from(length);
        }
        at += 1 + usize::from(length);
    }
    (name, None)
}
