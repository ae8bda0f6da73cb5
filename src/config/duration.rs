//! Times as rbldnsd writes them: a number of seconds, or a number with a unit (`90`, `35m`, `2h`).

/// The text is no time, or too long a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time: a number of seconds, or a number and s, m, h, d or w, below 2^31 seconds")]
pub struct BadDuration;

/// Reads a time, in seconds: at most 2^31 - 1 (RFC 2181, section 8).
pub fn seconds(text: &str) -> Result<u32, BadDuration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(BadDuration),
    };
    // `u32::from_str` would take a sign.
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(BadDuration);
    }
    let number: u32 = digits.parse().map_err(|_| BadDuration)?;
    number.checked_mul(unit).filter(|&seconds| seconds <= i32::MAX as u32).ok_or(BadDuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, expected) in
            [("0", 0), ("90", 90), ("90s", 90), ("35m", 2100), ("2H", 7200), ("1d", 86_400), ("1w", 604_800)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "+5", "-1", "1h30m", "1y", "5 m", "2147483648", "99999w", "é", "5é"] {
            assert_eq!(seconds(text), Err(BadDuration), "{text}");
        }
    }
}
