//! A reply, appended to the caller's buffer: the question as it was asked, whole RRsets as far as
//! they fit (RFC 2181, section 9), and OPT, whose room is kept free from the start.
//!
//! The only names in a reply that repeat are the question's and those it ends in, so the question
//! section is the whole dictionary of compression. Rdata is written as it is.

use super::{HEADER_OCTETS, Header, Question, flag, option_code, record_type};
use crate::cookie;
use crate::zone::RecordSet;

/// Writes one reply; [`Writer::finish`] makes it whole.
#[derive(Debug)]
pub struct Writer<'w> {
    out: &'w mut Vec<u8>,
    /// Where the message begins in `out`.
    start: usize,
    /// Where its records begin.
    records: usize,
    /// The length of `out` that records may fill.
    end: usize,
    query: Header,
    question: Option<&'w Question<'w>>,
    opt: Option<Opt<'w>>,
    counts: [u16; 3],
    truncated: bool,
}

/// The sections of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The records that were asked for.
    Answer = 0,
    /// SOA or NS of the zone.
    Authority = 1,
    /// Addresses of the zone's name servers.
    Additional = 2,
}

/// The owner of an RRset.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'n> {
    /// The name in the question.
    Question,
    /// So many labels of the end of that name: the apex.
    Suffix(usize),
    /// Any name, in wire form.
    Name(&'n [u8]),
}

/// What the reply says of EDNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'s> {
    /// The largest UDP message that this server takes.
    pub udp_size: u16,
    /// DO, copied from the query (RFC 3225, section 3).
    pub dnssec_ok: bool,
    /// The client's cookie and the server's (RFC 7873).
    pub cookie: Option<[u8; cookie::OCTETS]>,
    /// Which server answers (RFC 5001); left out where a reply without records is too long with it.
    pub nsid: Option<&'s [u8]>,
    /// The info-code of an Extended DNS Error: see [`super::extended_error`].
    pub error: Option<u16>,
    /// The text that goes with it.
    pub error_text: &'s str,
    /// The reply is padded (RFC 7830) to a multiple of [`PADDED_TO`] octets.
    pub padded: bool,
}

/// An RRset has more octets than are left: it was left out whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit;

/// What padded replies are a multiple of (RFC 8467, section 4.1).
pub const PADDED_TO: usize = 468;

