//! What a line gives its entry: `:A:text`, `:A`, or a text alone.

use std::net::Ipv4Addr;

use super::ReadOptions;
use super::lexer::{Fault, is_blank, trim_start};
use super::report::Report;
use crate::address::text::v4_loose;

/// A value as it is written; what is missing comes from the default line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written<'t> {
    /// The A record.
    pub address: Option<Ipv4Addr>,
    /// The text.
    pub text: Option<&'t [u8]>,
    /// Whether the default text stands in where there is none: not after `:A:`, which says that
    /// there is to be no text.
    pub keeps_default_text: bool,
}

/// Reads what stands behind a key, without the blanks before it. Not for an empty value.
pub(super) fn read(value: &[u8]) -> Result<Written<'_>, Fault<'_>> {
    let [b':', after @ ..] = value else {
        return Ok(Written { address: None, text: Some(value), keeps_default_text: false });
    };
    let length = after.iter().position(|&octet| is_blank(octet) || octet == b':').unwrap_or(after.len());
    let (number, rest) = after.split_at(length);
    let address = Some(a_record(number).ok_or_else(|| Fault::new(value, "invalid A record"))?);
    match trim_start(rest) {
        [] => Ok(Written { address, text: None, keeps_default_text: true }),
        [b':', text @ ..] => {
            let text = Some(trim_start(text)).filter(|text| !text.is_empty());
            Ok(Written { address, text, keeps_default_text: false })
        }
        rest => Err(Fault::new(rest, "after `:A` only `:text` may stand (comments are not taken here)")),
    }
}

/// `5` is 127.0.0.5; other forms are as `inet_aton` takes them. 0.0.0.0 is none.
fn a_record(number: &[u8]) -> Option<Ipv4Addr> {
    match v4_loose(number).ok()? {
        (0, _) => None,
        (last, 1) => Some(Ipv4Addr::new(127, 0, 0, last as u8)),
        (address, _) => Some(address.into()),
    }
}

/// A text as it is kept: rbldnsd's 255 octets in drop-in mode, whole otherwise.
pub(super) fn limited<'t>(text: &'t [u8], options: &ReadOptions, report: &mut Report<'_>) -> &'t [u8] {
    const LONGEST: usize = 255;
    if !options.dropin || text.len() <= LONGEST {
        return text;
    }
    report.warn(text, "TXT cut to 255 octets");
    &text[..LONGEST]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let a = |text: &str| Some(text.parse::<Ipv4Addr>().unwrap());
        for (value, address, text, keeps_default_text) in [
            (":5", a("127.0.0.5"), None, true),
            (":5:", a("127.0.0.5"), None, false),
            (":5:  spaced   out", a("127.0.0.5"), Some("spaced   out"), false),
            (":5 : x", a("127.0.0.5"), Some("x"), false),
            (":127.2:x", a("127.0.0.2"), Some("x"), false),
            (":1.2.3:x", a("1.2.0.3"), Some("x"), false),
            (":127:x", a("127.0.0.127"), Some("x"), false),
            (":010:x", a("127.0.0.10"), Some("x"), false),
            (":5:a:b", a("127.0.0.5"), Some("a:b"), false),
            (":5:#a", a("127.0.0.5"), Some("#a"), false),
            ("text # not a comment", None, Some("text # not a comment"), false),
        ] {
            let expected = Written { address, text: text.map(str::as_bytes), keeps_default_text };
            assert_eq!(read(value.as_bytes()).unwrap(), expected, "{value}");
        }
        for value in [
            ":",
            "::",
            ":x",
            ":0:x",
            ":256:x",
            ":0.0.0.0:x",
            ":5 x",
            ":5 # c",
            ":5#c",
            ":5.:x",
            ":-1:x",
            ": 5:x",
        ] {
            assert!(read(value.as_bytes()).is_err(), "{value}");
        }
    }
}
