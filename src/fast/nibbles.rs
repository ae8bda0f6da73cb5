//! 32 labels of one hexadecimal digit to the address that they spell backwards, without a loop over
//! octets.
//!
//! Such labels are 64 octets, in turn a length of 1 and a digit. All go through the same few steps,
//! independent of each other and without a branch, so that the compiler does as many at once as the
//! processor has room for. Each is read as a decimal digit and as a letter, in such a way that what is
//! neither comes out above 15 both times: the lower of the two is the nibble.

use crate::prefix_table::Machine;

/// Octets of the labels of a whole address.
pub(super) const OCTETS: usize = 64;

/// Where the ten highest octets begin: what decimal digits become, so that nothing is above them.
const HIGHEST: u8 = u8::MAX - 9;
/// With so much off, what is below them is below 240, and that much below is 16 or more.
const LESS: u8 = HIGHEST - 240;
/// Makes lengths and digits the highest octets; a length of 1 is read as the digit 0.
const TO_HIGHEST: [u8; OCTETS] = in_turn(HIGHEST - 1, HIGHEST - b'0');
/// The bits that a length and a digit must not have when they are read.
const WRONG: [u8; OCTETS] = in_turn(0xff, 0xf0);

const fn in_turn(length: u8, digit: u8) -> [u8; OCTETS] {
    let mut octets = [length; OCTETS];
    let mut place = 1;
    while place < OCTETS {
        octets[place] = digit;
        place += 2;
    }
    octets
}

/// The address whose nibbles, the lowest first, are the digits of 32 labels, in either letter case;
/// `None` where a label is anything else.
#[inline(always)]
pub(super) fn read(labels: &[u8; OCTETS], machine: Machine) -> Option<u128> {
    let mut nibbles = *labels;
    for (octet, to_highest) in nibbles.iter_mut().zip(&TO_HIGHEST) {
        let decimal = octet.wrapping_add(*to_highest).saturating_sub(LESS).wrapping_sub(HIGHEST - LESS);
        let uppercase = *octet & !0x20;
        let letter = uppercase.wrapping_sub(b'A').saturating_add(10);
        *octet = decimal.min(letter);
    }
    if nibbles.iter().zip(&WRONG).fold(0, |wrong, (nibble, mask)| wrong | nibble & mask) != 0 {
        return None;
    }
    Some(u128::from_le_bytes(machine.join_nibbles(&nibbles)))
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
                assert_eq!(read(&labels, Machine::ANY), oracle(&labels), "{octet:#x} at {place}");
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
            prop_assert_eq!(read(&labels, Machine::ANY), Some(address));
        }
    }
}
