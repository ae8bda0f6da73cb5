//! Addresses as numbers, so that one table serves both families.

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Address: Copy + Ord + Into<u128> + Send + Sync + std::fmt::Debug + 'static {
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
}

macro_rules! impl_address {
    ($number:ty) => {
        impl Address for $number {
            const BITS: u8 = <$number>::BITS as u8;
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;

            fn last_of(self, length: u8) -> Self {
                self | Self::MAX.checked_shr(length.into()).unwrap_or(0)
            }

            fn masked(self, length: u8) -> Self {
                self & !Self::MAX.checked_shr(length.into()).unwrap_or(0)
            }

            fn successor(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn predecessor(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    };
}

impl_address!(u32);
impl_address!(u128);
