//! What the portable code of a batch cannot say: that memory will be read soon, that this machine has
//! wider registers and cheaper shifts than the oldest of its kind, and steps that compilers do not
//! find the instructions for by themselves.
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

/// What the machine is known to have. Work that is inlined into [`widest`] knows it when it is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// AVX2, and all else that [`with_avx2`] is compiled for. Only [`widest`] says so.
    is_wide: bool,
}

/// Runs `work`, compiled for AVX2 and BMI where the machine has both, and tells it so. What `work` calls is
/// compiled so as far as it is inlined.
#[inline(always)]
pub(crate) fn widest<R>(work: impl FnOnce(Machine) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the machine has just been asked for all of them.
        return unsafe { with_avx2(work) };
    }
    work(Machine::ANY)
}

/// The same code for a machine with AVX2 and BMI: `work` is inlined here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn with_avx2<R>(work: impl FnOnce(Machine) -> R) -> R {
    work(Machine { is_wide: true })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline(never)]
fn apart_with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl Machine {
    /// Nothing is known of it.
    pub const ANY: Self = Self { is_wide: false };

    /// Runs `work` as a function of its own, compiled for the machine as well: what is rare takes no
    /// registers from what is not.
    #[inline(always)]
    pub(super) fn apart<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if self.is_wide {
            // SAFETY: the machine has all that it is compiled for.
            return unsafe { apart_with_avx2(work) };
        }
        work()
    }

    /// How many numbers are below a limit.
    #[inline(always)]
    pub(super) fn count_below(self, numbers: &[i64; 16], limit: i64) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.is_wide {
            // SAFETY: the machine has AVX2.
            return unsafe { count_below_with_avx2(numbers, limit) };
        }
        numbers.iter().map(|&number| usize::from(number < limit)).sum()
    }

    /// Which little-endian numbers are below a limit: a bit for each, the lowest for the first.
    #[inline(always)]
    pub(super) fn which_below(self, numbers: &[[u8; 4]; 32], limit: i32) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if self.is_wide {
            // SAFETY: the machine has AVX2.
            return unsafe { which_below_with_avx2(numbers, limit) };
        }
        which_below_portably(numbers, limit)
    }

    /// The octets that nibbles make, two each, the lower one first. Every second octet, from the second on,
    /// is a nibble, the others are 0.
    #[inline(always)]
    pub(crate) fn join_nibbles(self, nibbles: &[u8; 64]) -> [u8; 16] {
        #[cfg(target_arch = "x86_64")]
        if self.is_wide {
            // SAFETY: the machine has AVX2.
            return unsafe { join_nibbles_with_avx2(nibbles) };
        }
        join_nibbles_portably(nibbles)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
#[inline]
fn count_below_with_avx2(numbers: &[i64; 16], limit: i64) -> usize {
    use std::arch::x86_64::*;
    let limit = _mm256_set1_epi64x(limit);
    let start: *const __m256i = numbers.as_ptr().cast();
    // SAFETY: sixteen numbers are four registers; the loads need no alignment.
    let [a, b, c, d] =
        [0, 1, 2, 3].map(|place| _mm256_cmpgt_epi64(limit, unsafe { _mm256_loadu_si256(start.add(place)) }));
    // In which order the numbers come is all the same. In the end each has two octets.
    let octets = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    (_mm256_movemask_epi8(octets) as u32).count_ones() as usize / 2
}

#[inline(always)]
fn which_below_portably(numbers: &[[u8; 4]; 32], limit: i32) -> u32 {
    let below = numbers.iter().map(|number| u32::from(i32::from_le_bytes(*number) < limit));
    below.rev().fold(0, |which, below| which << 1 | below)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn which_below_with_avx2(numbers: &[[u8; 4]; 32], limit: i32) -> u32 {
    use std::arch::x86_64::*;
    let limit = _mm256_set1_epi32(limit);
    let start: *const __m256i = numbers.as_ptr().cast();
    // SAFETY: 32 numbers are four registers; the loads need no alignment.
    let [a, b, c, d] =
        [0, 1, 2, 3].map(|place| _mm256_cmpgt_epi32(limit, unsafe { _mm256_loadu_si256(start.add(place)) }));
    let octets = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    // Packing has left them in fours in another order.
    let octets = _mm256_permutevar8x32_epi32(octets, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_movemask_epi8(octets) as u32
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
            prop_assert_eq!(widest(|machine| machine.join_nibbles(&nibbles)), address.to_le_bytes());
        }

        #[test]
        fn numbers_are_compared_alike(numbers: [i64; 16], lanes: [i32; 32], place in 0usize..16, beside in -1i64..2) {
            let limit = numbers[place].saturating_add(beside);
            let count = |machine: Machine| machine.count_below(&numbers, limit);
            prop_assert_eq!(count(Machine::ANY), numbers.iter().filter(|&&number| number < limit).count());
            prop_assert_eq!(widest(count), count(Machine::ANY));
            let limit = lanes[place].saturating_add(beside as i32);
            let octets = lanes.map(i32::to_le_bytes);
            let which = |machine: Machine| machine.which_below(&octets, limit);
            for (place, &lane) in lanes.iter().enumerate() {
                prop_assert_eq!(which(Machine::ANY) >> place & 1 == 1, lane < limit);
            }
            prop_assert_eq!(widest(which), which(Machine::ANY));
        }
    }
}
