//! An answered query as a line of text.
//!
//! ```text
//! EPOCH CLIENT QNAME TYPE CLASS: RCODE/ANCOUNT/BYTES
//! 1795292935 127.0.0.1 1.1.1.1.bl.ex A IN: NOERROR/1/63
//! ```

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use smallvec::SmallVec;

use super::Format;
use crate::access::key_table::SHORTEST_KEY;
use crate::access::{AccountId, Verdict};
use crate::answer::{Client, Outcome, Transport};
use crate::name::{Name, labels};

pub(super) const HEADER_OCTETS: usize = 12;

/// One answered query.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) client: Client,
    /// The question's name in wire form; empty where no question could be read.
    pub(super) name: SmallVec<[u8; 96]>,
    pub(super) outcome: Outcome,
    pub(super) reply_octets: usize,
}

/// A record as JSON.
#[derive(serde::Serialize)]
struct Object {
    /// Seconds since 1970, to the millisecond.
    time: f64,
    client: String,
    transport: &'static str,
    name: Option<String>,
    r#type: String,
    class: String,
    rcode: String,
    listed: bool,
    answers: u16,
    octets: usize,
}

impl Record {
    /// Writes the line, with its LF.
    pub(super) fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Rbldnsd => writeln!(out, "{self}"),
            Format::Json => {
                serde_json::to_writer(&mut *out, &self.object())?;
                out.write_all(b"\n")
            }
        }
    }

    /// The name. A key in it is shown by what it is known by; and if nobody has it, so is every label before it
    /// that is as long: who types it wrong may put it in a wrong place.
    fn shown_name(&self) -> Name {
        let Some(key) = self.outcome.key else { return Name::from_wire_unchecked(&self.name) };
        let is_known = self.outcome.access.is_some_and(|access| access.verdict != Verdict::UnknownKey);
        let mut shown = Vec::new();
        let mut at = 0;
        for label in labels(&self.name) {
            let may_be_key = at < usize::from(key) && label.len() >= SHORTEST_KEY && !is_known;
            if at == usize::from(key) || may_be_key {
                let hidden = format!("key-{}", AccountId::of_key(label));
                shown.push(hidden.len() as u8);
                shown.extend_from_slice(hidden.as_bytes());
            } else {
                shown.extend_from_slice(&self.name[at..=at + label.len()]);
            }
            at += 1 + label.len();
        }
        shown.push(0);
        Name::from_wire_unchecked(&shown)
    }

    fn object(&self) -> Object {
        let Outcome { query_type, query_class, rcode, answers, listed, .. } = self.outcome;
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Object {
            time: since.as_millis() as f64 / 1e3,
            client: self.client.address.to_string(),
            transport: match self.client.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
                Transport::Tls => "tls",
                Transport::Quic => "quic",
            },
            name: (!self.name.is_empty()).then(|| self.shown_name().to_string()),
            r#type: Code(query_type, "TYPE", type_name).to_string(),
            class: Code(query_class, "CLASS", class_name).to_string(),
            rcode: Code(rcode, "RCODE", rcode_name).to_string(),
            listed,
            answers,
            octets: self.reply_octets,
        }
    }
}

/// rbldnsd's line without its LF.
impl Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { query_type, query_class, rcode, answers, .. } = self.outcome;
        let epoch = self.time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        write!(f, "{epoch} {} ", self.client.address)?;
        if self.name.is_empty() {
            f.write_str("-")?;
        } else {
            write!(f, "{}", self.shown_name())?;
        }
        let record_type = Code(query_type, "type", type_name);
        let (class, rcode) = (Code(query_class, "class", class_name), Code(rcode, "rcode", rcode_name));
        write!(f, " {record_type} {class}: {rcode}/{answers}/{}", self.reply_octets)
    }
}

/// A code by its name, or by its kind and number.
struct Code(u16, &'static str, fn(u16) -> Option<&'static str>);

impl Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code, kind, name) = self;
        match name(*code) {
            Some(name) => f.write_str(name),
            None => write!(f, "{kind}{code}"),
        }
    }
}

/// The name of the first question, whole and uncompressed with its root label; else nothing.
pub(super) fn question_name(packet: &[u8]) -> &[u8] {
    let Some(name) = packet.get(HEADER_OCTETS..) else { return &[] };
    let mut end = 0;
    while let Some(&length) = name.get(end) {
        end += 1 + usize::from(length);
        if length > 63 || end > Name::MAX_OCTETS {
            break;
        }
        if length == 0 {
            return &name[..end];
        }
    }
    &[]
}

/// The types that rbldnsd writes by name: its set ends at OPT, but for the query types.
fn type_name(code: u16) -> Option<&'static str> {
    const FROM_ZERO: [&str; 42] = [
        "INVALID", "A", "NS", "MD", "MF", "CNAME", "SOA", "MB", "MG", "MR", "NULL", "WKS", "PTR", "HINFO",
        "MINFO", "MX", "TXT", "RP", "AFSDB", "X25", "ISDN", "RT", "NSAP", "NSAP_PTR", "SIG", "KEY", "PX",
        "GPOS", "AAAA", "LOC", "NXT", "EID", "NIMLOC", "SRV", "ATMA", "NAPTR", "KX", "CERT", "A6", "DNAME",
        "SINK", "OPT",
    ];
    const FROM_250: [&str; 7] = ["TSIG", "IXFR", "AXFR", "MAILB", "MAILA", "ANY", "ZXFR"];
    let code = usize::from(code);
    FROM_ZERO.get(code).or_else(|| FROM_250.get(code.wrapping_sub(250))).copied()
}

fn class_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "IN",
        3 => "CH",
        4 => "HS",
        255 => "ANY",
        _ => return None,
    })
}

/// NOTIMPL is rbldnsd's spelling.
fn rcode_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMPL", "REFUSED"];
    NAMES.get(usize::from(code)).copied()
}
