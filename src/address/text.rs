//! The text of addresses and prefixes in data files: every form that rbldnsd takes, and the
//! standard ones.
//!
//! Each function takes one whole token and gives back what it says, or why it says nothing; bits
//! after the prefix length are left as they were written, for the caller to judge. (In the flow:
//! `zone_file` cuts lines into tokens and reads them here.)

/// Why a token is not an address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not one to four decimal numbers of at most 255 between dots.
    #[error("invalid IPv4 address")]
    InvalidV4,
    /// A single number, which could mean anything.
    #[error("one number alone is not an address: write its length, as in 10/8")]
    LoneOctet,
    /// Not groups of hex digits of at most ffff between colons, with at most one `::`.
    #[error("invalid IPv6 address")]
    InvalidV6,
    /// A single group, which could mean anything.
    #[error("one group alone is not an address: write its length, as in 2001::/16")]
    LoneGroup,
    /// An address was needed, and this is a part of one.
    #[error("incomplete address")]
    Incomplete,
    /// Not a number, or more than the bits of an address (or 0, where that is not taken).
    #[error("invalid prefix length")]
    InvalidLength,
    /// The two ends of a range do not have the same number of octets.
    #[error("both ends of a range need the same number of octets")]
    UnequalEnds,
    /// The end of a range lies before its beginning.
    #[error("the range ends before it begins")]
    EndBeforeBegin,
}

/// The mask of the first `length` (0 to 32) bits of an IPv4 address.
pub fn v4_mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

/// The mask of the first `length` (0 to 128) bits of an IPv6 address.
pub fn v6_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// One complete IPv4 address: four octets, leading zeros decimal.
pub fn v4_address(token: &[u8]) -> Result<u32, AddressError> {
    match octets(token)? {
        (address, 4) => Ok(address),
        _ => Err(AddressError::Incomplete),
    }
}

/// An IPv4 prefix: `a.b.c.d`, `a.b.c` (/24), `a.b` (/16), or any of these or `a` before `/length`.
/// Gives the address and the length.
pub fn v4_prefix(token: &[u8]) -> Result<(u32, u8), AddressError> {
    if let Some(slash) = token.iter().position(|&octet| octet == b'/') {
        let (address, _) = octets(&token[..slash])?;
        return Ok((address, length(&token[slash + 1..], 32)?));
    }
    match octets(token)? {
        (_, 1) => Err(AddressError::LoneOctet),
        (address, count) => Ok((address, 8 * count)),
    }
}

/// An IPv4 range `a-b`, both ends included: the first and the last address.
///
/// Both ends have the same number of octets and the last is filled with 255s: `10-11` is 10.0.0.0
/// to 11.255.255.255. An end of one octet replaces the last octet that the beginning has:
/// `127.0.0.1-255`.
pub fn v4_range(token: &[u8]) -> Result<(u32, u32), AddressError> {
    let dash = token.iter().position(|&octet| octet == b'-').ok_or(AddressError::InvalidV4)?;
    let (first, count) = octets(&token[..dash])?;
    let (end, end_count) = octets(&token[dash + 1..])?;
    let shift = 32 - 8 * u32::from(count);
    let end = match end_count {
        1 => (first & !(0xff << shift)) | (end >> 24) << shift,
        _ if end_count == count => end,
        _ => return Err(AddressError::UnequalEnds),
    };
    let last = end | !v4_mask(8 * count);
    if last < first { Err(AddressError::EndBeforeBegin) } else { Ok((first, last)) }
}

/// Octets as `inet_aton` fills them: the last of fewer than four is the last of the address, so
/// `1.2.3` is 1.2.0.3. Also gives how many were written.
pub fn v4_loose(token: &[u8]) -> Result<(u32, u8), AddressError> {
    let (address, count) = octets(token)?;
    let last = (address >> (32 - 8 * u32::from(count))) & 0xff;
    Ok(((address & v4_mask(8 * (count - 1))) | last, count))
}

/// One to four decimal octets between dots, the first on the left; and how many there are.
fn octets(token: &[u8]) -> Result<(u32, u8), AddressError> {
    let (mut address, mut count) = (0u32, 0u8);
    let mut rest = token.iter().copied();
    loop {
        let (mut value, mut digits, mut more) = (0u32, 0, false);
        for octet in rest.by_ref() {
            match octet {
                b'0'..=b'9' => value = value * 10 + u32::from(octet - b'0'),
                b'.' => more = true,
                _ => return Err(AddressError::InvalidV4),
            }
            if more {
                break;
            }
            digits += 1;
            if value > 255 {
                return Err(AddressError::InvalidV4);
            }
        }
        if digits == 0 || count == 4 {
            return Err(AddressError::InvalidV4);
        }
        address |= value << (24 - 8 * u32::from(count));
        count += 1;
        if !more {
            return Ok((address, count));
        }
    }
}

