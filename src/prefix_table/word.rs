//! Unsigned numbers as the packed form takes them: keys of 32, 64 and 128 bits.

use std::fmt::Debug;
use std::ops::{Add, BitAnd, BitOr, BitXor, Shl, Shr, Sub};

use super::simd::Machine;

/// The octets of a packed block.
pub(super) type Octets = [u8; 128];

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
    /// A number as [`Word::mirrored`] makes it.
    type Mirrored: Copy + Ord + Debug + Send + Sync;
    /// The number in reverse order, and signed: processors compare signed numbers many at once.
    fn mirrored(self) -> Self::Mirrored;
    /// The number that was mirrored.
    fn of_mirrored(mirrored: Self::Mirrored) -> Self;
    /// How many of the numbers, which are mirrored, are above this one.
    fn count_above(self, numbers: &[Self::Mirrored; 16], machine: Machine) -> usize;
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
    fn read(octets: &Octets, position: u32, width: u32) -> Self;
    /// A number of so few bits that it is one of `Self`, too.
    fn of_narrow(narrow: u64) -> Self;
    /// The number, if it has at most 64 bits; else the highest one of 64.
    fn saturating_u64(self) -> u64;
    /// Sets the bits of a number of `width` bits (0 to `WIDTH`) at bit `position`, clear before.
    fn write(self, octets: &mut Octets, position: u32, width: u32);
}

/// The most bits that [`read_narrow`] reads: those of eight octets, less the seven that may stand before.
pub(super) const NARROW: u32 = 57;

/// Reads `width` bits (0 to [`NARROW`]) in one step.
#[inline(always)]
pub(super) fn read_narrow(octets: &Octets, position: u32, width: u32) -> u64 {
    let start = start_of(position);
    let word = octets[start as usize..].first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets));
    word.wrapping_shr(position - 8 * start) & ((1 << width) - 1)
}

/// Reads `width` bits (0 to 64).
#[inline(always)]
pub(super) fn read_bits(octets: &Octets, position: u32, width: u32) -> u64 {
    let low = width.min(32);
    read_narrow(octets, position, low) | read_narrow(octets, position + low, width - low) << low
}

/// Sets the bits of a number of `width` bits (0 to 64), clear before.
pub(super) fn write_bits(octets: &mut Octets, position: u32, width: u32, value: u64) {
    let low = width.min(32);
    write_narrow(octets, position, value & u64::ones(low));
    write_narrow(octets, position + low, value.unbounded_shr(low));
}

fn write_narrow(octets: &mut Octets, position: u32, value: u64) {
    let start = start_of(position);
    if let Some(place) = octets[start as usize..].first_chunk_mut() {
        *place = (u64::from_le_bytes(*place) | value.wrapping_shl(position - 8 * start)).to_le_bytes();
    }
}

/// The first of the eight octets by which a number at bit `position` is read and written: what begins
/// in the last eight also ends there. Behind all of them are only numbers of no bits.
#[inline(always)]
fn start_of(position: u32) -> u32 {
    const LAST: u32 = (size_of::<Octets>() - 8) as u32;
    (position / 8).min(LAST)
}

/// How many numbers are below a limit.
#[inline(always)]
fn count_below<N: Ord + Copy>(numbers: &[N; 16], limit: N, _machine: Machine) -> usize {
    numbers.iter().map(|&number| usize::from(number < limit)).sum()
}

macro_rules! impl_word {
    ($number:ty, $signed:ty, $count_below:expr, $read:expr, $write:expr) => {
        impl Word for $number {
            const WIDTH: u32 = <$number>::BITS;
            const ZERO: Self = 0;
            const ONES: Self = <$number>::MAX;

            type Mirrored = $signed;

            #[inline(always)]
            fn mirrored(self) -> $signed {
                self as $signed ^ <$signed>::MAX
            }

            #[inline(always)]
            fn of_mirrored(mirrored: $signed) -> Self {
                (mirrored ^ <$signed>::MAX) as Self
            }

            #[inline(always)]
            fn count_above(self, numbers: &[$signed; 16], machine: Machine) -> usize {
                $count_below(numbers, self.mirrored(), machine)
            }

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
            fn read(octets: &Octets, position: u32, width: u32) -> Self {
                $read(octets, position, width)
            }

            #[inline(always)]
            fn of_narrow(narrow: u64) -> Self {
                narrow as Self
            }

            #[inline(always)]
            fn saturating_u64(self) -> u64 {
                u64::try_from(self).unwrap_or(u64::MAX)
            }

            fn write(self, octets: &mut Octets, position: u32, width: u32) {
                $write(octets, position, width, self)
            }
        }
    };
}

impl_word!(
    u32,
    i32,
    count_below,
    |octets, position, width| read_bits(octets, position, width) as u32,
    |octets, position, width, value| {
        write_bits(octets, position, width, u64::from(value));
    }
);
impl_word!(
    u64,
    i64,
    |numbers, limit, machine: Machine| machine.count_below(numbers, limit),
    read_bits,
    write_bits
);
impl_word!(
    u128,
    i128,
    count_below,
    |octets, position, width: u32| {
        let low = width.min(64);
        let high = read_bits(octets, position + low, width - low);
        u128::from(high) << 64 | u128::from(read_bits(octets, position, low))
    },
    |octets: &mut Octets, position, width: u32, value: u128| {
        let low = width.min(64);
        write_bits(octets, position, low, value as u64);
        write_bits(octets, position + low, width - low, (value >> 64) as u64);
    }
);
