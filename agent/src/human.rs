//! Sizes, times and numbers as people read them.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::{SpanRound, Timestamp, Unit};

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A time (ns since the epoch) for people.
pub(crate) fn time(nanos: u64) -> String {
    Timestamp::from_nanosecond(nanos.into()).map_or_else(
        |_| format!("{nanos} ns"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S.%3f UTC").to_string(),
    )
}

/// How long ago a time was, in its two largest units; `now` in ns since the epoch.
pub(crate) fn age(nanos: u64, now: u64) -> String {
    let (sign, between) = if nanos > now {
        ("in ", nanos - now)
    } else {
        ("", now - nanos)
    };
    format!("{sign}{}", span(Duration::from_nanos(between)))
}

/// A time span in its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let smallest = match seconds {
        0..3_600 => Unit::Second,
        3_600..86_400 => Unit::Minute,
        _ => Unit::Hour,
    };
    let round = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .days_are_24_hours();
    let span = jiff::Span::new()
        .try_seconds(seconds)
        .and_then(|span| span.round(round));
    span.map_or_else(|_| "?".to_owned(), |span| format!("{span:#}"))
}

/// A number with its thousands set apart by a narrow space.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_their_two_largest_units() {
        let now = 1_000_000_000_000_000_000;
        let ago = |seconds: u64| age(now - seconds * 1_000_000_000, now);
        assert_eq!(ago(0), "0s");
        assert_eq!(ago(226), "3m 46s");
        assert_eq!(ago(2 * 86_400 + 3 * 3_600 + 5), "2d 3h");
        assert_eq!(age(now + 5_000_000_000, now), "in 5s");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