/// An IPv6 address, the beginning of one, or a prefix, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenV6 {
    /// The groups from the left; the rest is zero.
    address: u128,
    /// How many were written, without those that `::` stands for.
    count: u8,
    /// True if there is a `::`.
    compressed: bool,
    /// What stands behind a slash.
    length: Option<u8>,
}

impl WrittenV6 {
    /// Reads what a text begins with, as far as that is hexadecimal groups and a length behind a slash.
    /// Also gives how many octets it takes. `None` where there is no such thing, or something is
    /// wrong with it.
    ///
    /// One pass and few branches: nearly all lines of large lists begin so.
    pub fn leading(text: &[u8]) -> Option<(Self, usize)> {
        let (written, end) = groups(text)?;
        let Some((b'/', behind)) = text[end..].split_first() else { return Some((written, end)) };
        let digits = behind.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let length = length(&behind[..digits], 128).ok()?;
        Some((Self { length: Some(length), ..written }, end + 1 + digits))
    }

    /// The address, if it is complete: eight groups, or fewer and one `::`.
    pub fn address(self) -> Result<u128, AddressError> {
        if self.compressed || self.count == 8 { Ok(self.address) } else { Err(AddressError::Incomplete) }
    }

    /// The /64 of exactly four groups and no `::`.
    pub fn network(self) -> Result<u128, AddressError> {
        if !self.compressed && self.count == 4 { Ok(self.address) } else { Err(AddressError::Incomplete) }
    }

    /// A prefix as in rbldnsd's ip6trie: without `/length` an address with `::` is a /128, and any
    /// other has 16 bits a group.
    pub fn prefix(self) -> Result<(u128, u8), AddressError> {
        match self {
            Self { length: Some(length), .. } => Ok((self.address, length)),
            Self { compressed: true, .. } => Ok((self.address, 128)),
            Self { count: 1, .. } => Err(AddressError::LoneGroup),
            Self { count, .. } => Ok((self.address, 16 * count)),
        }
    }

    /// What is behind the slash.
    pub fn length(self) -> Option<u8> {
        self.length
    }
}

/// One complete IPv6 address: eight groups, or fewer and one `::`; the last two groups may be
/// written as an IPv4 address (RFC 4291, section 2.2).
pub fn v6_address(token: &[u8]) -> Result<u128, AddressError> {
    if !token.contains(&b'.') {
        return all_groups(token)?.address();
    }
    let tail = memchr::memrchr(b':', token).map_or(0, |colon| colon + 1);
    let v4 = v4_address(&token[tail..]).map_err(|_| AddressError::InvalidV6)?;
    let groups = format!("{:x}:{:x}", v4 >> 16, v4 & 0xffff);
    all_groups(&[&token[..tail], groups.as_bytes()].concat())?.address()
}

/// Exactly four groups, as a /64; no `::`.
pub fn v6_network(token: &[u8]) -> Result<u128, AddressError> {
    all_groups(token)?.network()
}

/// An IPv6 prefix as in rbldnsd's ip6trie, see [`WrittenV6::prefix`].
pub fn v6_prefix(token: &[u8]) -> Result<(u128, u8), AddressError> {
    match memchr::memrchr(b'/', token) {
        Some(slash) => Ok((all_groups(&token[..slash])?.address, length(&token[slash + 1..], 128)?)),
        None => all_groups(token)?.prefix(),
    }
}

/// A token of groups and nothing else.
fn all_groups(token: &[u8]) -> Result<WrittenV6, AddressError> {
    let read = groups(token).filter(|&(_, end)| end == token.len());
    read.map(|(written, _)| written).ok_or(AddressError::InvalidV6)
}

/// The groups that a text begins with, and where they end.
fn groups(text: &[u8]) -> Option<(WrittenV6, usize)> {
    // `gap` is the number of groups before the `::`.
    let (mut address, mut count, mut gap, mut at) = (0u128, 0, None, 0);
    if text.starts_with(b"::") {
        (gap, at) = (Some(0), 2);
    }
    loop {
        let (value, digits) = group(&text[at..])?;
        if digits == 0 {
            // Only behind a `::` nothing need stand.
            if gap != Some(count) {
                return None;
            }
            break;
        }
        if count == 8 {
            return None;
        }
        address = address << 16 | u128::from(value);
        count += 1;
        at += digits;
        match &text[at..] {
            [b':', b':', ..] if gap.is_none() => (gap, at) = (Some(count), at + 2),
            [b':', ..] => at += 1,
            _ => break,
        }
    }
    let tail = match gap {
        Some(_) if count == 8 => return None,
        Some(before) => count - before,
        None => 0,
    };
    // What stands behind the `::` is at the right end already; what stands before it goes to the left.
    let head = (address >> (16 * tail)).checked_shl(128 - 16 * (count - tail)).unwrap_or(0);
    let address = head | address & !v6_mask(128 - 16 * tail as u8);
    Some((WrittenV6 { address, count: count as u8, compressed: gap.is_some(), length: None }, at))
}

