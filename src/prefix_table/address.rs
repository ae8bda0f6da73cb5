//! Addresses as numbers, so that one table serves both families.

use super::word::Word;

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Address: Word + Into<u128> {
    /// Bits of an address: 32 or 128.
    const BITS: u8;
    /// The lowest address, all bits clear.
    const MIN: Self;
    /// The highest address, all bits set.
    const MAX: Self;
    /// The last address of the prefix of `length` bits (0 to `BITS`) that begins at `self`.
    fn last_of(self, length: u8) -> Self;
    /// `self` with all bits after the first `length` (0 to `BITS`) cleared.
    fn masked(self, length: u8) -> Self;
    /// The address after this one, none after `MAX`.
    fn successor(self) -> Option<Self>;
    /// The address before this one, none before `MIN`.
    fn predecessor(self) -> Option<Self>;

    /// The leading bits of an address, which the table searches first: 32 and 64.
    #[doc(hidden)]
    type Upper: Word;
    /// The leading bits.
    #[doc(hidden)]
    fn upper(self) -> Self::Upper;
    /// The first and the last address with these leading bits.
    #[doc(hidden)]
    fn bounds(upper: Self::Upper) -> (Self, Self);
}

macro_rules! impl_address {
    ($number:ty, $upper:ty) => {
        impl Address for $number {
            const BITS: u8 = <$number>::BITS as u8;
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;

            fn last_of(self, length: u8) -> Self {
                self | Self::MAX.unbounded_shr(length.into())
            }

            fn masked(self, length: u8) -> Self {
                self & !Self::MAX.unbounded_shr(length.into())
            }

            fn successor(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn predecessor(self) -> Option<Self> {
                self.checked_sub(1)
            }

            type Upper = $upper;

            #[inline(always)]
            fn upper(self) -> $upper {
                (self >> (<$number>::BITS - <$upper>::BITS)) as $upper
            }

            fn bounds(upper: $upper) -> (Self, Self) {
                let first = <$number>::from(upper) << (<$number>::BITS - <$upper>::BITS);
                (first, first | <$number>::MAX.unbounded_shr(<$upper>::BITS))
            }
        }
    };
}

impl_address!(u32, u32);
impl_address!(u128, u64);
