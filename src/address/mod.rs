//! Addresses as DNSBLs name them: reversed octets and nibbles (RFC 5782, section 2), and the
//! mappings between the families. The text of addresses in data files is `address/text.rs`.
//!
//! (Interface fixed; bodies to be written.)

pub mod text;

/// A complete key of a list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Four octets.
    V4(u32),
    /// 32 nibbles.
    V6(u128),
}

/// What the labels left of an apex can mean, read as reversed addresses.
///
/// Both readings can hold at once: `1.0.0.2` is the complete IPv4 key 2.0.0.1 and the partial IPv6
/// key 2001::/16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReversedName {
    /// One to four labels of 1 to 3 digits, each at most 255: the prefix and its length (8, 16, 24, 32).
    pub v4: Option<(u32, u8)>,
    /// One to 32 labels of one hex digit: the prefix and its length (4 to 128, a multiple of 4).
    pub v6: Option<(u128, u8)>,
}

impl ReversedName {
    /// Reads the labels, left to right. Leading zeros are taken: `004.03.2.1` is 1.2.3.4.
    pub fn read(labels: &[&[u8]]) -> Self {
        let v4 = (1..=4).contains(&labels.len()).then(|| read_octets(labels)).flatten();
        let v6 = (1..=32).contains(&labels.len()).then(|| read_nibbles(labels)).flatten();
        Self { v4, v6 }
    }

    /// The complete key, if it is one: 4 octets or 32 nibbles.
    pub fn key(&self) -> Option<Key> {
        match (self.v4, self.v6) {
            (Some((address, 32)), _) => Some(Key::V4(address)),
            (_, Some((address, 128))) => Some(Key::V6(address)),
            _ => None,
        }
    }
}

fn read_octets(labels: &[&[u8]]) -> Option<(u32, u8)> {
    let mut prefix = 0;
    for (index, label) in labels.iter().rev().enumerate() {
        if !(1..=3).contains(&label.len()) || !label.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let octet = label.iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
        if octet > 255 {
            return None;
        }
        prefix |= octet << (24 - 8 * index);
    }
    Some((prefix, 8 * labels.len() as u8))
}

fn read_nibbles(labels: &[&[u8]]) -> Option<(u128, u8)> {
    let mut prefix = 0;
    for (index, label) in labels.iter().rev().enumerate() {
        let [digit] = label else { return None };
        let nibble = char::from(*digit).to_digit(16)?;
        prefix |= u128::from(nibble) << (124 - 4 * index);
    }
    Some((prefix, 4 * labels.len() as u8))
}

/// `::ffff:0:0/96`, the IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
pub const MAPPED: u128 = 0xffff << 32;
/// The last address of [`MAPPED`].
pub const MAPPED_LAST: u128 = MAPPED | u32::MAX as u128;
/// The length of [`MAPPED`].
pub const MAPPED_LENGTH: u8 = 96;
/// `2002::/16`, the 6to4 addresses (RFC 3056).
pub const SIX_TO_FOUR: u128 = 0x2002 << 112;
/// The length of [`SIX_TO_FOUR`].
pub const SIX_TO_FOUR_LENGTH: u8 = 16;

/// The IPv4 address inside an IPv4-mapped one.
pub fn mapped(address: u128) -> Option<u32> {
    (address >> 32 == MAPPED >> 32).then_some(address as u32)
}

/// The IPv4 address inside a 6to4 one.
pub fn six_to_four(address: u128) -> Option<u32> {
    (address >> 112 == SIX_TO_FOUR >> 112).then_some((address >> 80) as u32)
}