/// The hex digits that a text begins with, as a number, and how many they are: usually four. `None` for
/// a number above ffff.
fn group(text: &[u8]) -> Option<(u16, usize)> {
    let digit = |octet: u8| DIGITS[usize::from(octet)];
    if let &[a, b, c, d, next, ..] = text {
        let [a, b, c, d] = [a, b, c, d].map(digit);
        if (a | b | c | d) < NO_DIGIT && digit(next) == NO_DIGIT {
            let value = u16::from(a) << 12 | u16::from(b) << 8 | u16::from(c) << 4 | u16::from(d);
            return Some((value, 4));
        }
    }
    let mut value = 0;
    let mut digits = 0;
    for digit in text.iter().map(|&octet| digit(octet)).take_while(|&digit| digit < NO_DIGIT) {
        if value >> 12 > 0 {
            return None;
        }
        value = value << 4 | u16::from(digit);
        digits += 1;
    }
    Some((value, digits))
}

/// No hex digit.
const NO_DIGIT: u8 = 16;

/// The value of each octet as a hex digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

/// A decimal prefix length of at most `bits`, leading zeros taken.
pub fn length(digits: &[u8], bits: u8) -> Result<u8, AddressError> {
    if digits.is_empty() {
        return Err(AddressError::InvalidLength);
    }
    let mut length = 0u8;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(AddressError::InvalidLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(digit - b'0'))
            .filter(|&length| length <= bits)
            .ok_or(AddressError::InvalidLength)?;
    }
    Ok(length)
}

