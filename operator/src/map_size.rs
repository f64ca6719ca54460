//! How large the databases may grow, from the size of their volume.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SizeError {
    #[error("is no size: write a number with a unit, like 5Gi")]
    Unreadable,
    #[error("has no room for two databases: use at least 64Mi")]
    TooSmall,
}

const MB: u128 = 1 << 20;

/// The map size of each of the two database files, in units of 2^20 bytes as both PowerDNS and the agent count.
///
/// Each may take 40 % of the volume. Records and the rest grow at different rates, so neither is given more; the fifth
/// that is left pays for the file system itself and the lock files, so that a database is full (an error that
/// PowerDNS reports and survives) before its disk is.
pub fn from_volume(size: &str) -> Result<u64, SizeError> {
    let map_size = bytes(size).ok_or(SizeError::Unreadable)? * 4 / 10 / MB;
    if map_size < 16 {
        return Err(SizeError::TooSmall);
    }
    u64::try_from(map_size).map_err(|_| SizeError::Unreadable)
}

/// A Kubernetes quantity with a unit of size. The schema allows no other form.
fn bytes(quantity: &str) -> Option<u128> {
    let digits_end = quantity
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(digits_end);
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More places than these do not change a megabyte.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_two_fifths_in_whole_megabytes() {
        for (size, expected) in [
            ("5Gi", 2048),
            ("64Mi", 25),
            ("1.5Gi", 614),
            ("10G", 3814),
            ("1Ti", 419_430),
        ] {
            assert_eq!(from_volume(size), Ok(expected), "{size}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for size in ["", "Gi", "five", "5Zi", "1.2.3Gi", "-5Gi", "1e9"] {
            assert_eq!(from_volume(size), Err(SizeError::Unreadable), "{size}");
        }
    }

    #[test]
    fn a_volume_too_small_for_two_databases_is_refused() {
        assert_eq!(from_volume("10Mi"), Err(SizeError::TooSmall));
    }

    #[test]
    fn a_size_beyond_counting_is_refused_and_not_wrapped() {
        assert_eq!(
            from_volume("99999999999999999999999999999999Pi"),
            Err(SizeError::Unreadable)
        );
    }
}
