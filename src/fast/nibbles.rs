//! 32 labels of one hexadecimal digit to the address that they spell backwards, without a loop over
//! octets.
//!
//! Such labels are 64 octets, in turn a length of 1 and a digit. Two of them are a 32-bit word and make
//! one octet of the address; the words are independent of each other and have no branch, so that the
//! compiler does as many at once as the processor has room for. A digit is judged by writing what it
//! was read as again.

/// Octets of the labels of a whole address.
pub(super) const OCTETS: usize = 64;

/// The same 16 bits in both halves of a word.
const fn both(half: u32) -> u32 {
    half << 16 | half
}

/// The address whose nibbles, the lowest first, are the digits of 32 labels, in either letter case;
/// `None` where a label is anything else.
#[inline(always)]
pub(super) fn read(labels: &[u8; OCTETS]) -> Option<u128> {
    let mut address = [0; 16];
    let mut wrong = 0;
    let (pairs, _) = labels.as_chunks::<4>();
    for (octet, pair) in address.iter_mut().zip(pairs) {
        let pair = u32::from_le_bytes(*pair);
        let digits = pair >> 8 & both(0xff);
        // Letters have bit 6: 'a' and 'A' end in 1 and stand for 10.
        let letters = digits >> 6 & both(1);
        let lowercase = digits | letters << 5;
        let nibbles = (digits & both(0xf)) + letters + (letters << 3);
        let above_nine = ((nibbles + both(6)) >> 4) & both(1);
        // 39 octets lie between the one behind 9 and a.
        let gap = (above_nine << 5) + (above_nine << 3) - above_nine;
        let written = nibbles + both(b'0' as u32) + gap;
        wrong |= (pair ^ both(1)) & both(0xff) | written ^ lowercase | nibbles & both(0xf0);
        *octet = (nibbles | nibbles >> 12) as u8;
    }
    (wrong == 0).then_some(u128::from_le_bytes(address))
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
