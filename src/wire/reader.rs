//! Bytes of a packet to its header, its one question and what it says of EDNS.
//!
//! A reader never fails: it keeps what it could read, since even the answer to a broken query echoes
//! the question and EDNS where they are whole (RFC 6891, section 6.1.1), and says that it is broken.
//! Bytes behind the last record are passed over, as rbldnsd and BIND do: nothing can hang on them.

use super::{HEADER_OCTETS, flag, option_code, record_type};
use crate::cookie::Cookie;
use crate::name::Name;

/// A packet with at least a header.
#[derive(Clone, Debug)]
pub struct Message<'p> {
    /// The header.
    pub header: Header,
    /// The question, where QDCOUNT is 1 and it can be read.
    pub question: Option<Question<'p>>,
    /// The first OPT record at the root in the additional section.
    pub edns: Option<Edns>,
    /// True where a section ends before its count is reached, a name or an option does not parse, or
    /// there is more than one OPT, or one elsewhere than at the root in the additional section.
    pub malformed: bool,
}

/// The fixed part of a message (RFC 1035, section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What a client tells its answers apart by.
    pub id: u16,
    /// The second word: see [`super::flag`].
    pub flags: u16,
    /// QDCOUNT.
    pub questions: u16,
    /// ANCOUNT.
    pub answers: u16,
    /// NSCOUNT.
    pub authorities: u16,
    /// ARCOUNT.
    pub additionals: u16,
}

/// A question; its name stands in the packet without compression.
#[derive(Clone, Debug)]
pub struct Question<'p> {
    name: &'p [u8],
    lowercase: [u8; Name::MAX_OCTETS],
    offsets: [u8; MAX_LABELS],
    labels: u8,
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
}

/// The most labels a name can have, the root not counted.
const MAX_LABELS: usize = 127;

/// What an OPT record says (RFC 6891, section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP response that the client takes, as it stands: below 512 means 512.
    pub udp_size: u16,
    /// The version; its options are only read in version 0.
    pub version: u8,
    /// DO: the client wants signatures (RFC 3225).
    pub dnssec_ok: bool,
    /// The first COOKIE option (RFC 7873).
    pub cookie: CookieOption,
    /// The client asks which server answers (RFC 5001).
    pub nsid: bool,
    /// There is an option on how long a TCP connection stays open (RFC 7828).
    pub keepalive: bool,
    /// The query is padded, and so may its reply be (RFC 7830).
    pub padding: bool,
}

/// What a COOKIE option holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieOption {
    /// There is none.
    #[default]
    Absent,
    /// Its length is that of no cookie.
    Malformed,
    /// A cookie.
    Present(Cookie),
}

/// Something does not parse.
#[derive(Debug)]
pub(super) struct Malformed;

impl<'p> Message<'p> {
    /// Reads a packet; `None` where it is shorter than a header.
    pub fn read(packet: &'p [u8]) -> Option<Self> {
        let header = Header::read(packet)?;
        let mut message = Self { header, question: None, edns: None, malformed: false };
        let mut cursor = Cursor { packet, at: HEADER_OCTETS };
        message.malformed = message.read_sections(&mut cursor).is_err();
        Some(message)
    }

    fn read_sections(&mut self, cursor: &mut Cursor<'p>) -> Result<(), Malformed> {
        match self.header.questions {
            1 => self.question = Some(Question::read(cursor)?),
            count => (0..count).try_for_each(|_| skip_question(cursor))?,
        }
        let before = u32::from(self.header.answers) + u32::from(self.header.authorities);
        (0..before).try_for_each(|_| skip_record(cursor))?;
        (0..self.header.additionals).try_for_each(|_| self.read_additional(cursor))
    }

    /// Skips a record of the additional section, but for OPT.
    fn read_additional(&mut self, cursor: &mut Cursor<'p>) -> Result<(), Malformed> {
        let at_root = cursor.packet.get(cursor.at) == Some(&0);
        let record = Record::read(cursor)?;
        if record.record_type != record_type::OPT {
            return Ok(());
        }
        if !at_root || self.edns.is_some() {
            return Err(Malformed);
        }
        self.edns.insert(record.edns()).read_options(record.rdata)
    }
}

impl Header {
    /// Reads the first 12 octets; `None` where there are fewer.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let octets = packet.first_chunk::<HEADER_OCTETS>()?;
        let word = |index: usize| u16::from_be_bytes([octets[2 * index], octets[2 * index + 1]]);
        Some(Self {
            id: word(0),
            flags: word(1),
            questions: word(2),
            answers: word(3),
            authorities: word(4),
            additionals: word(5),
        })
    }

    /// True for a response (QR).
    pub fn is_response(&self) -> bool {
        self.flags & flag::RESPONSE != 0
    }

    /// The operation code: see [`super::opcode`].
    pub fn opcode(&self) -> u16 {
        (self.flags & flag::OPCODE) >> 11
    }
}