impl<'w> Writer<'w> {
    /// Begins the reply to a query behind what `out` holds already. It will have at most `limit`
    /// octets, of which 512 always suffice for the header, any question and OPT with a short text.
    pub fn new(
        out: &'w mut Vec<u8>,
        query: Header,
        question: Option<&'w Question<'w>>,
        mut opt: Option<Opt<'w>>,
        limit: usize,
    ) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_OCTETS]);
        if let Some(question) = question {
            out.extend_from_slice(question.name());
            out.extend_from_slice(&question.record_type.to_be_bytes());
            out.extend_from_slice(&question.class.to_be_bytes());
        }
        let (records, limit) = (out.len(), limit.min(usize::from(u16::MAX)));
        if let Some(opt) = opt.as_mut().filter(|opt| records - start + opt.octets() > limit) {
            opt.nsid = None;
        }
        let reserved = opt.map_or(0, |opt| opt.octets());
        let end = start + limit.saturating_sub(reserved);
        Self { out, start, records, end, query, question, opt, counts: [0; 3], truncated: false }
    }

    /// Appends an RRset to a section; the sections come in their order.
    ///
    /// # Errors
    /// It does not fit; then nothing is appended.
    pub fn record_set(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        set: &RecordSet<'_>,
    ) -> Result<(), DoesNotFit> {
        let (labels, pointer) = self.compress(owner);
        let fixed = labels.len() + pointer.map_or(0, |_| 2) + 10;
        let octets: usize = set.rdata.iter().map(|rdata| fixed + rdata.len()).sum();
        if self.out.len() + octets > self.end {
            return Err(DoesNotFit);
        }
        let class = self.question.map_or(super::class::IN, |question| question.class);
        for rdata in &set.rdata {
            self.out.extend_from_slice(labels);
            if let Some(pointer) = pointer {
                self.out.extend_from_slice(&pointer);
            }
            self.out.extend_from_slice(&set.record_type.to_be_bytes());
            self.out.extend_from_slice(&class.to_be_bytes());
            self.out.extend_from_slice(&set.ttl.to_be_bytes());
            self.out.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            self.out.extend_from_slice(rdata);
        }
        // A message of 65,535 octets has room for fewer records than that.
        self.counts[section as usize] += set.rdata.len() as u16;
        Ok(())
    }

    /// Takes all records back.
    pub fn remove_records(&mut self) {
        self.out.truncate(self.records);
        self.counts = [0; 3];
    }

    /// Says that records which were asked for are missing (TC).
    pub fn truncate(&mut self) {
        self.truncated = true;
    }

    /// Appends OPT and fills in the header: RD, CD, id and operation code are the query's; RA, AD and
    /// Z are clear.
    pub fn finish(mut self, authoritative: bool, rcode: u16) {
        if let Some(opt) = self.opt {
            opt.write(self.out, self.start, rcode);
            self.counts[Section::Additional as usize] += 1;
        }
        let copied = flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
        let mut flags = flag::RESPONSE | self.query.flags & copied | rcode & 0xf;
        if authoritative {
            flags |= flag::AUTHORITATIVE;
        }
        if self.truncated {
            flags |= flag::TRUNCATED;
        }
        let [answers, authorities, additionals] = self.counts;
        let questions = u16::from(self.question.is_some());
        let words = [self.query.id, flags, questions, answers, authorities, additionals];
        for (place, word) in self.out[self.start..].chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }

    /// The labels to write out, and the pointer to the rest of the name in the question.
    fn compress<'n>(&self, owner: Owner<'n>) -> (&'n [u8], Option<[u8; 2]>) {
        const ROOT: (&[u8], Option<[u8; 2]>) = (&[0], None);
        let Some(question) = self.question else {
            return match owner {
                Owner::Name(name) => (name, None),
                _ => ROOT,
            };
        };
        match owner {
            Owner::Question => Self::pointer(question, 0).map_or(ROOT, |pointer| (&[], Some(pointer))),
            Owner::Suffix(labels) => {
                let offset = question.suffix_offset(labels);
                Self::pointer(question, offset).map_or(ROOT, |pointer| (&[], Some(pointer)))
            }
            Owner::Name(name) => {
                let mut at = 0;
                while let Some(&length @ 1..) = name.get(at) {
                    if let Some(offset) = question.find_suffix(&name[at..]) {
                        return (&name[..at], Self::pointer(question, offset));
                    }
                    at += 1 + usize::from(length);
                }
                (name, None)
            }
        }
    }

    /// A pointer to a place in the question's name; none to the root, which is shorter than a pointer.
    fn pointer(question: &Question<'_>, offset: usize) -> Option<[u8; 2]> {
        let is_root = offset + 1 == question.name().len();
        (!is_root).then(|| (0xc000 | (HEADER_OCTETS + offset) as u16).to_be_bytes())
    }
}

impl Opt<'_> {
    /// Octets of the record before padding.
    fn octets(&self) -> usize {
        let option = |octets: Option<usize>| octets.map_or(0, |octets| 4 + octets);
        let cookie = self.cookie.map(|cookie| cookie.len());
        let padding = self.padded.then_some(0);
        11 + option(cookie)
            + option(self.nsid.map(<[u8]>::len))
            + option(self.error.map(|_| 2 + self.error_text.len()))
            + option(padding)
    }

    /// The record, with the upper bits of `rcode` (RFC 6891, section 6.1.3), at the end of a message that
    /// begins at `start`.
    fn write(&self, out: &mut Vec<u8>, start: usize, rcode: u16) {
        let octets = out.len() - start + self.octets();
        let padding = match self.padded {
            true => octets.next_multiple_of(PADDED_TO).min(u16::MAX.into()) - octets,
            false => 0,
        };
        out.push(0);
        out.extend_from_slice(&record_type::OPT.to_be_bytes());
        out.extend_from_slice(&self.udp_size.to_be_bytes());
        out.extend_from_slice(&[(rcode >> 4) as u8, 0, u8::from(self.dnssec_ok) << 7, 0]);
        out.extend_from_slice(&((self.octets() - 11 + padding) as u16).to_be_bytes());
        let mut option = |code: u16, data: &[u8]| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(&(data.len() as u16).to_be_bytes());
            out.extend_from_slice(data);
        };
        if let Some(cookie) = &self.cookie {
            option(option_code::COOKIE, cookie);
        }
        if let Some(identity) = self.nsid {
            option(option_code::NSID, identity);
        }
        if let Some(error) = self.error {
            let text = self.error_text.as_bytes();
            option(option_code::EXTENDED_DNS_ERROR, &[&error.to_be_bytes(), text].concat());
        }
        if self.padded {
            option(option_code::PADDING, &[0; PADDED_TO][..padding]);
        }
    }
}