/// Cuts a range into the fewest aligned prefixes, lowest first: `bits` is 32 or 128. At most
/// `2 * bits - 2` of them.
pub fn cover(first: u128, last: u128, bits: u8, mut prefix: impl FnMut(u128, u8)) {
    let mut at = first;
    loop {
        // The widest prefix that begins here, and then the widest that ends in time.
        let mut free = (at.trailing_zeros() as u8).min(bits);
        while free > 0 && at | !(u128::MAX.checked_shl(u32::from(free)).unwrap_or(0)) > last {
            free -= 1;
        }
        prefix(at, bits - free);
        let end = at | !(u128::MAX.checked_shl(u32::from(free)).unwrap_or(0));
        if end >= last {
            return;
        }
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().into()
    }

    fn v6(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().into()
    }

    #[test]
    fn prefixes_of_ipv4() {
        for (text, expected) in [
            ("1.2.3.4", Ok((v4("1.2.3.4"), 32))),
            ("001.002.003.030", Ok((v4("1.2.3.30"), 32))),
            ("1.2.3", Ok((v4("1.2.3.0"), 24))),
            ("1.2", Ok((v4("1.2.0.0"), 16))),
            ("1.2/15", Ok((v4("1.2.0.0"), 15))),
            ("0/0", Ok((0, 0))),
            ("1.2.3.4/032", Ok((v4("1.2.3.4"), 32))),
            ("1", Err(AddressError::LoneOctet)),
            ("1.2.3.4.", Err(AddressError::InvalidV4)),
            ("1..2", Err(AddressError::InvalidV4)),
            ("1.2.3.4.5", Err(AddressError::InvalidV4)),
            ("1.2.3.256", Err(AddressError::InvalidV4)),
            ("", Err(AddressError::InvalidV4)),
            ("1.2.3.4/", Err(AddressError::InvalidLength)),
            ("1.2.3.4/33", Err(AddressError::InvalidLength)),
            ("1.2.3.4/24/24", Err(AddressError::InvalidLength)),
        ] {
            assert_eq!(v4_prefix(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn ranges_of_ipv4() {
        for (text, first, last) in [
            ("127.0.0.1-255", "127.0.0.1", "127.0.0.255"),
            ("136.16-31", "136.16.0.0", "136.31.255.255"),
            ("140.16.0-31", "140.16.0.0", "140.16.31.255"),
            ("0-255", "0.0.0.0", "255.255.255.255"),
            ("1.2.3.4-1.2.3.6", "1.2.3.4", "1.2.3.6"),
            ("13.5-14.6", "13.5.0.0", "14.6.255.255"),
        ] {
            assert_eq!(v4_range(text.as_bytes()), Ok((v4(first), v4(last))), "{text}");
        }
        for text in ["14.5.6-7.8", "50-51.2", "1.2.3.9-1", "12.1/16-", "-1.2.3.4", "1-"] {
            assert!(v4_range(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_of_ipv6() {
        for (text, address, length) in [
            ("2001:db8:1:2", "2001:db8:1:2::", 64),
            ("2a00:1", "2a00:1::", 32),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 128),
            ("2001:db8::", "2001:db8::", 128),
            ("2001/16", "2001::", 16),
            ("00002001::/016", "2001::", 16),
            ("::", "::", 128),
            ("::1", "::1", 128),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", 128),
            ("::/0", "::", 0),
            ("2001:db8::1/32", "2001:db8::1", 32),
        ] {
            assert_eq!(v6_prefix(text.as_bytes()), Ok((v6(address), length)), "{text}");
        }
        for text in [
            "2001",
            "1:2:3:4:5:6:7:8:9",
            "2001:db8::1::2",
            "2001:db8:::1",
            ":::9",
            "2001:db8:",
            ":1",
            "12345::",
            "::g",
            "[::1]",
            "::1%eth0",
            "::ffff:1.2.3.4",
            "1:2:3:4::5:6:7:8",
            "/64",
            "::/129",
            "::/",
            "::/-1",
            "::/32/32",
            "",
        ] {
            assert!(v6_prefix(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn loose_octets() {
        for (text, address, count) in [
            ("5", "0.0.0.5", 1),
            ("127.2", "127.0.0.2", 2),
            ("1.2.3", "1.2.0.3", 3),
            ("1.2.3.4", "1.2.3.4", 4),
        ] {
            assert_eq!(v4_loose(text.as_bytes()), Ok((v4(address), count)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn reads_what_the_standard_library_reads(text in "[0-9a-f:.]{0,24}") {
            if let Ok(address) = text.parse::<Ipv6Addr>() {
                prop_assert_eq!(v6_address(text.as_bytes()), Ok(address.into()));
            }
        }

        #[test]
        fn reads_what_the_standard_library_writes(address: u128) {
            prop_assert_eq!(v6_address(Ipv6Addr::from(address).to_string().as_bytes()), Ok(address));
            let sparse = address & (address << 64) & 0xffff_0000_0000_ffff_ffff_0000_0000_ffff;
            prop_assert_eq!(v6_address(Ipv6Addr::from(sparse).to_string().as_bytes()), Ok(sparse));
        }

        #[test]
        fn what_leads_a_text_is_read_as_alone(text in "[0-9a-f:/. ]{0,20}|([0-9a-f]{1,5}::?){1,9}(/[0-9]{0,3})?[: x.-]?") {
            if let Some((written, end)) = WrittenV6::leading(text.as_bytes()) {
                let token = &text.as_bytes()[..end];
                prop_assert_eq!(written.prefix(), v6_prefix(token));
                if written.length().is_none() {
                    prop_assert_eq!(written.address(), v6_address(token));
                    prop_assert_eq!(written.network(), v6_network(token));
                }
            } else if !text.ends_with(['/', ' ', 'x', '.', '-']) {
                prop_assert!(v6_prefix(text.as_bytes()).is_err() || text.contains([' ', '/']));
            }
        }

        #[test]
        fn no_token_panics(token in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (v4_prefix(&token), v4_range(&token), v4_loose(&token), v4_address(&token));
            let _ = (v6_prefix(&token), v6_address(&token), v6_network(&token));
        }

        #[test]
        fn covers_are_exact(a: u128, b: u128, narrow: bool) {
            let bits = if narrow { 32 } else { 128 };
            let limit = if narrow { u128::from(u32::MAX) } else { u128::MAX };
            let (first, last) = ((a & limit).min(b & limit), (a & limit).max(b & limit));
            let (mut next, mut count) = (Some(first), 0);
            cover(first, last, bits, |start, length| {
                assert_eq!(Some(start), next);
                let end = start | if length == 0 { limit } else { (limit >> (length - 1)) >> 1 };
                assert!(end <= last);
                next = end.checked_add(1);
                count += 1;
            });
            prop_assert_eq!(next, last.checked_add(1));
            prop_assert!(count <= 2 * usize::from(bits) - 2);
        }
    }

    #[test]
    fn widest_covers() {
        for bits in [32, 128] {
            let limit = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
            let mut all = Vec::new();
            cover(0, limit, bits, |first, length| all.push((first, length)));
            assert_eq!(all, [(0, 0)]);
        }
    }
}
