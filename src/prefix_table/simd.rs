//! What the portable code of a batch cannot say: that memory will be read soon, that this machine has
//! wider registers and cheaper shifts than the oldest of its kind, and a step that compilers do not
//! find an instruction for by themselves.
//!
//! Nothing here changes a result. On other machines prefetching does nothing, and the rest runs as it
//! is compiled for all.
#![allow(unsafe_code)]

/// Asks for the cache line of `place`.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for all cache lines of the items at these places, as far as there are any.
#[inline(always)]
pub(super) fn prefetch_each<T>(items: &[T], places: impl Iterator<Item = usize>) {
    #[cfg(target_arch = "x86_64")]
    for place in places {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = items.as_ptr().wrapping_add(place).cast::<i8>();
        for line in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: a prefetch reads nothing and takes any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    places.for_each(|_| ());
}

/// Runs `work`, compiled for AVX2 and BMI2 where the machine has both. What `work` calls is compiled so
/// as far as it is inlined.
#[inline(always)]
pub(crate) fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the machine has just been asked for all three.
        return unsafe { with_avx2(work) };
    }
    work()
}

/// The same code for a machine with AVX2 and BMI2: `work` is inlined here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,popcnt")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The octets that nibbles make, two each, the lower one first. Every second octet, from the second on,
/// is a nibble, the others are 0.
#[inline(always)]
pub(crate) fn join_nibbles(nibbles: &[u8; 64]) -> [u8; 16] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has just been asked for it.
        return unsafe { join_nibbles_with_avx2(nibbles) };
    }
    join_nibbles_portably(nibbles)
}

#[inline(always)]
fn join_nibbles_portably(nibbles: &[u8; 64]) -> [u8; 16] {
    let mut joined = [0; 16];
    let (words, _) = nibbles.as_chunks();
    let (pairs, _) = joined.as_chunks_mut::<2>();
    for (pair, word) in pairs.iter_mut().zip(words) {
        let nibbles = u64::from_le_bytes(*word);
        let octets = nibbles >> 8 | nibbles >> 20;
        *pair = [octets as u8, (octets >> 32) as u8];
    }
    joined
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn join_nibbles_with_avx2(nibbles: &[u8; 64]) -> [u8; 16] {
    use std::arch::x86_64::*;
    // Once by 1 and once by 16, and their sums.
    let weights = _mm256_set1_epi32(0x1000_0100);
    let join = |nibbles| _mm256_madd_epi16(_mm256_maddubs_epi16(nibbles, weights), _mm256_set1_epi16(1));
    // SAFETY: these are the two halves of 64 octets; the loads need no alignment.
    let [low, high] = unsafe {
        let start = nibbles.as_ptr().cast();
        [join(_mm256_loadu_si256(start)), join(_mm256_loadu_si256(start.add(1)))]
    };
    let words = _mm256_packus_epi32(low, high);
    let octets = _mm256_packus_epi16(words, words);
    // Packing has left the quarters in another order.
    let octets = _mm256_permutevar8x32_epi32(octets, _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5));
    let mut joined = [0; 16];
    // SAFETY: there is room for 16 octets; the store needs no alignment.
    unsafe { _mm_storeu_si128(joined.as_mut_ptr().cast(), _mm256_castsi256_si128(octets)) };
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nibbles_are_joined_alike(address: u128) {
            let nibbles = std::array::from_fn(|place| match place % 2 {
                0 => 0,
                _ => (address >> (place / 2 * 4)) as u8 & 0xf,
            });
            prop_assert_eq!(join_nibbles_portably(&nibbles), address.to_le_bytes());
            prop_assert_eq!(join_nibbles(&nibbles), address.to_le_bytes());
        }
    }
}
