//! Special lines: `$SOA`, `$NS`, `$TTL` and the others. Reading them is all that happens here; what
//! they do to the dataset is for `parser`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::lexer::{Fault, trim_start, word, words};
use super::report::Report;
use super::{NameServers, ReadOptions, Soa};
use crate::address::text::length;
use crate::name::Name;

/// What a special line says.
#[derive(Debug)]
pub(super) enum Special<'t> {
    /// `$SOA`.
    Soa(Soa),
    /// `$NS`.
    NameServers(NameServers),
    /// `$TTL`, in seconds, within the limits.
    Ttl(u32),
    /// `$TIMESTAMP`: the expiry as seconds since 1970, if it has one.
    Timestamp(Option<u64>),
    /// `$MAXRANGE4`: the most addresses of an entry.
    MaxRange4(u64),
    /// `$MAXRANGE6`: the most addresses of an entry, less one.
    MaxRange6(u128),
    /// `$GRANULARITY`: the length of a bare IPv6 address.
    Granularity(u8),
    /// `$0` to `$9`.
    Variable(usize, &'t [u8]),
    /// `$=`.
    Base(&'t [u8]),
    /// `$DATASET`: what follows it.
    Dataset(&'t [u8]),
}

/// The special line in a line, without its `$`: `#$`, `;$` and `:$` begin one as well.
pub(super) fn find(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'$', rest @ ..] | [b'#' | b';' | b':', b'$', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Reads a special line, given without its `$`. `ttl` is the one in force at this line.
pub(super) fn read<'t>(
    text: &'t [u8],
    ttl: u32,
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<Special<'t>, Fault<'t>> {
    let (keyword, rest) = word(text);
    let special = match &keyword.to_ascii_uppercase()[..] {
        b"SOA" => Special::Soa(soa(text, rest, ttl, options)?),
        b"NS" | b"NAMESERVER" => Special::NameServers(name_servers(text, rest, ttl, options, report)?),
        b"TTL" => Special::Ttl(entry_ttl(rest, options.default_ttl, options)?),
        b"TIMESTAMP" => Special::Timestamp(timestamp(text, rest, options.now)?),
        b"MAXRANGE4" => Special::MaxRange4(max_range(rest, 32)?.saturating_add(1) as u64),
        b"MAXRANGE6" => Special::MaxRange6(max_range(rest, 128)?),
        b"GRANULARITY" => Special::Granularity(
            length(rest, 128).map_err(|_| Fault::new(text, "$GRANULARITY takes a number from 0 to 128"))?,
        ),
        b"DATASET" => Special::Dataset(rest),
        [digit @ b'0'..=b'9'] => Special::Variable(usize::from(digit - b'0'), template(text, rest)?),
        b"=" => Special::Base(template(text, rest)?),
        _ => return Err(Fault::new(text, "unknown special line")),
    };
    Ok(special)
}

fn template<'t>(text: &'t [u8], rest: &'t [u8]) -> Result<&'t [u8], Fault<'t>> {
    if rest.is_empty() { Err(Fault::new(text, "the text is missing")) } else { Ok(rest) }
}

/// `ttl origin person serial refresh retry expire minimum`: exactly these.
fn soa<'t>(text: &'t [u8], rest: &'t [u8], ttl: u32, options: &ReadOptions) -> Result<Soa, Fault<'t>> {
    let mut fields = [&b""[..]; 8];
    let mut written = words(rest);
    for field in &mut fields {
        *field = written.next().ok_or_else(|| Fault::new(text, "$SOA needs eight fields"))?;
    }
    if let Some(more) = written.next() {
        return Err(Fault::new(more, "nothing may follow the eight fields of $SOA, not even a comment"));
    }
    let [ttl_field, primary, mailbox, serial, refresh, retry, expire, minimum] = fields;
    Ok(Soa {
        ttl: entry_ttl(ttl_field, ttl, options)?,
        primary: name(primary)?,
        mailbox: name(mailbox)?,
        serial: number(serial).ok_or_else(|| Fault::new(serial, "invalid serial"))?,
        refresh: seconds(refresh)?,
        retry: seconds(retry)?,
        expire: seconds(expire)?,
        minimum: seconds(minimum)?,
    })
}

/// `ttl name …`; a name with `-` in front is left out.
fn name_servers<'t>(
    text: &'t [u8],
    rest: &'t [u8],
    ttl: u32,
    options: &ReadOptions,
    report: &mut Report<'_>,
) -> Result<NameServers, Fault<'t>> {
    /// As many as rbldnsd takes.
    const MOST: usize = 32;
    let (ttl_field, names) = word(rest);
    let ttl = entry_ttl(ttl_field, ttl, options)?;
    let mut hosts: Vec<Name> = Vec::new();
    for host in words(names) {
        if host.starts_with(b"#") || host.starts_with(b";") {
            let place = host.as_ptr() as usize - text.as_ptr() as usize;
            report.warn(&text[place..], "taken as a comment, and not as name servers");
            break;
        }
        if host.starts_with(b"-") {
            continue;
        }
        let name = name(host)?;
        if hosts.contains(&name) {
            report.warn(host, "name server named twice");
        } else if hosts.len() == MOST {
            report.warn(host, "only the first 32 name servers are taken");
            break;
        } else {
            hosts.push(name);
        }
    }
    if hosts.is_empty() {
        return Err(Fault::new(text, "$NS names no server"));
    }
    Ok(NameServers { ttl, hosts })
}

