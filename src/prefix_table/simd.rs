//! What the portable code of a batch cannot say: that memory will be read soon, and that this
//! machine has wider registers and cheaper shifts than the oldest of its kind.
//!
//! Nothing here changes a result. On other machines prefetching does nothing and [`widest`] runs the
//! code as it is compiled for all.
#![allow(unsafe_code)]

/// Asks for the cache line of `place`.
#[inline(always)]
pub(super) fn prefetch<T>(place: &T) {
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
