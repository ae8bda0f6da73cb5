//! Our own type `ip`: one list for both families, longest match, exceptions nested to any depth.
//!
//! IPv4 is written as in `ip4trie`, and a bare address is a /32. IPv6 is written in the standard
//! forms; a bare address stands for its /64, or what `$GRANULARITY` says, because a host has a whole
//! /64 to choose addresses from; `/128` says exactly one. A bare IPv4-mapped address is one address
//! too: its /64 would be all of ::/64. In both families `a-b` is a range, both ends included, and
//! becomes the fewest prefixes.

use super::ReadOptions;
use super::ip4;
use super::ip6::{self, Cut};
use super::lexer::{Fault, is_blank, token, trim_start};
use super::list::{List, exception};
use super::report::Report;
use crate::address::mapped;
use crate::address::text::{AddressError, WrittenV6, cover, length, v4_mask, v4_range, v6_address, v6_mask};
use crate::prefix_table::{State, UNLISTED};

/// What a bare IPv6 address stands for where no `$GRANULARITY` says otherwise.
pub(super) const DEFAULT_GRANULARITY: u8 = 64;

/// A line of the native type.
pub(super) fn entry<'t>(
    list: &mut List,
    text: &'t [u8],
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (text, excluded) = exception(text);
    // An IPv6 address has a colon right behind its first hex digits.
    let v6 = text.iter().find(|octet| !octet.is_ascii_hexdigit()) == Some(&b':');
    let Cut { key, value, plain } = if v6 {
        ip6::split_key(text)
    } else {
        let (key, value) = token(text, |octet| is_blank(octet) || matches!(octet, b':' | b'#' | b';'));
        Cut { key, value, plain: None }
    };
    if let [b'-', next, ..] = trim_start(value)
        && is_blank(*next)
    {
        report.warn(value, "taken as the text: no blanks stand around the `-` of a range");
    }
    let state = if excluded { UNLISTED } else { list.listing(value, options, report)? };
    match (v6, key.contains(&b'-')) {
        (true, true) => range_v6(list, key, state, options, report),
        (true, false) => prefix_v6(list, key, plain, state, options, report),
        (false, true) => range_v4(list, key, state, options, report),
        (false, false) => {
            let (first, length) = ip4::prefix(key, options)?;
            list.judge_v4((first, first | !v4_mask(length)), state, key, options, report)?;
            list.count(state);
            list.push_v4(first, length, state, report);
            Ok(())
        }
    }
}

fn prefix_v6<'t>(
    list: &mut List,
    key: &'t [u8],
    plain: Option<WrittenV6>,
    state: State,
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let read = match (plain, memchr::memchr(b'/', key)) {
        (Some(plain), _) => plain.address().map(|address| (address, plain.length())),
        (None, None) => v6_address(key).map(|address| (address, None)),
        (None, Some(slash)) => {
            v6_address(&key[..slash]).and_then(|address| Ok((address, Some(length(&key[slash + 1..], 128)?))))
        }
    };
    let (first, length) = match read.map_err(|error| Fault::new(key, error.to_string()))? {
        (address, Some(length)) if address & !v6_mask(length) != 0 && !options.accept_host_bits => {
            return Err(Fault::new(key, super::HOST_BITS));
        }
        (address, Some(length)) => (address, length),
        (address, None) if mapped(address).is_some() => (address, 128),
        (address, None) => (address, list.state.granularity),
    };
    let first = first & v6_mask(length);
    list.judge_v6((first, first | !v6_mask(length)), state, key, options, report)?;
    if length > list.state.granularity && state != UNLISTED && mapped(first).is_none() {
        report.warn(key, format!("longer than the granularity, /{}", list.state.granularity));
    }
    list.count(state);
    list.push_v6(first, length, state, report);
    Ok(())
}

fn range_v6<'t>(
    list: &mut List,
    key: &'t [u8],
    state: State,
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (begin, end) = token(key, |octet| octet == b'-');
    let fault = |error: AddressError| Fault::new(key, error.to_string());
    let first = v6_address(begin).map_err(fault)?;
    let last = v6_address(&end[1..]).map_err(fault)?;
    if last < first {
        return Err(fault(AddressError::EndBeforeBegin));
    }
    list.judge_v6((first, last), state, key, options, report)?;
    push_cover(list, key, (first, last, 128), state, report)
}

fn range_v4<'t>(
    list: &mut List,
    key: &'t [u8],
    state: State,
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let (first, last) = v4_range(key).map_err(|error| Fault::new(key, error.to_string()))?;
    list.judge_v4((first, last), state, key, options, report)?;
    push_cover(list, key, (first.into(), last.into(), 32), state, report)
}

fn push_cover<'t>(
    list: &mut List,
    key: &'t [u8],
    (first, last, bits): (u128, u128, u8),
    state: State,
    report: &mut Report<'_>,
) -> Result<(), Fault<'t>> {
    let mut pieces = 0;
    cover(first, last, bits, |_, _| pieces += 1);
    list.may_cut(pieces, key)?;
    list.count(state);
    let mut longest = 0;
    cover(first, last, bits, |first, length| {
        if bits == 32 {
            list.push_v4(first as u32, length, state, report);
        } else {
            list.push_v6(first, length, state, report);
            longest = longest.max(length);
        }
    });
    if longest > list.state.granularity && state != UNLISTED {
        report.warn(key, format!("ends inside a /{}, the granularity", list.state.granularity));
    }
    Ok(())
}
