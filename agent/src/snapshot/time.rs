//! Times as they stand in the names of objects: `YYYYMMDD-HHMMSS-nnnnnnnnn`, in UTC. They sort as text.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::NameError;

/// Writes a time in ns since the epoch.
pub(super) fn format_time(timestamp: u64) -> Result<String, NameError> {
    let time = Timestamp::from_nanosecond(timestamp.into())
        .map_err(|_| NameError::Range(timestamp))?
        .to_zoned(TimeZone::UTC)
        .datetime();
    Ok(format!(
        "{:04}{:02}{:02}-{:02}{:02}{:02}-{:09}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond()
    ))
}

/// Reads a time, ns since the epoch.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 25 || bytes[8] != b'-' || bytes[15] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i32> {
        let digits = text.get(range)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    let small = |range| number(range).and_then(|n| i8::try_from(n).ok());
    let time = DateTime::new(
        i16::try_from(number(0..4)?).ok()?,
        small(4..6)?,
        small(6..8)?,
        small(9..11)?,
        small(11..13)?,
        small(13..15)?,
        number(16..25)?,
    )
    .ok()?;
    let nanos = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond();
    u64::try_from(nanos).ok()
}
