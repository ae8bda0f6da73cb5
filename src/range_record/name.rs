//! The owner names of blocks: the nibbles of a prefix, reversed as in RFC 5782, under `_ranges`.

use std::fmt::Write;

use super::Prefix;
use crate::address::{Key, ReversedName};
use crate::name::{Name, NameError};

/// The label under which all blocks of a zone are (RFC 8552).
pub const LABEL: &str = "_ranges";

/// The longest apex, in octets of wire form, under which the longest block name fits: 31 labels of
/// two octets and the eight octets of [`LABEL`] stand before it. Zones of longer names have no
/// range records.
pub const MAX_APEX_OCTETS: usize = Name::MAX_OCTETS - 31 * 2 - 8;

/// A name that is `_ranges` or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangesName {
    /// The name of a prefix's block, if that prefix has one.
    Block(Prefix),
    /// A name that no block can have: NXDOMAIN.
    NoBlock,
}

/// Reads the labels left of an apex, left to right, in either letter case. `None` for names that
/// are not at or below `_ranges`.
pub fn parse(labels: &[&[u8]]) -> Option<RangesName> {
    let (last, nibbles) = labels.split_last()?;
    if !last.eq_ignore_ascii_case(LABEL.as_bytes()) {
        return None;
    }
    if nibbles.is_empty() {
        return Some(RangesName::Block(Prefix::ROOT));
    }
    Some(match ReversedName::read(nibbles).v6 {
        Some((address, length)) => RangesName::Block(Prefix::containing(address, length)),
        None => RangesName::NoBlock,
    })
}

/// The owner name of the block of a nibble-aligned prefix, without the apex:
/// `8.b.d.0.1.0.0.2._ranges`.
pub fn block_text(prefix: Prefix) -> String {
    debug_assert!(prefix.is_nibble_aligned());
    reversed_nibbles(prefix.first(), prefix.length() / 4) + LABEL
}

/// The name that an ordinary query asks for an address, without the apex: `2.0.0.127`, or 32
/// nibbles (RFC 5782, sections 2.1 and 2.4).
pub fn address_text(key: Key) -> String {
    match key {
        Key::V4(address) => {
            let [a, b, c, d] = address.to_be_bytes();
            format!("{d}.{c}.{b}.{a}")
        }
        Key::V6(address) => {
            let mut text = reversed_nibbles(address, 32);
            text.pop();
            text
        }
    }
}

/// A name given without the apex, made whole.
pub fn under(text: &str, apex: &Name) -> Result<Name, NameError> {
    Name::from_text(text.as_bytes())?.under(apex)
}

/// The first `count` nibbles, last first, each with a dot after it.
fn reversed_nibbles(address: u128, count: u8) -> String {
    let mut text = String::with_capacity(2 * usize::from(count) + LABEL.len());
    for index in (0..count).rev() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:x}.", address >> (124 - 4 * index) & 0xf);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<RangesName> {
        parse(&text.split('.').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn names_of_blocks() {
        let documentation = Prefix::containing(0x2001_0db8 << 96, 32);
        assert_eq!(block_text(Prefix::ROOT), "_ranges");
        assert_eq!(block_text(documentation), "8.b.d.0.1.0.0.2._ranges");
        assert_eq!(parsed("_ranges"), Some(RangesName::Block(Prefix::ROOT)));
        assert_eq!(parsed("8.B.d.0.1.0.0.2._RANGES"), Some(RangesName::Block(documentation)));
        assert_eq!(parsed("10._ranges"), Some(RangesName::NoBlock));
        assert_eq!(parsed("x._ranges"), Some(RangesName::NoBlock));
        assert_eq!(parsed("_ranges._ranges"), Some(RangesName::NoBlock));
        assert_eq!(parsed("ranges"), None);
        assert_eq!(parsed("_ranges.1"), None);
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn every_block_name_is_read_back() {
        let address = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        for length in (0..=124).step_by(4) {
            let prefix = Prefix::containing(address, length);
            assert_eq!(parsed(&block_text(prefix)), Some(RangesName::Block(prefix)));
        }
        assert_eq!(
            parsed(&format!("0.{}", block_text(Prefix::containing(address, 128)))),
            Some(RangesName::NoBlock)
        );
    }

    #[test]
    fn the_longest_apex() {
        let apex =
            Name::from_text(format!("{0}.{0}.{1}", "a".repeat(63), "b".repeat(55)).as_bytes()).unwrap();
        assert_eq!(apex.wire().len(), MAX_APEX_OCTETS);
        let longest = under(&block_text(Prefix::containing(u128::MAX, 124)), &apex).unwrap();
        assert_eq!(longest.wire().len(), Name::MAX_OCTETS);
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(address_text(Key::V4(0x7f00_0002)), "2.0.0.127");
        let text = address_text(Key::V6(0x2001_0db8 << 96 | 1));
        assert!(text.starts_with("1.0.0.") && text.ends_with("8.b.d.0.1.0.0.2"), "{text}");
        assert_eq!(text.len(), 63);
    }
}
