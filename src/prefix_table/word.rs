//! Unsigned numbers as the packed form takes them: keys of 32, 64 and 128 bits.

use std::fmt::Debug;
use std::ops::{Add, BitAnd, BitOr, BitXor, Shl, Shr, Sub};

/// The octets of a packed block as numbers.
pub(super) type Words = [u64; 16];

/// An unsigned number of [`Word::WIDTH`] bits.
pub trait Word:
    Copy
    + Ord
    + Debug
    + Send
    + Sync
    + 'static
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
{
    /// How many bits the number has.
    const WIDTH: u32;
    /// No bit set.
    const ZERO: Self;
    /// All bits set.
    const ONES: Self;
    /// The number with the lowest `count` (0 to `WIDTH`) bits set.
    fn ones(count: u32) -> Self;
    /// How many bits it takes to write `self`; none for 0.
    fn width(self) -> u32;
    /// How many bits from the lowest on are clear; `WIDTH` for 0.
    fn trailing_zeros(self) -> u32;
    /// The number after this one; 0 after the last.
    fn next(self) -> Self;
    /// The number before this one; the last before 0.
    fn previous(self) -> Self;
    /// Reads the number of `width` bits (0 to `WIDTH`) at bit `position`.
    fn read(words: &Words, position: u32, width: u32) -> Self;
    /// Sets the bits of a number of `width` bits (0 to `WIDTH`) at bit `position`, clear before.
    fn write(self, words: &mut Words, position: u32, width: u32);
}

/// Reads `width` bits (0 to 64). Bits beyond the last word are read from the first, so that there
/// is nothing to check; no field reaches there.
#[inline(always)]
pub(super) fn read_bits(words: &Words, position: u32, width: u32) -> u64 {
    let (index, shift) = ((position / 64) as usize, position % 64);
    let low = words[index % 16] >> shift;
    let high = (words[(index + 1) % 16] << 1) << (63 - shift);
    (low | high) & u64::MAX.unbounded_shr(64 - width)
}

pub(super) fn write_bits(words: &mut Words, position: u32, width: u32, value: u64) {
    let (index, shift) = ((position / 64) as usize, position % 64);
    words[index % 16] |= value << shift;
    if shift + width > 64 {
        words[(index + 1) % 16] |= value >> (64 - shift);
    }
}

macro_rules! impl_word {
    ($number:ty, $read:expr, $write:expr) => {
        impl Word for $number {
            const WIDTH: u32 = <$number>::BITS;
            const ZERO: Self = 0;
            const ONES: Self = <$number>::MAX;

            #[inline(always)]
            fn ones(count: u32) -> Self {
                <$number>::MAX.unbounded_shr(Self::WIDTH - count)
            }

            fn width(self) -> u32 {
                Self::WIDTH - self.leading_zeros()
            }

            fn trailing_zeros(self) -> u32 {
                <$number>::trailing_zeros(self)
            }

            #[inline(always)]
            fn next(self) -> Self {
                self.wrapping_add(1)
            }

            #[inline(always)]
            fn previous(self) -> Self {
                self.wrapping_sub(1)
            }

            #[inline(always)]
            fn read(words: &Words, position: u32, width: u32) -> Self {
                $read(words, position, width)
            }

            fn write(self, words: &mut Words, position: u32, width: u32) {
                $write(words, position, width, self)
            }
        }
    };
}

impl_word!(
    u32,
    |words, position, width| read_bits(words, position, width) as u32,
    |words, position, width, value| {
        write_bits(words, position, width, u64::from(value));
    }
);
impl_word!(u64, read_bits, write_bits);
impl_word!(
    u128,
    |words, position, width: u32| {
        let low = width.min(64);
        let high = read_bits(words, position + low, width - low);
        u128::from(high) << 64 | u128::from(read_bits(words, position, low))
    },
    |words: &mut Words, position, width: u32, value: u128| {
        let low = width.min(64);
        write_bits(words, position, low, value as u64);
        write_bits(words, position + low, width - low, (value >> 64) as u64);
    }
);
