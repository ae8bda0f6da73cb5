//! Listings that are probably mistakes: of special-purpose addresses, or of too much at once.

use super::ReadOptions;
use super::report::Report;
use crate::address::text::{v4_mask, v6_mask};

/// Blocks that no listing should touch (the IANA registries of special-purpose addresses).
const SPECIAL_V4: [(u32, u8, &str); 2] =
    [(10 << 24, 8, "10.0.0.0/8 (private use)"), (127 << 24, 8, "127.0.0.0/8 (loopback)")];

/// See [`SPECIAL_V4`].
const SPECIAL_V6: [(u128, u8, &str); 6] = [
    (0x2001_0db8 << 96, 32, "2001:db8::/32 (documentation)"),
    (0xfe80 << 112, 10, "fe80::/10 (link-local)"),
    (0xfc00 << 112, 7, "fc00::/7 (private use)"),
    (0, 96, "::/96 (unspecified, loopback, IPv4-compatible)"),
    (0x0064_ff9b << 96, 96, "64:ff9b::/96 (NAT64)"),
    (0x2002 << 112, 16, "2002::/16 (6to4)"),
];

/// The test entry that every list has (RFC 5782, section 5).
const TEST_ADDRESS: u32 = 127 << 24 | 2;

/// Warns of an IPv4 listing, given as its first and last address.
pub(super) fn listing_v4(first: u32, last: u32, at: &[u8], options: &ReadOptions, report: &mut Report<'_>) {
    if last - first > !v4_mask(options.widest_v4) {
        report.warn(at, format!("a listing wider than a /{}", options.widest_v4));
    }
    if first == TEST_ADDRESS && last == TEST_ADDRESS {
        return;
    }
    for (block, length, name) in SPECIAL_V4 {
        if let Some(how) = touches(first, last, block, block | !v4_mask(length)) {
            report.warn(at, format!("{how} {name}"));
        }
    }
}

/// Warns of an IPv6 listing, given as its first and last address.
pub(super) fn listing_v6(first: u128, last: u128, at: &[u8], options: &ReadOptions, report: &mut Report<'_>) {
    if last - first > !v6_mask(options.widest_v6) {
        report.warn(at, format!("a listing wider than a /{}", options.widest_v6));
    }
    // Nearly all listings lie in 2000::/3, and only two of the blocks do.
    let global = first >> 125 == 1 && last >> 125 == 1;
    if global && !matches!(first >> 112, 0x2001 | 0x2002) && first >> 112 == last >> 112 {
        return;
    }
    for (block, length, name) in SPECIAL_V6 {
        if let Some(how) = touches(first, last, block, block | !v6_mask(length)) {
            report.warn(at, format!("{how} {name}"));
        }
    }
}

/// How a listing and a block meet, if they do.
fn touches<A: Ord>(first: A, last: A, block_first: A, block_last: A) -> Option<&'static str> {
    if first <= block_first && block_last <= last {
        Some("lists all of")
    } else if first <= block_last && block_first <= last {
        Some("lists addresses in")
    } else {
        None
    }
}
