//! SipHash-2-4 (Aumasson and Bernstein) of whole words, which is all that cookies take: the fast path makes
//! or checks one for nearly each query of a resolver that sends them, and a hasher that takes octets in any
//! portions costs twice as much.

/// The hash of a message that is `words`, then the octets of `rest` (less than eight), with the length of all.
#[inline(always)]
pub(super) fn hash(key: [u64; 2], words: &[u64], rest: u64, octets: u8) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for &word in words.iter().chain(&[rest | u64::from(octets) << 56]) {
        state[3] ^= word;
        (0..2).for_each(|_| round(&mut state));
        state[0] ^= word;
    }
    state[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    state.iter().fold(0, |hash, word| hash ^ word)
}

#[inline(always)]
fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        #[allow(deprecated, reason = "the standard library's SipHash-2-4 is the oracle")]
        fn as_in_the_standard_library(
            key: [u64; 2],
            words in prop::collection::vec(any::<u64>(), 0..6),
            rest in 0u64..1 << 32,
            four: bool,
        ) {
            let rest = if four { rest } else { 0 };
            let mut oracle = std::hash::SipHasher::new_with_keys(key[0], key[1]);
            words.iter().for_each(|word| oracle.write(&word.to_le_bytes()));
            oracle.write(&rest.to_le_bytes()[..if four { 4 } else { 0 }]);
            let octets = 8 * words.len() + if four { 4 } else { 0 };
            prop_assert_eq!(hash(key, &words, rest, octets as u8), oracle.finish());
        }
    }

    /// The first and another of the vectors that its authors give.
    #[test]
    fn vectors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(hash(key, &[], 0, 0), 0x726f_db47_dd0e_0e31);
        assert_eq!(hash(key, &[0x0706_0504_0302_0100], 0, 8), 0x93f5_f579_9a93_2462);
    }
}
