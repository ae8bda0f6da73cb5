//! The limiter against an oracle that forgets nothing; its prefixes, its table, its clock.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn listed() -> Outcome {
    Outcome { reply: true, zone: Some(0), ..Outcome::default() }
}

fn limiter(limit: RateLimit) -> RateLimiter {
    RateLimiter::new(&limit)
}

fn at(millis: u64) -> Ticks {
    Duration::from_millis(millis).into()
}

fn v4(last: [u8; 2]) -> IpAddr {
    Ipv4Addr::new(192, 0, last[0], last[1]).into()
}

/// How many of so many answers at a time are within the limit.
fn within(limiter: &RateLimiter, now: Ticks, client: IpAddr, identity: u64, answers: u32) -> u32 {
    (0..answers).filter(|_| !limiter.exceeds(now, client, answer(&listed(), identity))).count() as u32
}

#[test]
fn a_rate_and_a_burst() {
    let limiter = limiter(RateLimit::default());
    let client = v4([2, 1]);
    // Five seconds of twenty are saved.
    assert_eq!(within(&limiter, at(0), client, 7, 1000), 100);
    assert_eq!(within(&limiter, at(1000), client, 7, 1000), 20);
    assert_eq!(within(&limiter, at(1049), client, 7, 1000), 0);
    assert_eq!(within(&limiter, at(1051), client, 7, 1000), 1);
    // Another answer, and another prefix; but not another client of this one.
    assert_eq!(within(&limiter, at(1051), client, 8, 1000), 100);
    assert_eq!(within(&limiter, at(1051), v4([3, 1]), 7, 1000), 100);
    assert_eq!(within(&limiter, at(1051), v4([2, 9]), 7, 1000), 0);
    assert_eq!(within(&limiter, at(60_000), client, 7, 1000), 100);
}

#[test]
fn long_times_do_no_harm() {
    let limiter = limiter(RateLimit::default());
    let client = v4([2, 1]);
    // Around the end of the clock, and days later.
    let end = TIME - Ticks::from(Duration::from_secs(1)).0;
    assert_eq!(within(&limiter, Ticks(end), client, 7, 1000), 100);
    let second = Ticks::from(Duration::from_secs(2)).0;
    assert_eq!(within(&limiter, Ticks(end + second), client, 7, 1000), 40);
    assert_eq!(within(&limiter, Ticks(end + TIME / 2), client, 7, 1000), 100);
    assert_eq!(within(&limiter, Ticks(end + TIME), client, 7, 1000), 100);
}

#[test]
fn prefixes_are_configured() {
    let limit = RateLimit { ipv4_prefix: 32, ipv6_prefix: 64, ..RateLimit::default() };
    let narrow = limiter(limit);
    let wide = limiter(RateLimit { ipv4_prefix: 0, ipv6_prefix: 0, ..RateLimit::default() });
    let v6 = |bits: u128| IpAddr::from(Ipv6Addr::from(0x2001_0db8 << 96 | bits));
    for (limiter, one, other, apart) in [
        (&narrow, v4([2, 1]), v4([2, 2]), true),
        (&narrow, v6(1), v6(2), false),
        (&narrow, v6(1 << 64), v6(2 << 64), true),
        (&wide, v4([2, 1]), "1.2.3.4".parse().unwrap(), false),
        (&wide, v6(1 << 64), "::1".parse().unwrap(), false),
        (&wide, v4([2, 1]), v6(0), true),
    ] {
        within(limiter, at(0), one, 7, 1000);
        assert_eq!(within(limiter, at(0), other, 7, 1000) > 0, apart, "{one} {other}");
        // Next time with everything at rest.
        limiter.table.iter().flat_map(|pair| &pair.0).for_each(|place| place.store(0, Relaxed));
    }
}

#[test]
fn errors_are_one_answer_and_the_exempt_have_no_limit() {
    let limit = RateLimit {
        all_per_second: Some(30),
        exempt: vec!["192.0.9.0/24".parse().unwrap()],
        ..RateLimit::default()
    };
    let limiter = limiter(limit);
    let refused = Outcome { zone: Some(1), rcode: rcode::REFUSED, ..listed() };
    let elsewhere = Outcome { zone: None, rcode: rcode::FORMERR, ..listed() };
    let count = |outcome: &Outcome, client| {
        (0..1000).filter(|&name| !limiter.exceeds(at(0), client, answer(outcome, name))).count()
    };
    assert_eq!(count(&refused, v4([2, 1])), 100);
    // Fifty are left of the hundred and fifty that the prefix has in all.
    assert_eq!(count(&elsewhere, v4([2, 1])), 50);
    assert_eq!(count(&listed(), v4([2, 1])), 0);
    assert_eq!(count(&listed(), v4([3, 1])), 150);
    assert_eq!(count(&refused, v4([9, 1])), 1000);
}

/// However many keys there are, those that are over their limit stay so, and the table as it is.
#[test]
fn a_flood_of_keys_hides_nobody() {
    let limiter = limiter(RateLimit { entries: 64, ..RateLimit::default() });
    assert_eq!(limiter.table.len(), 32);
    let client = v4([2, 1]);
    assert_eq!(within(&limiter, at(0), client, 7, 1000), 100);
    for identity in 1000..5000 {
        within(&limiter, at(0), client, identity, 1);
    }
    assert_eq!(within(&limiter, at(1), client, 7, 1000), 0);
}

#[test]
fn the_letter_case_of_a_name_is_no_difference() {
    let packet = |name: &[u8]| [&[0; HEADER][..], name, b"\0\x01\0\x01", b"more"].concat();
    const HEADER: usize = 12;
    let word = of_packet(&packet(b"\x01a\x07Example\0"), Some(1));
    assert_eq!(word, of_packet(&packet(b"\x01A\x07eXample\0"), Some(1)));
    for other in [&b"\x01b\x07example\0"[..], b"\x07example\0", b"\x09a.example\0", b"\0"] {
        assert_ne!(word, of_packet(&packet(other), Some(1)));
    }
    assert_ne!(word, of_packet(&[&packet(b"\x01a\x07example\0")[..22], b"\0\x10\0\x01"].concat(), Some(1)));
    for end in 0..30 {
        of_packet(&packet(b"\x01a\x07example\0")[..end.min(30)], Some(1));
    }
}

proptest! {
    /// With room for all keys, each is limited as if it were alone: an exact bucket for each.
    #[test]
    fn each_key_as_if_alone(
        asked in vec((0u64..400, 0u8..3, 0u64..4), 1..2000),
        per_second in 1u32..50,
        window in 1u64..10,
    ) {
        let limit = RateLimit { per_second, window: Duration::from_secs(window), ..RateLimit::default() };
        let limiter = limiter(limit);
        let mut buckets: HashMap<(u8, u64), u64> = HashMap::new();
        let mut now = 0;
        for (passed, prefix, identity) in asked {
            now += passed;
            let Ticks(ticks) = at(now);
            let full = buckets.entry((prefix, identity)).or_default();
            let used = (*full).max(ticks) - ticks + limiter.interval;
            let exceeds = used > limiter.window;
            if !exceeds {
                *full = ticks + used;
            }
            prop_assert_eq!(limiter.exceeds(at(now), v4([prefix, 1]), answer(&listed(), identity)), exceeds);
        }
    }
}
