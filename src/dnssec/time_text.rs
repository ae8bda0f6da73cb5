//! Points in time as key files write them: `YYYYMMDDHHMMSS`, in UTC.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Seconds since 1970 as text.
pub fn write(seconds: u32) -> String {
    let date = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds.into());
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// For people: `2026-11-22 02:00:00 UTC`.
pub fn show(seconds: u32) -> String {
    let text = write(seconds);
    let part = |from: usize, to: usize| &text[from..to];
    format!(
        "{}-{}-{} {}:{}:{} UTC",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    )
}

/// Reads what [`write()`] writes; `None` for what is no such time, or not between 1970 and 2106.
pub fn read(text: &str) -> Option<u32> {
    if text.len() != 14 || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u16>().ok();
    let small = |from: usize, to: usize| text[from..to].parse::<u8>().ok();
    let month = Month::try_from(small(4, 6)?).ok()?;
    let date = Date::from_calendar_date(number(0, 4)?.into(), month, small(6, 8)?).ok()?;
    let time = Time::from_hms(small(8, 10)?, small(10, 12)?, small(12, 14)?).ok()?;
    u32::try_from(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        assert_eq!(read("20261122015501"), Some(1_795_312_501));
        assert_eq!(show(1_795_312_501), "2026-11-22 01:55:01 UTC");
        for text in ["", "2026112201550", "20261322015501", "20260230000000", "19691231235959", "２０２６11"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(seconds: u32) {
            prop_assert_eq!(read(&write(seconds)), Some(seconds));
        }
    }
}