fn name(text: &[u8]) -> Result<Name, Fault<'_>> {
    Name::from_text(text).map_err(|error| Fault::new(text, error.to_string()))
}

/// A TTL within the limits of the options; 0 takes `default`.
pub(super) fn entry_ttl<'t>(field: &'t [u8], default: u32, options: &ReadOptions) -> Result<u32, Fault<'t>> {
    let ttl = match seconds(field)? {
        0 => default,
        ttl => ttl,
    };
    let max = if options.max_ttl == 0 { u32::MAX } else { options.max_ttl };
    Ok(ttl.min(max).max(options.min_ttl))
}

/// A time: a number of seconds, or of what one of `s m h d w` behind it says.
fn seconds(field: &[u8]) -> Result<u32, Fault<'_>> {
    let unit = match field.last().map(u8::to_ascii_lowercase) {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        Some(b'w') => 604_800,
        _ => 0,
    };
    let digits = &field[..field.len() - usize::from(unit > 0)];
    number(digits)
        .and_then(|number| number.checked_mul(unit.max(1)))
        .ok_or_else(|| Fault::new(field, "invalid time: a number and at most one of s, m, h, d, w"))
}

/// A decimal number.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u32, |value, digit| value.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
}

/// `N` or `/bits`: the number of addresses, less one.
fn max_range(rest: &[u8], bits: u8) -> Result<u128, Fault<'_>> {
    const WHY: &str = "needs a number of addresses, or a prefix length behind a slash";
    let all = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    match rest {
        [b'/', digits @ ..] => {
            let length = length(digits, bits).map_err(|_| Fault::new(rest, WHY))?;
            Ok(all.checked_shr(u32::from(length)).unwrap_or(0))
        }
        // More digits than a `u128` has room for are as good as no limit.
        _ if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => {
            let number = rest.iter().fold(0u128, |value, digit| {
                value.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
            });
            number.checked_sub(1).map(|less| less.min(all)).ok_or_else(|| Fault::new(rest, "0 is no limit"))
        }
        _ => Err(Fault::new(rest, WHY)),
    }
}

