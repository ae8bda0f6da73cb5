//! Records as text, as standard zone files have them (RFC 1035, section 5; RFC 4034; RFC 3597).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use crate::dnssec::record_type::{CDNSKEY, CDS, DNSKEY, DS, NSEC, RRSIG};
use crate::dnssec::{nsec, time_text};
use crate::name::{labels, write_label};

/// A name in wire form as text, with its final dot.
pub(super) fn name_text(wire: &[u8]) -> String {
    let text: String = labels(wire).map(|label| label_text(label) + ".").collect();
    if text.is_empty() { ".".into() } else { text }
}

pub(super) fn label_text(label: &[u8]) -> String {
    let mut text = String::with_capacity(label.len());
    write_label(label, &mut |octet| {
        // Parentheses go on over lines, in zone files only.
        if matches!(octet, b'(' | b')') {
            text.push('\\');
        }
        text.push(char::from(octet));
    });
    text
}

pub(super) fn type_text(record_type: u16) -> String {
    match record_type {
        1 => "A".into(),
        2 => "NS".into(),
        5 => "CNAME".into(),
        6 => "SOA".into(),
        12 => "PTR".into(),
        15 => "MX".into(),
        16 => "TXT".into(),
        17 => "RP".into(),
        28 => "AAAA".into(),
        DS => "DS".into(),
        RRSIG => "RRSIG".into(),
        NSEC => "NSEC".into(),
        DNSKEY => "DNSKEY".into(),
        CDS => "CDS".into(),
        CDNSKEY => "CDNSKEY".into(),
        code => format!("TYPE{code}"),
    }
}

/// Rdata as text: the common types as usual, any other as RFC 3597 says.
pub(super) fn rdata_text(record_type: u16, rdata: &[u8]) -> String {
    readable(record_type, rdata).unwrap_or_else(|| {
        let mut text = format!("\\# {} ", rdata.len());
        push_hex(&mut text, rdata);
        text
    })
}

fn readable(record_type: u16, rdata: &[u8]) -> Option<String> {
    Some(match record_type {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?).to_string(),
        28 => Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?).to_string(),
        2 | 5 | 12 => name_text(rdata),
        15 => {
            let (preference, host) = rdata.split_first_chunk::<2>()?;
            format!("{} {}", u16::from_be_bytes(*preference), name_text(host))
        }
        17 => {
            let (mailbox, text) = after_name(rdata)?;
            format!("{} {}", name_text(mailbox), name_text(text))
        }
        6 => {
            let (primary, rest) = after_name(rdata)?;
            let numbers = rest.get(name_length(rest)..)?;
            let mut text = format!("{} {}", name_text(primary), name_text(rest));
            for number in numbers.chunks_exact(4) {
                let number = number.iter().fold(0u32, |value, octet| value << 8 | u32::from(*octet));
                write!(text, " {number}").ok()?;
            }
            text
        }
        16 => {
            let mut text = String::new();
            let mut rest = rdata;
            while let Some((&length, after)) = rest.split_first() {
                let (string, after) = after.split_at_checked(length.into())?;
                let separator = if text.is_empty() { "" } else { " " };
                write!(text, "{separator}\"{}\"", quoted(string)).ok()?;
                rest = after;
            }
            text
        }
        DS | CDS => {
            let (fixed, digest) = rdata.split_first_chunk::<4>()?;
            let [.., algorithm, digest_type] = fixed;
            let mut text = format!("{} {algorithm} {digest_type} ", number(fixed));
            push_hex(&mut text, digest);
            text
        }
        DNSKEY | CDNSKEY => {
            let (fixed, key) = rdata.split_first_chunk::<4>()?;
            let [.., protocol, algorithm] = fixed;
            format!("{} {protocol} {algorithm} {}", number(fixed), BASE64.encode(key))
        }
        NSEC => {
            let (next, bitmap) = after_name(rdata)?;
            let types = nsec::types(bitmap).map(|code| format!(" {}", type_text(code)));
            name_text(next) + &types.collect::<String>()
        }
        RRSIG => {
            let (fixed, rest) = rdata.split_first_chunk::<18>()?;
            let (covered, ttl) = (type_text(number(fixed)), long(&fixed[4..]));
            let times = [&fixed[8..], &fixed[12..]].map(|octets| time_text::write(long(octets)));
            let (signer, signature) = after_name(rest)?;
            format!(
                "{covered} {} {} {ttl} {} {} {} {} {}",
                fixed[2],
                fixed[3],
                times[0],
                times[1],
                number(&fixed[16..]),
                name_text(signer),
                BASE64.encode(signature)
            )
        }
        _ => return None,
    })
}

/// The first two octets as a number; 0 where there are fewer.
fn number(octets: &[u8]) -> u16 {
    octets.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets))
}

/// The first four octets as a number; 0 where there are fewer.
fn long(octets: &[u8]) -> u32 {
    octets.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets))
}

fn push_hex(text: &mut String, octets: &[u8]) {
    text.extend(octets.iter().map(|octet| format!("{octet:02x}")));
}

/// A name, and what follows it: another one, or something else.
fn after_name(rdata: &[u8]) -> Option<(&[u8], &[u8])> {
    rdata.split_at_checked(name_length(rdata))
}

/// How many octets the name at the beginning has, the root label included.
fn name_length(wire: &[u8]) -> usize {
    labels(wire).map(|label| label.len() + 1).sum::<usize>() + 1
}

/// A character-string between quotes.
fn quoted(string: &[u8]) -> String {
    let mut text = String::with_capacity(string.len());
    for &octet in string {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            b' '..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text
}
