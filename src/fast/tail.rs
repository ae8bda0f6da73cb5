//! What follows the answer section in every reply of a zone, encoded once: the SOA of negative
//! answers, NS and glue of positive ones where answers are not minimal. Only the pointers into the
//! question differ from reply to reply.

use crate::name::labels;
use crate::snapshot::Glue;
use crate::wire::class;
use crate::zone::RecordSet;

/// Encoded records, and where their pointers are.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Filled up to at least [`COPIED`], so that the copy of a short tail has a known length.
    octets: Vec<u8>,
    len: usize,
    pointers: Vec<Pointer>,
    /// Records in the authority section.
    pub(super) authorities: u16,
    /// Records in the additional section.
    pub(super) additionals: u16,
}

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

impl Tail {
    /// The SOA.
    pub(super) fn negative(soa: &RecordSet<'_>) -> Self {
        let mut tail = Self::default();
        tail.authorities = tail.records(&[], Some(0), soa);
        tail.filled_up()
    }

    /// NS of the apex, and the addresses of the name servers. `None` where a name server is named
    /// like an address in the zone: how that is compressed depends on the question.
    pub(super) fn positive(apex: &[u8], name_servers: &RecordSet<'_>, glue: &[Glue]) -> Option<Self> {
        let mut tail = Self::default();
        tail.authorities = tail.records(&[], Some(0), name_servers);
        for Glue { owner, records } in glue {
            let (own, offset) = compress(owner, apex);
            if offset == Some(0) && labels(own).last().is_some_and(super::view::is_digits) {
                return None;
            }
            tail.additionals += tail.records(own, offset, records);
        }
        Some(tail.filled_up())
    }

    /// Octets of the records.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the records to the beginning of `place`, for a reply in which the apex begins at `apex`;
    /// what is behind them there is lost. Nothing is written where the room does not suffice for that.
    #[inline(always)]
    pub(super) fn write(&self, apex: usize, place: &mut [u8]) {
        if self.octets.is_empty() {
            return;
        }
        let (Some((start, rest)), Some((copied, copied_rest))) =
            (place.split_first_chunk_mut::<COPIED>(), self.octets.split_first_chunk::<COPIED>())
        else {
            return;
        };
        *start = *copied;
        if !copied_rest.is_empty()
            && let Some(rest) = rest.get_mut(..copied_rest.len())
        {
            rest.copy_from_slice(copied_rest);
        }
        for pointer in &self.pointers {
            let value = 0xc000 | (apex + pointer.offset) as u16;
            if let Some(place) = place.get_mut(pointer.at..).and_then(<[u8]>::first_chunk_mut) {
                *place = value.to_be_bytes();
            }
        }
    }

    fn filled_up(mut self) -> Self {
        self.len = self.octets.len();
        self.octets.resize(self.len.max(COPIED), 0);
        self
    }

    /// Adds an RRset owned by labels and what they point to; tells how many records it has.
    fn records(&mut self, own: &[u8], offset: Option<usize>, set: &RecordSet<'_>) -> u16 {
        for rdata in &set.rdata {
            self.octets.extend_from_slice(own);
            if let Some(offset) = offset {
                self.pointers.push(Pointer { at: self.octets.len(), offset });
                self.octets.extend_from_slice(&[0; 2]);
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
