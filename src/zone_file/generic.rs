//! `generic`: records of any type, `name [ttl] [IN] TYPE data`.
//!
//! A, MX and TXT are read as leniently as rbldnsd reads them. All other types are left to the
//! parser of hickory-proto; what that does not know can be written as RFC 3597 says.

use std::str::FromStr;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, Restrict};

use super::lexer::{Fault, word, words};
use super::list::List;
use super::report::Report;
use super::special::{entry_ttl, number};
use super::{Content, GenericRecord, ReadOptions};
use crate::address::text::v4_loose;
use crate::name::Name;
use crate::value::character_strings;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;

/// The most records of one name: no message of 65,535 octets has room for so many A records.
const MOST_RECORDS: u16 = 4096;

/// What a name has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owned {
    records: u16,
    /// The record is a CNAME.
    alias: bool,
}

/// A line of a generic dataset.
pub(super) fn record<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (owner_text, rest) = word(text);
    let owner = match owner_text {
        b"@" => Name::root(),
        _ => Name::from_text(owner_text).map_err(|error| Fault::new(owner_text, error.to_string()))?,
    };
    if owner.is_root() && owner_text != b"@" {
        return Err(Fault::new(owner_text, "the zone itself is written as @"));
    }
    let (mut field, mut rest) = word(rest);
    let mut ttl = list.state.ttl;
    if field.first().is_some_and(u8::is_ascii_digit) {
        ttl = entry_ttl(field, ttl, options)?;
        (field, rest) = word(rest);
    }
    if field.eq_ignore_ascii_case(b"IN") {
        (field, rest) = word(rest);
    }
    let record_type = type_code(field).ok_or_else(|| Fault::new(text, "no known record type"))?;
    admissible(record_type, &owner, options).map_err(|why| Fault::new(field, why))?;
    if rest.is_empty() {
        return Err(Fault::new(text, "the record has no data"));
    }
    let rdata = match (record_type, word(rest)) {
        (_, (br"\#", hex)) => unknown(record_type, rest, hex)?,
        (A, (address, _)) => a(address).ok_or_else(|| Fault::new(rest, "invalid IPv4 address"))?,
        (MX, (preference, host)) => mx(preference, host).ok_or_else(|| {
            Fault::new(rest, "MX takes a preference of at most 65535 and the name of a host")
        })?,
        (TXT, _) => txt(rest, options, report),
        _ => parsed(record_type, rest)?,
    };
    // A CNAME is alone at its name (RFC 1034, section 3.6.2), and the apex has an SOA.
    let alias = record_type == CNAME;
    let known = list.owners.get(&owner).copied().unwrap_or_default();
    if known.alias || alias && (known.records > 0 || owner.is_root()) {
        return Err(Fault::new(text, "a CNAME stands beside other records"));
    }
    if known.records == MOST_RECORDS {
        return Err(Fault::new(text, "a name has at most 4096 records: no answer has room for more"));
    }
    list.owners.insert(owner.clone(), Owned { records: known.records + 1, alias });
    list.count(crate::prefix_table::State::MAX);
    if let Content::Generic(records) = &mut list.content {
        records.push(GenericRecord { owner, record_type, ttl, rdata: rdata.into() });
    }
    Ok(())
}

/// A type by its mnemonic, or as `TYPEn`.
fn type_code(field: &[u8]) -> Option<u16> {
    let name = std::str::from_utf8(field).ok()?.to_ascii_uppercase();
    match name.strip_prefix("TYPE") {
        Some(digits) => number(digits.as_bytes()).and_then(|code| u16::try_from(code).ok()),
        None => RecordType::from_str(&name).ok().map(u16::from),
    }
}

/// Says why a list has no place for records of this type.
fn admissible(record_type: u16, owner: &Name, options: &ReadOptions) -> Result<(), &'static str> {
    match record_type {
        A | MX | TXT => Ok(()),
        _ if options.dropin => Err("rbldnsd knows A, MX and TXT only: `nibbl serve` takes this type"),
        SOA => Err("the SOA record comes from $SOA"),
        NS if !owner.is_root() => Err("a list delegates nothing: NS only at @"),
        39 => Err("DNAME is not supported"),
        43 | 59 | 60 => Err("a list delegates nothing: no DS"),
        24 | 46 | 47 | 48 | 50 | 51 => Err("DNSSEC records come from signing"),
        0 | 41 | 128..=255 | 65305 => Err("this type is not for zone data"),
        _ => Ok(()),
    }
}

/// Octets as `inet_aton` takes them; what follows the number is passed over, as rbldnsd does.
fn a(text: &[u8]) -> Option<Vec<u8>> {
    let length =
        text.iter().position(|octet| !octet.is_ascii_digit() && *octet != b'.').unwrap_or(text.len());
    let (address, _) = v4_loose(&text[..length]).ok()?;
    Some(address.to_be_bytes().to_vec())
}

fn mx(preference: &[u8], host: &[u8]) -> Option<Vec<u8>> {
    let preference = number(preference).and_then(|preference| u16::try_from(preference).ok())?;
    let mut hosts = words(host);
    let name = Name::from_text(hosts.next()?).ok()?;
    if hosts.next().is_some() {
        return None;
    }
    Some([&preference.to_be_bytes()[..], name.wire()].concat())
}

/// The rest of the line without one pair of quotes round it: one character-string, or as many as it
/// needs.
fn txt(rest: &[u8], options: &ReadOptions, report: &mut Report<'_>) -> Vec<u8> {
    const LONGEST: usize = 255;
    let mut text = match rest {
        [b'"', inner @ .., b'"'] => inner,
        _ => rest,
    };
    if options.dropin && text.len() > LONGEST {
        report.warn(text, "TXT cut to 255 octets");
        text = &text[..LONGEST];
    }
    character_strings(text)
}

/// `\# length hex` (RFC 3597, section 5), for known types as well.
fn unknown<'t>(record_type: u16, rest: &'t [u8], after: &'t [u8]) -> Result<Vec<u8>, Fault<'t>> {
    let fault = || Fault::new(rest, r"invalid record data: \# length hex");
    let (length, hex) = word(after);
    let length = number(length).ok_or_else(fault)? as usize;
    let mut digits = hex
        .iter()
        .filter(|octet| !super::lexer::is_blank(**octet))
        .map(|&octet| char::from(octet).to_digit(16).map(|digit| digit as u8).ok_or_else(fault));
    let mut rdata = Vec::new();
    while let Some(high) = digits.next() {
        let low = digits.next().ok_or_else(fault)??;
        rdata.push(high? << 4 | low);
    }
    if rdata.len() != length {
        return Err(Fault::new(rest, "the data is not as long as it says"));
    }
    // What a server would not understand would break the answers it goes into.
    let restricted = u16::try_from(length).map_err(|_| fault())?;
    let readable = length == 0
        || RData::read(&mut BinDecoder::new(&rdata), record_type.into(), Restrict::new(restricted)).is_ok();
    if readable { Ok(rdata) } else { Err(Fault::new(rest, "no valid data of this type")) }
}

fn parsed(record_type: u16, rest: &[u8]) -> Result<Vec<u8>, Fault<'_>> {
    let text = std::str::from_utf8(rest).map_err(|_| Fault::new(rest, "not UTF-8"))?;
    let rdata = RData::try_from_str(record_type.into(), text)
        .map_err(|error| Fault::new(rest, format!("invalid record data: {error}")))?;
    rdata.to_bytes().map_err(|error| Fault::new(rest, format!("invalid record data: {error}")))
}
