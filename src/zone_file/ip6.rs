//! The IPv6 types of rbldnsd: `ip6trie` (prefixes) and `ip6tset` (/64s and excluded addresses).

use super::ReadOptions;
use super::lexer::{Fault, is_blank, is_end, token, trim_start};
use super::list::{List, Report, exception};
use crate::address::text::{AddressError, v6_address, v6_mask, v6_network, v6_prefix};
use crate::prefix_table::UNLISTED;

/// Cuts an IPv6 key from its value. The colons of an address belong to it; behind a length, a colon
/// begins the value.
pub(super) fn split_key(text: &[u8]) -> (&[u8], &[u8]) {
    let (key, rest) = token(text, |octet| is_blank(octet) || matches!(octet, b'#' | b';'));
    let Some(slash) = memchr::memchr(b'/', key) else { return (key, rest) };
    match memchr::memchr(b':', &key[slash..]) {
        Some(colon) if !key[slash..].contains(&b'-') => {
            let (key, value) = text.split_at(slash + colon);
            (key, trim_start(value))
        }
        _ => (key, rest),
    }
}

/// An `ip6trie` line.
pub(super) fn trie<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    let (key, value) = split_key(text);
    let (first, length) = prefix(key, options)?;
    let state = if excluded { UNLISTED } else { list.listing(value, options, report)? };
    list.judge_v6((first, first | !v6_mask(length)), state, key, options, report)?;
    list.count(state);
    list.push_v6(first, length, state, report);
    Ok(())
}

/// A prefix whose bits behind its length are clear, or cleared with `-e`.
pub(super) fn prefix<'t>(key: &'t [u8], options: &ReadOptions) -> Result<(u128, u8), Fault<'t>> {
    let (address, length) = v6_prefix(key).map_err(|error| Fault::new(key, error.to_string()))?;
    let first = address & v6_mask(length);
    if first != address && !options.accept_host_bits {
        return Err(Fault::new(key, "address bits are set after the prefix length"));
    }
    Ok((first, length))
}

/// An `ip6tset` line: a /64 as its four groups, or a complete address that is excluded from one.
///
/// As an exception of 128 bits it matters only where its /64 is listed, as it should.
pub(super) fn network<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    let (key, value) = split_key(text);
    if excluded {
        let address = v6_address(key).ok().filter(|_| !key.contains(&b'.'));
        let address = address.ok_or_else(|| Fault::new(key, "ip6tset excludes complete addresses only"))?;
        list.count(UNLISTED);
        list.push_v6(address, 128, UNLISTED, report);
        return Ok(());
    }
    let first = v6_network(key).map_err(|error| match error {
        AddressError::Incomplete => Fault::new(key, "ip6tset takes /64s as four groups only"),
        _ => Fault::new(key, error.to_string()),
    })?;
    if !is_end(value) {
        report.warn(value, "ip6tset has one value for all entries: this one is not used");
    }
    list.judge_v6((first, first | !v6_mask(64)), List::ONLY_STATE, key, options, report)?;
    list.count(List::ONLY_STATE);
    list.push_v6(first, 64, List::ONLY_STATE, report);
    Ok(())
}
