//! The rdata of APL records (RFC 3123): the list of prefixes that a block is sent as.
//!
//! The reader takes octets from outside. It is as strict as the RFC lets it be, so that every list
//! has one encoding, and what it refuses a client treats as no answer at all.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Prefix;
use crate::address::{MAPPED, MAPPED_LENGTH, mapped};

/// The type code of APL.
pub const TYPE: u16 = 42;

/// The address family of an item, by its number (IANA, Address Family Numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Family {
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

impl Family {
    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// One item of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AplItem {
    /// The family.
    pub family: Family,
    /// The prefix as part of the IPv6 address space; of IPv4, a part of `::ffff:0:0/96`.
    pub prefix: Prefix,
    /// The `!` of the text form.
    pub negated: bool,
}

/// What is wrong with the rdata of an APL record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AplError {
    /// The rdata ends inside an item.
    #[error("the record ends inside an item")]
    Truncated,
    /// An address family other than IPv4 and IPv6.
    #[error("unknown address family {0}")]
    UnknownFamily(u16),
    /// A prefix or an address is longer than an address of its family.
    #[error("a prefix is longer than its address family allows")]
    TooLong,
    /// An address ends with a zero octet (RFC 3123, section 4).
    #[error("an address has a trailing zero octet")]
    TrailingZero,
    /// An address has bits set after its prefix.
    #[error("an address has bits set after its prefix")]
    BitsAfterPrefix,
}

impl AplItem {
    /// An item of a block: IPv4 where the prefix lies inside `::ffff:0:0/96`.
    pub fn new(prefix: Prefix, negated: bool) -> Self {
        let family = if is_ipv4(prefix) { Family::V4 } else { Family::V6 };
        Self { family, prefix, negated }
    }

    /// The prefix length within the family.
    pub fn length(&self) -> u8 {
        match self.family {
            Family::V4 => self.prefix.length() - MAPPED_LENGTH,
            Family::V6 => self.prefix.length(),
        }
    }
}

fn is_ipv4(prefix: Prefix) -> bool {
    prefix.length() >= MAPPED_LENGTH && mapped(prefix.first()).is_some()
}

/// The octets that an item for `prefix` takes in a block.
pub fn item_octets(prefix: Prefix) -> usize {
    let bits = if is_ipv4(prefix) { 32 } else { 128 };
    let zero_bits = prefix.first().trailing_zeros().min(bits);
    4 + (bits - zero_bits).div_ceil(8) as usize
}

/// Reads the rdata of an APL record.
pub fn read(mut rdata: &[u8]) -> Result<Vec<AplItem>, AplError> {
    let mut items = Vec::new();
    while !rdata.is_empty() {
        let (header, rest) = rdata.split_first_chunk::<4>().ok_or(AplError::Truncated)?;
        let [high, low, length, flags] = *header;
        let (negated, octets) = (flags & 0x80 != 0, usize::from(flags & 0x7f));
        let family = match u16::from_be_bytes([high, low]) {
            1 => Family::V4,
            2 => Family::V6,
            other => return Err(AplError::UnknownFamily(other)),
        };
        let part = rest.get(..octets).ok_or(AplError::Truncated)?;
        rdata = &rest[octets..];
        items.push(AplItem { family, prefix: read_prefix(family, length, part)?, negated });
    }
    Ok(items)
}

fn read_prefix(family: Family, length: u8, part: &[u8]) -> Result<Prefix, AplError> {
    if length > family.bits() || part.len() > usize::from(family.bits() / 8) {
        return Err(AplError::TooLong);
    }
    if part.last() == Some(&0) {
        return Err(AplError::TrailingZero);
    }
    let mut octets = [0; 16];
    octets[..part.len()].copy_from_slice(part);
    let left_aligned = u128::from_be_bytes(octets);
    if Prefix::containing(left_aligned, length).first() != left_aligned {
        return Err(AplError::BitsAfterPrefix);
    }
    Ok(match family {
        Family::V4 => Prefix::containing(MAPPED | left_aligned >> 96, MAPPED_LENGTH + length),
        Family::V6 => Prefix::containing(left_aligned, length),
    })
}

