//! The IPv6 types of rbldnsd: `ip6trie` (prefixes) and `ip6tset` (/64s and excluded addresses).

use super::ReadOptions;
use super::lexer::{Fault, is_blank, is_end, token, trim_start};
use super::list::{List, exception};
use super::report::Report;
use crate::address::text::{AddressError, WrittenV6, v6_address, v6_mask, v6_network, v6_prefix};
use crate::prefix_table::UNLISTED;

/// The key of a line cut from its value.
pub(super) struct Cut<'t> {
    pub key: &'t [u8],
    /// What follows, without the blanks before it.
    pub value: &'t [u8],
    /// What the key says, where it is written plainly, as nearly all are.
    pub plain: Option<WrittenV6>,
}

/// Cuts an IPv6 key from its value. The colons of an address belong to it; behind a length, a colon
/// begins the value.
pub(super) fn split_key(text: &[u8]) -> Cut<'_> {
    let ends_key = |octet: u8| is_blank(octet) || matches!(octet, b'#' | b';');
    if let Some((written, end)) = WrittenV6::leading(text) {
        let (key, rest) = text.split_at(end);
        if rest.first().is_none_or(|&octet| ends_key(octet)) {
            return Cut { key, value: trim_start(rest), plain: Some(written) };
        }
    }
    let (key, value) = token(text, ends_key);
    let length = memchr::memchr(b'/', key).map_or(key.len(), |slash| slash);
    match memchr::memchr(b':', &key[length..]) {
        Some(colon) if !key[length..].contains(&b'-') => {
            let (key, value) = text.split_at(length + colon);
            Cut { key, value: trim_start(value), plain: None }
        }
        _ => Cut { key, value, plain: None },
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
    let cut = split_key(text);
    let Cut { key, value, .. } = cut;
    let (first, length) = prefix(&cut, options)?;
    let state = if excluded { UNLISTED } else { list.listing(value, options, report)? };
    list.judge_v6((first, first | !v6_mask(length)), state, key, options, report)?;
    list.count(state);
    list.push_v6(first, length, state, report);
    Ok(())
}

/// A prefix whose bits behind its length are clear, or cleared with `-e`.
pub(super) fn prefix<'t>(cut: &Cut<'t>, options: &ReadOptions) -> Result<(u128, u8), Fault<'t>> {
    let Cut { key, plain, .. } = *cut;
    let read = plain.map_or_else(|| v6_prefix(key), WrittenV6::prefix);
    let (address, length) = read.map_err(|error| Fault::new(key, error.to_string()))?;
    let first = address & v6_mask(length);
    if first != address && !options.accept_host_bits {
        return Err(Fault::new(key, super::HOST_BITS));
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
    let Cut { key, value, plain } = split_key(text);
    if excluded {
        let address = v6_address(key).ok().filter(|_| !key.contains(&b'.'));
        let address = address.ok_or_else(|| Fault::new(key, "ip6tset excludes complete addresses only"))?;
        list.count(UNLISTED);
        list.push_v6(address, 128, UNLISTED, report);
        return Ok(());
    }
    let read = plain.filter(|plain| plain.length().is_none());
    let first = read.map_or_else(|| v6_network(key), WrittenV6::network).map_err(|error| match error {
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
