//! 32 labels of one hexadecimal digit to the address that they spell backwards, a machine word of
//! labels at a time.
//!
//! Such labels are 64 octets, in turn a length of 1 and a digit. Eight of them make a word with four
//! digits; two words are interleaved so that eight digits are converted at once, and four words of
//! digits are put into the order of the address by transposing a 4 by 4 matrix of nibbles. A digit is
//! judged by writing what it was converted to as a digit again. There is no branch but the last, so
//! that the compiler does two words at once where the processor can.

/// Octets of the labels of a whole address.
pub(super) const OCTETS: usize = 64;

/// The same octet in every place of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The low octet of every 16 bits.
const LOW_OCTETS: u64 = 0x00ff_00ff_00ff_00ff;

/// The address whose nibbles, the lowest first, are the digits of 32 labels, in either letter case;
/// `None` where a label is anything else.
#[inline(always)]
pub(super) fn read(labels: &[u8; OCTETS]) -> Option<u128> {
    const LENGTHS: u64 = EACH & LOW_OCTETS;
    let (pairs, _) = labels.as_chunks::<16>();
    let mut packed = [0; 4];
    let mut wrong = 0;
    for (packed, pair) in packed.iter_mut().zip(pairs) {
        let pair = u128::from_le_bytes(*pair);
        let (even, odd) = (pair as u64, (pair >> 64) as u64);
        let (nibbles, not_digits) = nibbles(even >> 8 & LOW_OCTETS | odd & !LOW_OCTETS);
        wrong |= not_digits | (even ^ LENGTHS | odd ^ LENGTHS) & LOW_OCTETS;
        *packed = (nibbles | nibbles >> 4) & LOW_OCTETS;
    }
    let [a, b, c, d] = packed;
    let address = u128::from(transpose(c | d << 8)) << 64 | u128::from(transpose(a | b << 8));
    (wrong == 0).then_some(address)
}

/// The values of eight digits; and 0 if all of them are digits.
#[inline(always)]
fn nibbles(digits: u64) -> (u64, u64) {
    // Letters are the octets with bit 6.
    let letters = digits >> 6 & EACH;
    let lowercase = digits | letters << 5;
    let values = (digits & (0x0f * EACH)).wrapping_add(letters).wrapping_add(letters << 3);
    let above_nine = values.wrapping_add(6 * EACH) >> 4 & EACH;
    // 39 lies between the digit behind 9 and a.
    let gap = (above_nine << 5).wrapping_add(above_nine << 3).wrapping_sub(above_nine);
    let written = values.wrapping_add(u64::from(b'0') * EACH).wrapping_add(gap);
    (values, written ^ lowercase | values & (0xf0 * EACH))
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
        let digits: Option<Vec<&[u8]>> = labels
            .iter()
            .map(|[length, digit]| (*length == 1).then_some(std::slice::from_ref(digit)))
            .collect();
        match ReversedName::read(&digits?).key() {
            Some(Key::V6(address)) => Some(address),
            _ => None,
        }
    }

    #[test]
    fn every_octet_in_every_place() {
        let valid: [u8; OCTETS] =
            std::array::from_fn(|place| if place % 2 == 0 { 1 } else { b"0fA9"[place / 2 % 4] });
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