/// Writes the rdata of an APL record.
pub fn write(items: &[AplItem]) -> Vec<u8> {
    let mut rdata = Vec::new();
    for item in items {
        let bits = u32::from(item.family.bits());
        let octets = (item.prefix.first() << (128 - bits)).to_be_bytes();
        let used = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        rdata.extend_from_slice(&(item.family as u16).to_be_bytes());
        rdata.push(item.length());
        rdata.push(u8::from(item.negated) << 7 | used as u8);
        rdata.extend_from_slice(&octets[..used]);
    }
    rdata
}

/// The text form, as in `!1:192.0.2.0/24` (RFC 3123, section 5).
impl fmt::Display for AplItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negated { "!" } else { "" };
        let (family, length, first) = (self.family as u16, self.length(), self.prefix.first());
        match self.family {
            Family::V4 => write!(f, "{sign}{family}:{}/{length}", Ipv4Addr::from_bits(first as u32)),
            Family::V6 => write!(f, "{sign}{family}:{}/{length}", Ipv6Addr::from_bits(first)),
        }
    }
}

/// The text form of the whole list, as dig prints it.
pub fn text(items: &[AplItem]) -> String {
    items.iter().map(AplItem::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn octets_and_text() {
        // RFC 3123, section 6, and the forms of a block.
        let cases: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"\0\x01\x15\x03\xc0\xa8\x20\0\x01\x1c\x83\xc0\xa8\x26", "1:192.168.32.0/21 !1:192.168.38.0/28"),
            (b"\0\x01\x04\x01\xe0\0\x02\x08\x01\xff", "1:224.0.0.0/4 2:ff00::/8"),
            (b"\0\x01\x18\x03\xc0\0\x02", "1:192.0.2.0/24"),
            (b"\0\x02\x20\x84\x20\x01\x0d\xb8", "!2:2001:db8::/32"),
            (b"\0\x02\0\0", "2:::/0"),
            (b"\0\x01\0\x80", "!1:0.0.0.0/0"),
        ];
        for (rdata, shown) in cases {
            let items = read(rdata).unwrap();
            assert_eq!(text(&items), shown);
            assert_eq!(write(&items), rdata, "{shown}");
            assert_eq!(items.iter().map(|item| item_octets(item.prefix)).sum::<usize>(), rdata.len());
        }
    }

    #[test]
    fn malformed() {
        let cases: [(&[u8], AplError); 8] = [
            (b"\0", AplError::Truncated),
            (b"\0\x01\x18", AplError::Truncated),
            (b"\0\x01\x18\x03\xc0\0", AplError::Truncated),
            (b"\0\x03\x08\x01\x0a", AplError::UnknownFamily(3)),
            (b"\0\x01\x21\x01\x0a", AplError::TooLong),
            (b"\0\x01\x20\x05\x0a\x01\x01\x01\x01", AplError::TooLong),
            (b"\0\x01\x18\x02\x0a\0", AplError::TrailingZero),
            (b"\0\x01\x08\x02\x0a\x01", AplError::BitsAfterPrefix),
        ];
        for (rdata, error) in cases {
            assert_eq!(read(rdata), Err(error));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(rdata in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(items) = read(&rdata) {
                prop_assert_eq!(write(&items), rdata);
            }
        }

        #[test]
        fn items_come_back(prefixes in proptest::collection::vec(
            (any::<u128>(), 0..=128u8, any::<bool>(), any::<bool>()), 0..20))
        {
            let items: Vec<AplItem> = prefixes.into_iter().map(|(address, length, ipv4, negated)| {
                let address = if ipv4 { MAPPED | u128::from(address as u32) } else { address };
                AplItem::new(Prefix::containing(address, length), negated)
            }).collect();
            prop_assert_eq!(read(&write(&items)), Ok(items));
        }
    }
}
