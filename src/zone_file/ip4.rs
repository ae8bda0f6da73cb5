//! The IPv4 types: `ip4set` (ranges), `ip4tset` (single addresses) and `ip4trie` (prefixes).

use super::ReadOptions;
use super::lexer::{Fault, is_blank, is_end, token};
use super::list::{List, exception};
use super::report::Report;
use crate::address::text::{AddressError, v4_address, v4_mask, v4_prefix, v4_range};
use crate::prefix_table::UNLISTED;

/// What ends an IPv4 key: its value may follow without a blank.
fn ends_key(octet: u8) -> bool {
    is_blank(octet) || matches!(octet, b':' | b'#' | b';')
}

/// An `ip4set` line.
///
/// There the longest match does not hold: a range is cut into blocks of whole octets, and the lookup
/// takes the finest level that has any block for an address. So the entries are these blocks, of
/// 32, 24, 16 and 8 bits, and the same block may come several times, each with its value.
pub(super) fn set<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    let (key, value) = token(text, ends_key);
    let (first, last) = range(key, options)?;
    let state = if excluded { UNLISTED } else { list.listing(value, options, report)? };
    list.judge_v4((first, last), state, key, options, report)?;
    list.may_cut(blocks(first, last).count() as u64, key)?;
    list.count(state);
    for (first, length) in blocks(first, last) {
        list.push_v4(first, length, state, report);
    }
    Ok(())
}

/// A range, or a prefix of 1 to 32 bits.
fn range<'t>(key: &'t [u8], options: &ReadOptions) -> Result<(u32, u32), Fault<'t>> {
    if key.contains(&b'-') {
        return v4_range(key).map_err(|error| Fault::new(key, error.to_string()));
    }
    let (first, length) = prefix(key, options)?;
    if length == 0 {
        return Err(Fault::new(key, "ip4set takes everything only as 0-255"));
    }
    Ok((first, first | !v4_mask(length)))
}

/// The blocks of whole octets that a range is made of, lowest first: prefixes of 32, 24, 16 or 8
/// bits, each as wide as fits. At most 255 and 255 of each level but the widest, which has 256.
fn blocks(first: u32, last: u32) -> impl Iterator<Item = (u32, u8)> {
    let mut next = Some(first).filter(|&first| first <= last);
    std::iter::from_fn(move || {
        let first = next?;
        let length = [8, 16, 24]
            .into_iter()
            .find(|&length| first & !v4_mask(length) == 0 && first | !v4_mask(length) <= last)
            .unwrap_or(32);
        next = (first | !v4_mask(length)).checked_add(1).filter(|&next| next <= last);
        Some((first, length))
    })
}

/// An `ip4tset` line: one complete address, and nothing else that counts.
pub(super) fn single<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (key, value) = token(text, ends_key);
    let address = v4_address(key).map_err(|error| match error {
        AddressError::Incomplete => Fault::new(key, "ip4tset takes complete addresses only"),
        _ => Fault::new(key, error.to_string()),
    })?;
    if !is_end(value) {
        report.warn(value, "ip4tset has one value for all entries: this one is not used");
    }
    list.judge_v4((address, address), List::ONLY_STATE, key, options, report)?;
    list.count(List::ONLY_STATE);
    list.push_v4(address, 32, List::ONLY_STATE, report);
    Ok(())
}

/// An `ip4trie` line.
pub(super) fn trie<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    let (key, value) = token(text, ends_key);
    let (first, length) = prefix(key, options)?;
    let state = if excluded { UNLISTED } else { list.listing(value, options, report)? };
    list.judge_v4((first, first | !v4_mask(length)), state, key, options, report)?;
    list.count(state);
    list.push_v4(first, length, state, report);
    Ok(())
}

/// A prefix whose bits behind its length are clear, or cleared with `-e`.
pub(super) fn prefix<'t>(key: &'t [u8], options: &ReadOptions) -> Result<(u32, u8), Fault<'t>> {
    let (address, length) = v4_prefix(key).map_err(|error| Fault::new(key, error.to_string()))?;
    let first = address & v4_mask(length);
    if first != address && !options.accept_host_bits {
        return Err(Fault::new(key, super::HOST_BITS));
    }
    Ok((first, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_of_whole_octets() {
        let all: Vec<_> = blocks(0x0102_03fe, 0x0102_0501).collect();
        assert_eq!(
            all,
            [(0x0102_03fe, 32), (0x0102_03ff, 32), (0x0102_0400, 24), (0x0102_0500, 32), (0x0102_0501, 32)]
        );
        assert_eq!(blocks(0, u32::MAX).count(), 256);
        assert_eq!(blocks(1, u32::MAX - 1).count(), 3 * (255 + 255) + 254);
    }

    proptest! {
        #[test]
        fn blocks_are_exact(a: u32, b: u32) {
            let mut next = u64::from(a.min(b));
            for (first, length) in blocks(a.min(b), a.max(b)) {
                prop_assert_eq!(u64::from(first), next);
                next = u64::from(first | !v4_mask(length)) + 1;
            }
            prop_assert_eq!(next, u64::from(a.max(b)) + 1);
        }
    }
}
