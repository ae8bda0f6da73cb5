//! DNS messages for tests: queries to bytes, replies to text. It shares no code with the server or with
//! the libraries that the server is built on, so that a fault of theirs cannot hide itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// The name as text: `\.` and `\DDD` as in zone files; a final dot is optional.
    pub(crate) name: String,
    /// The type: a mnemonic or `TYPEn`.
    pub(crate) record_type: String,
    /// The class.
    pub(crate) class: u16,
    /// The UDP payload size of an OPT record; none without one.
    pub(crate) edns: Option<u16>,
    /// The DO bit of that record: signatures are wanted (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// The client's address, where it matters.
    pub(crate) source: Option<IpAddr>,
}

impl Query {
    /// A query in class IN without EDNS.
    pub(crate) fn new(name: impl Into<String>, record_type: &str) -> Self {
        Self {
            name: name.into(),
            record_type: record_type.into(),
            class: 1,
            edns: None,
            dnssec_ok: false,
            source: None,
        }
    }

    /// Its bytes.
    pub(crate) fn to_wire(&self, id: u16) -> Vec<u8> {
        let mut wire = id.to_be_bytes().to_vec();
        wire.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        wire.extend(name_to_wire(&self.name));
        wire.extend(type_code(&self.record_type).to_be_bytes());
        wire.extend(self.class.to_be_bytes());
        if let Some(size) = self.edns {
            wire.extend([0, 0, 41]);
            wire.extend(size.to_be_bytes());
            wire.extend([0, 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0]);
        }
        wire
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// A reply, in the words that tests compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The message id.
    pub(crate) id: u16,
    /// The response code: a mnemonic, or its number.
    pub(crate) rcode: String,
    /// AA.
    pub(crate) authoritative: bool,
    /// TC.
    pub(crate) truncated: bool,
    /// The sections, their records sorted.
    pub(crate) answer: Vec<Record>,
    /// See `answer`.
    pub(crate) authority: Vec<Record>,
    /// See `answer`; OPT left out.
    pub(crate) additional: Vec<Record>,
    /// Whether there was an OPT record.
    pub(crate) edns: bool,
}

/// A record as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// Owner, letter case kept, with a final dot.
    pub(crate) owner: String,
    /// A mnemonic or `TYPEn`.
    pub(crate) record_type: String,
    /// Seconds.
    pub(crate) ttl: u32,
    /// Rdata as in a zone file.
    pub(crate) rdata: String,
}

impl Reply {
    /// Reads a message; `None` where it is not a well-formed reply.
    pub(crate) fn from_wire(wire: &[u8]) -> Option<Self> {
        let mut reader = Reader { wire, at: 0 };
        let id = reader.u16()?;
        let flags = reader.u16()?;
        let [questions, answers, authorities, additionals] =
            [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        for _ in 0..questions {
            reader.name()?;
            reader.take(4)?;
        }
        let answer = reader.section(answers)?;
        let authority = reader.section(authorities)?;
        let mut additional = reader.section(additionals)?;
        let before = additional.len();
        additional.retain(|record| record.record_type != "OPT");
        let rcode = match flags & 15 {
            0 => "NOERROR".into(),
            1 => "FORMERR".into(),
            2 => "SERVFAIL".into(),
            3 => "NXDOMAIN".into(),
            4 => "NOTIMP".into(),
            5 => "REFUSED".into(),
            code => format!("RCODE{code}"),
        };
        (flags & 0x8000 != 0).then_some(Self {
            id,
            rcode,
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            edns: additional.len() < before,
            answer,
            authority,
            additional,
        })
    }

    /// The rdata of all answers of one type.
    pub(crate) fn rdata(&self, record_type: &str) -> Vec<&str> {
        self.answer.iter().filter(|r| r.record_type == record_type).map(|r| r.rdata.as_str()).collect()
    }
}

/// The name under which a DNS list keeps an address (RFC 5782, sections 2.1 and 2.4).
pub(crate) fn reversed(address: IpAddr, zone: &str) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => (0..32).map(|i| format!("{:x}", v6.to_bits() >> (4 * i) & 15)).collect(),
    };
    format!("{}.{zone}", labels.join("."))
}

