//! 32 labels of one hexadecimal digit to the address that they spell backwards, a machine word of
//! labels at a time.
//!
//! Such labels are 64 octets, in turn a length of 1 and a digit. Eight of them make a word with four
//! digits; two words are interleaved so that eight digits are judged and converted at once, and four
//! words of digits are put into the order of the address by transposing a 4 by 4 matrix of nibbles.

/// Octets of the labels of a whole address.
pub(super) const OCTETS: usize = 64;

/// The address whose nibbles, the lowest first, are the digits of 32 labels, in either letter case;
/// `None` where a label is anything else.
#[inline(always)]
pub(super) fn read(labels: &[u8; OCTETS]) -> Option<u128> {
    let (low, high) = labels.split_at(OCTETS / 2);
    Some(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

/// The low octet of every 16 bits.
const LOW_OCTETS: u64 = 0x00ff_00ff_00ff_00ff;

/// The 16 nibbles of 16 labels.
#[inline(always)]
fn half(labels: &[u8]) -> Option<u64> {
    const LENGTHS: u64 = 0x0001_0001_0001_0001;
    let [a, b, c, d] = std::array::from_fn(|index| {
        labels[8 * index..].first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
    });
    if ((a ^ LENGTHS) | (b ^ LENGTHS) | (c ^ LENGTHS) | (d ^ LENGTHS)) & LOW_OCTETS != 0 {
        return None;
    }
    let ab = nibbles(a >> 8 & LOW_OCTETS | b & !LOW_OCTETS)?;
    let cd = nibbles(c >> 8 & LOW_OCTETS | d & !LOW_OCTETS)?;
    let ab = (ab | ab >> 4) & LOW_OCTETS;
    let cd = (cd | cd >> 4) & LOW_OCTETS;
    Some(transpose(ab | cd << 8))
}

/// Eight digits to eight octets of their values.
#[inline(always)]
fn nibbles(digits: u64) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x80 * EACH;
    // The high bit of each octet of the sum: set where the octet, below 128, is at least `bound`.
    let at_least = |octets: u64, bound: u8| octets + EACH * u64::from(0x80 - bound);
    if digits & HIGH_BITS != 0 {
        return None;
    }
    let lowercase = digits | 0x20 * EACH;
    let decimal = at_least(digits, b'0') & !at_least(digits, b'9' + 1);
    let letter = at_least(lowercase, b'a') & !at_least(lowercase, b'f' + 1) & HIGH_BITS;
    if (decimal | letter) & HIGH_BITS != HIGH_BITS {
        return None;
    }
    Some((digits & (0x0f * EACH)) + (letter >> 7) * 9)
}

/// Exchanges row and column of a 4 by 4 matrix of nibbles.
#[inline(always)]
fn transpose(matrix: u64) -> u64 {
    let exchange = |word: u64, distance: u32, lower: u64| {
        let different = (word ^ word >> distance) & lower;
        word ^ different ^ different << distance
    };
    let matrix = exchange(matrix, 12, 0x0000_f0f0_0000_f0f0);
    exchange(matrix, 24, 0x0000_0000_ff00_ff00)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::{Key, ReversedName};

    /// What the general reader says of the same labels.
    fn oracle(labels: &[u8; OCTETS]) -> Option<u128> {
        let (labels, _) = labels.as_chunks::<2>();
        let digits: Option<Vec<&[u8]>> =
            labels.iter().map(|[length, digit]| (*length == 1).then_some(std::slice::from_ref(digit))).collect();
        match ReversedName::read(&digits?).key() {
            Some(Key::V6(address)) => Some(address),
            _ => None,
        }
    }

    #[test]
    fn every_octet_in_every_place() {
        let valid: [u8; OCTETS] = std::array::from_fn(|place| if place % 2 == 0 { 1 } else { b"0fA9"[place / 2 % 4] });
        assert!(oracle(&valid).is_some());
        for place in 0..OCTETS {
            for octet in 0..=255 {
                let mut labels = valid;
                labels[place] = octet;
                assert_eq!(read(&labels), oracle(&labels), "{octet:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_address_in_any_letter_case(address: u128, upper: u32) {
            let labels: [u8; OCTETS] = std::array::from_fn(|place| {
                let nibble = place / 2;
                let digit = b"0123456789abcdef"[(address >> (4 * nibble) & 0xf) as usize];
                match place % 2 {
                    0 => 1,
                    _ if upper >> nibble & 1 == 1 => digit.to_ascii_uppercase(),
                    _ => digit,
                }
            });
            prop_assert_eq!(read(&labels), Some(address));
        }
    }
}
