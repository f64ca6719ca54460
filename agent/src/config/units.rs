//! Durations and sizes as Lightning Stream writes them.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};

/// A duration in Go's form: `1s`, `500ms`, `1h30m`; or in days: `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Span).map_err(D::Error::custom)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let mut rest = nanoseconds;
        for (unit, length) in [
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1000),
            ("ns", 1),
        ] {
            let count = rest / length;
            rest %= length;
            if count > 0 || (nanoseconds == 0 && unit == "s") {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Self)
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    // The one number that needs no unit.
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text} has no unit, and Lightning Stream takes it for nanoseconds: write {text}s if seconds are meant"
        ));
    }
    let wrong = || format!("{text:?} is not a duration such as 500ms, 1s or 1h30m");
    // Go has no days.
    if let Some(Ok(days)) = text.strip_suffix('d').map(str::parse::<u32>) {
        return Ok(Duration::from_secs(u64::from(days) * 86_400));
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// A size in bytes: a number, or a number with `B`, `KB`, `MB`, `GB` or `TB`, all by powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl Size {
    pub const fn mebibytes(count: usize) -> Self {
        Self(count << 20)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 1GB or a number of bytes")
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
                usize::try_from(bytes).map(Size).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [
            ("TB", 1_usize << 40),
            ("GB", 1 << 30),
            ("MB", 1 << 20),
            ("KB", 1 << 10),
        ];
        match units
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit))
        {
            Some((name, unit)) => serializer.collect_str(&format_args!("{}{name}", self.0 / unit)),
            None => serializer.serialize_u64(self.0 as u64),
        }
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a size such as 512MB or 1GB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1_usize << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(parse_duration("1s").unwrap(), Duration::from_secs(1));
        assert_eq!(parse_duration("100ms").unwrap(), Duration::from_millis(100));
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("168h").unwrap(), Duration::from_secs(168 * 3600));
        assert_eq!(parse_duration("30d").unwrap(), Duration::from_secs(30 * 86_400));
        for bad in ["", "-1s", "1", "soon"] {
            assert!(parse_duration(bad).unwrap_err().contains(bad), "{bad}");
        }
        assert!(parse_duration("15").unwrap_err().contains("write 15s"));
    }

    #[test]
    fn durations_and_sizes_are_written_as_they_are_read() {
        for text in ["0s", "50ms", "1s", "1m30s", "168h", "1h1ms", "1ms2us3ns"] {
            assert_eq!(Span(parse_duration(text).unwrap()).to_string(), text);
        }
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for (text, shown) in [("4096MB", "\"4GB\""), ("100", "100"), ("1025KB", "\"1025KB\"")] {
            assert_eq!(
                serde_json::to_string(&Size(parse_size(text).unwrap())).unwrap(),
                shown
            );
        }
    }

    #[test]
    fn sizes_go_by_powers_of_1024_whatever_the_unit_is_called() {
        assert_eq!(parse_size("100").unwrap(), 100);
        assert_eq!(parse_size("4096MB").unwrap(), 4 << 30);
        assert_eq!(parse_size("1GB").unwrap(), 1 << 30);
        assert_eq!(parse_size("1 tb").unwrap(), 1 << 40);
        for bad in ["", "GB", "1.5GB", "1XB", "99999999999TB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