const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("OPT", 41),
    ("DS", 43),
    ("DNSKEY", 48),
    ("HTTPS", 65),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
];

fn type_code(text: &str) -> u16 {
    let known = TYPES.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
    known.or_else(|| text.strip_prefix("TYPE")?.parse().ok()).unwrap_or_else(|| panic!("type {text}"))
}

fn name_to_wire(text: &str) -> Vec<u8> {
    let mut wire = vec![0];
    let mut length_at = 0;
    let bytes = text.strip_suffix('.').unwrap_or(text).as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let octet = match (bytes[i], bytes.get(i + 1..i + 4).map(std::str::from_utf8)) {
            (b'\\', Some(Ok(digits))) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                i += 3;
                digits.parse().expect("\\DDD")
            }
            (b'\\', _) => {
                i += 1;
                bytes[i]
            }
            (b'.', _) => {
                i += 1;
                length_at = wire.len();
                wire.push(0);
                continue;
            }
            (octet, _) => octet,
        };
        wire.push(octet);
        wire[length_at] += 1;
        i += 1;
    }
    if wire.len() > 1 {
        wire.push(0);
    }
    wire
}

struct Reader<'a> {
    wire: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.wire.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn name(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut resume = None;
        loop {
            match self.u8()? {
                0 => break,
                length if length >= 0xc0 => {
                    let target = usize::from(length & 0x3f) << 8 | usize::from(self.u8()?);
                    resume = resume.or(Some(self.at));
                    // A pointer points back; each one further back than the last, so that this ends.
                    self.at = (target + 2 <= self.at).then_some(target)?;
                }
                length => {
                    text.push_str(&escaped(self.take(length.into())?, b".\"\\;@$()", b'!'..=b'~'));
                    text.push('.');
                    if text.len() > 1100 {
                        return None;
                    }
                }
            }
        }
        self.at = resume.unwrap_or(self.at);
        Some(if text.is_empty() { ".".into() } else { text })
    }

    fn section(&mut self, count: u16) -> Option<Vec<Record>> {
        let mut records = (0..count).map(|_| self.record()).collect::<Option<Vec<_>>>()?;
        records.sort();
        Some(records)
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let code = self.u16()?;
        self.u16()?;
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let record_type = TYPES
            .iter()
            .find(|(_, known)| *known == code)
            .map_or_else(|| format!("TYPE{code}"), |(name, _)| (*name).to_string());
        let rdata = match record_type.as_str() {
            "A" => Ipv4Addr::from(<[u8; 4]>::try_from(self.take(length)?).ok()?).to_string(),
            "AAAA" => Ipv6Addr::from(<[u8; 16]>::try_from(self.take(length)?).ok()?).to_string(),
            "NS" | "CNAME" | "PTR" => self.name()?,
            "MX" => format!("{} {}", self.u16()?, self.name()?),
            "SRV" => format!("{} {} {} {}", self.u16()?, self.u16()?, self.u16()?, self.name()?),
            "TXT" => {
                let mut strings = Vec::new();
                while self.at < end {
                    let length = self.u8()?;
                    strings.push(format!("\"{}\"", escaped(self.take(length.into())?, b"\"\\", b' '..=b'~')));
                }
                strings.join(" ")
            }
            "SOA" => {
                let names = [self.name()?, self.name()?];
                let numbers = [self.u32()?, self.u32()?, self.u32()?, self.u32()?, self.u32()?];
                format!("{} {}", names.join(" "), numbers.map(|n| n.to_string()).join(" "))
            }
            _ => {
                let octets: String = self.take(length)?.iter().map(|b| format!("{b:02x}")).collect();
                format!("\\# {length} {octets}")
            }
        };
        (self.at == end).then_some(Record { owner, record_type, ttl, rdata })
    }
}

fn escaped(octets: &[u8], special: &[u8], plain: std::ops::RangeInclusive<u8>) -> String {
    octets.iter().fold(String::new(), |mut text, &octet| {
        match octet {
            _ if special.contains(&octet) => text.extend(['\\', octet.into()]),
            _ if plain.contains(&octet) => text.push(octet.into()),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
        text
    })
}