impl<'p> Question<'p> {
    fn read(cursor: &mut Cursor<'p>) -> Result<Self, Malformed> {
        let start = cursor.at;
        let mut offsets = [0; MAX_LABELS];
        let mut labels = 0;
        loop {
            let offset = cursor.at - start;
            // No compression: no name stands before the first question that it could point to.
            let length @ 0..=63 = cursor.octet()? else { return Err(Malformed) };
            cursor.take(usize::from(length))?;
            if cursor.at - start > Name::MAX_OCTETS {
                return Err(Malformed);
            }
            if length == 0 {
                break;
            }
            offsets[labels] = offset as u8;
            labels += 1;
        }
        let name = &cursor.packet[start..cursor.at];
        let mut lowercase = [0; Name::MAX_OCTETS];
        // Length octets are at most 63 and so never taken for letters.
        lowercase[..name.len()].copy_from_slice(name);
        lowercase[..name.len()].make_ascii_lowercase();
        let (record_type, class) = (cursor.word()?, cursor.word()?);
        Ok(Self { name, lowercase, offsets, labels: labels as u8, record_type, class })
    }

    /// The name in wire form, with the letter case of the query.
    pub fn name(&self) -> &'p [u8] {
        self.name
    }

    /// The name in wire form and in lower case.
    pub fn lowercase_name(&self) -> &[u8] {
        &self.lowercase[..self.name.len()]
    }

    /// Where each label begins in the wire form, left to right, without the root.
    pub fn label_offsets(&self) -> &[u8] {
        &self.offsets[..usize::from(self.labels)]
    }

    /// The labels in lower case, left to right, without the root.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.label_offsets().iter().map(|&offset| {
            let start = usize::from(offset) + 1;
            &self.lowercase[start..start + usize::from(self.lowercase[start - 1])]
        })
    }

    /// Where the suffix of `labels` labels begins in the wire form.
    pub fn suffix_offset(&self, labels: usize) -> usize {
        let kept = self.label_offsets().len().saturating_sub(labels);
        self.label_offsets().get(kept).map_or(self.name.len() - 1, |&offset| usize::from(offset))
    }

    /// Where a suffix equal to `name`, which is in wire form, begins in the wire form.
    pub fn find_suffix(&self, name: &[u8]) -> Option<usize> {
        let offset = self.name.len().checked_sub(name.len())?;
        let is_label = self.label_offsets().binary_search(&(offset as u8)).is_ok();
        (is_label && self.name[offset..].eq_ignore_ascii_case(name)).then_some(offset)
    }
}

impl Edns {
    fn read_options(&mut self, rdata: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor { packet: rdata, at: 0 };
        while self.version == 0 && cursor.at < rdata.len() {
            let (code, length) = (cursor.word()?, cursor.word()?);
            let data = cursor.take(usize::from(length))?;
            match code {
                option_code::COOKIE if self.cookie == CookieOption::Absent => {
                    self.cookie = Cookie::read(data).map_or(CookieOption::Malformed, CookieOption::Present);
                }
                option_code::NSID => self.nsid = true,
                option_code::KEEPALIVE => self.keepalive = true,
                option_code::PADDING => self.padding = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A record, its owner skipped.
pub(super) struct Record<'p> {
    pub(super) record_type: u16,
    class: u16,
    ttl: [u16; 2],
    pub(super) rdata: &'p [u8],
}

impl<'p> Record<'p> {
    pub(super) fn read(cursor: &mut Cursor<'p>) -> Result<Self, Malformed> {
        skip_name(cursor)?;
        let (record_type, class) = (cursor.word()?, cursor.word()?);
        let ttl = [cursor.word()?, cursor.word()?];
        let length = cursor.word()?;
        Ok(Self { record_type, class, ttl, rdata: cursor.take(usize::from(length))? })
    }

    /// What the fixed fields mean in an OPT record (RFC 6891, section 6.1.2).
    fn edns(&self) -> Edns {
        Edns {
            udp_size: self.class,
            version: self.ttl[0] as u8,
            dnssec_ok: self.ttl[1] & 0x8000 != 0,
            cookie: CookieOption::Absent,
            nsid: false,
            keepalive: false,
            padding: false,
        }
    }
}

/// Skips a record before the additional section, where OPT has no place.
fn skip_record(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    match Record::read(cursor)?.record_type {
        record_type::OPT => Err(Malformed),
        _ => Ok(()),
    }
}

pub(super) fn skip_question(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    skip_name(cursor)?;
    cursor.take(4).map(|_| ())
}

/// Skips a name. A compression pointer ends it and is not followed: nobody asks where it leads.
fn skip_name(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    let start = cursor.at;
    while cursor.at - start < Name::MAX_OCTETS {
        match cursor.octet()? {
            0 => return Ok(()),
            length @ 1..=63 => cursor.take(usize::from(length))?,
            0xc0.. => return cursor.take(1).map(|_| ()),
            _ => return Err(Malformed),
        };
    }
    Err(Malformed)
}

/// A place in a packet; nothing is read beyond the end.
pub(super) struct Cursor<'p> {
    pub(super) packet: &'p [u8],
    pub(super) at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'p [u8], Malformed> {
        let octets = self.packet.get(self.at..self.at + count).ok_or(Malformed)?;
        self.at += count;
        Ok(octets)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn word(&mut self) -> Result<u16, Malformed> {
        let octets = self.take(2)?;
        Ok(u16::from_be_bytes([octets[0], octets[1]]))
    }
}