/// `stamp [expires|+time]`. A stamp that is yet to come fails the dataset: the clock or the file
/// is wrong.
fn timestamp<'t>(text: &'t [u8], rest: &'t [u8], now: SystemTime) -> Result<Option<u64>, Fault<'t>> {
    let (stamp_field, rest) = word(rest);
    let (expiry_field, more) = word(rest);
    if !trim_start(more).is_empty() {
        return Err(Fault::new(more, "nothing may follow the expiry of $TIMESTAMP"));
    }
    let stamp = date(stamp_field)?;
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if stamp.is_some_and(|stamp| stamp > now) {
        return Err(Fault::early(text, "the data claims to come from the future"));
    }
    match expiry_field {
        b"" => Ok(None),
        [b'+', time @ ..] => {
            let time = u64::from(seconds(time)?);
            Ok(stamp.map(|stamp| stamp + time).filter(|_| time > 0))
        }
        field => date(field),
    }
}

/// `yyyy[:-]mm[:-]dd[[:-]hh[[:-]mi[[:-]ss]]]` in UTC, years 1970 to 2038, as seconds since 1970;
/// `0` and `-` are none.
fn date(field: &[u8]) -> Result<Option<u64>, Fault<'_>> {
    if matches!(field, b"0" | b"-") {
        return Ok(None);
    }
    let fault = || Fault::new(field, "invalid date: yyyy-mm-dd-hh-mi-ss");
    let mut rest = field;
    let mut part = |digits: usize, optional: bool| -> Option<u64> {
        if let [b':' | b'-', after @ ..] = rest
            && rest.len() < field.len()
        {
            rest = after;
        } else if rest.is_empty() && optional {
            return Some(0);
        }
        let (now, later) = rest.split_at_checked(digits)?;
        rest = later;
        number(now).map(u64::from)
    };
    let mut parts = || {
        let (year, month, day) = (part(4, false)?, part(2, false)?, part(2, false)?);
        let (hour, minute, second) = (part(2, true)?, part(2, true)?, part(2, true)?);
        Some([year, month, day, hour, minute, second])
    };
    let [year, month, day, hour, minute, second] = parts().ok_or_else(fault)?;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in = |month: u64| match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid =
        (1970..=2038).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    if !rest.is_empty() || !valid || !(1..=days_in(month)).contains(&day) {
        return Err(fault());
    }
    let days = (1970..year).map(|year| 365 + u64::from(leap(year))).sum::<u64>()
        + (1..month).map(days_in).sum::<u64>()
        + (day - 1);
    Ok(Some(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in
            [("5", Some(5)), ("2s", Some(2)), ("3M", Some(180)), ("1h", Some(3600)), ("1w", Some(604_800))]
        {
            assert_eq!(seconds(text.as_bytes()).ok(), expected);
        }
        for text in ["", "h", "1h30m", "-1", "1.5", "4294967296", "99999w", "1x"] {
            assert!(seconds(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000:03:01", 951_868_800),
            ("20240229", 1_709_164_800),
            ("2024-02-29-12", 1_709_208_000),
            ("2023:11:14:22:13:20", 1_700_000_000),
            ("20231114221320", 1_700_000_000),
        ] {
            assert_eq!(date(text.as_bytes()).unwrap(), Some(expected), "{text}");
        }
        for text in ["", "2023", "2023-13-01", "2023-02-29", "1969-01-01", "2039-01-01", "2023-01-01x", "é"]
        {
            assert!(date(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(date(b"-").unwrap(), None);
    }

    #[test]
    fn ranges() {
        for (text, bits, expected) in [
            ("256", 32, Some(255)),
            ("/24", 32, Some(255)),
            ("/0", 32, Some(0xffff_ffff)),
            ("/32", 32, Some(0)),
            ("/33", 32, None),
            ("0", 32, None),
            ("/64", 128, Some(u128::from(u64::MAX))),
            ("/128", 128, Some(0)),
            ("/0", 128, Some(u128::MAX)),
            ("", 32, None),
            ("x", 32, None),
        ] {
            assert_eq!(max_range(text.as_bytes(), bits).ok(), expected, "{text}");
        }
    }
}
