//! Names of snapshot objects:
//! `<database>__<instance>__<YYYYMMDD-HHMMSS-nnnnnnnnn>__<generation>[__<extra>…].pb.gz`, times in UTC.

use std::fmt;

use super::GENERATION;
use super::time::{format_time, parse_time};

/// The only extension that is a snapshot; names with others are not ours to judge.
pub(super) const EXTENSION: &str = "pb.gz";

/// Why a name is not one of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the extension is not .{EXTENSION}")]
    Extension,
    #[error("it has fewer than four parts separated by \"__\"")]
    Parts,
    #[error("{0:?} is not a time of the form YYYYMMDD-HHMMSS-nnnnnnnnn")]
    Time(String),
    #[error("the generation {0:?} is not {GENERATION:?}")]
    Generation(String),
    #[error("{0:?} is not an extra part: they begin with a capital letter other than G, in order, each once")]
    Extra(String),
    #[error("the time is out of range: the clock shows one that no name can hold ({0} ns)")]
    Range(u64),
    #[error("it is not in the folder of deltas")]
    Folder,
}

/// A parsed name. Names of one instance sort by their time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    database: String,
    instance: String,
    timestamp: u64,
    full: String,
}

impl SnapshotName {
    /// A name for a snapshot taken at `timestamp` (ns since the epoch).
    ///
    /// # Errors
    /// [`NameError::Range`] for a time after the year 9999.
    pub fn new(database: &str, instance: &str, timestamp: u64) -> Result<Self, NameError> {
        let instance = sanitize_instance(instance);
        let time = format_time(timestamp)?;
        let full = format!("{database}__{instance}__{time}__{GENERATION}.{EXTENSION}");
        Ok(Self {
            database: database.to_owned(),
            instance,
            timestamp,
            full,
        })
    }

    /// Parses the last part of an object's key.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let (stem, extension) = name.split_once('.').ok_or(NameError::Extension)?;
        if extension != EXTENSION {
            return Err(NameError::Extension);
        }
        let mut parts = stem.split("__");
        let (Some(database), Some(instance), Some(time), Some(generation)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NameError::Parts);
        };
        if database.is_empty() || instance.is_empty() {
            return Err(NameError::Parts);
        }
        if generation != GENERATION {
            return Err(NameError::Generation(generation.to_owned()));
        }
        let mut last = None;
        for extra in parts {
            let letter = extra
                .chars()
                .next()
                .filter(|c| c.is_ascii_uppercase() && *c != 'G');
            if letter.is_none() || letter <= last {
                return Err(NameError::Extra(extra.to_owned()));
            }
            last = letter;
        }
        let timestamp = parse_time(time).ok_or_else(|| NameError::Time(time.to_owned()))?;
        Ok(Self {
            database: database.to_owned(),
            instance: instance.to_owned(),
            timestamp,
            full: name.to_owned(),
        })
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// The instance, in the form [`sanitize_instance`] gives.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// When the snapshot was taken, ns since the epoch.
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    pub fn as_str(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// The form of an instance's name inside object names: what is not a letter, a digit or `-` becomes `-`.
pub fn sanitize_instance(instance: &str) -> String {
    instance
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

/// Whether a database can have this name: it is found again in an object's name. A `_` at the end would be taken
/// for the instance's.
pub fn is_database_name(database: &str) -> bool {
    !database.is_empty()
        && !database.contains("__")
        && !database.ends_with('_')
        && !database.contains(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "main__instA__20261124-090050-137194777__GX.pb.gz";

    #[test]
    fn a_name_of_lightning_stream_parses_and_is_written_the_same() {
        let name = SnapshotName::parse(GOLDEN).unwrap();
        assert_eq!((name.database(), name.instance()), ("main", "instA"));
        // The time of the name is the timestamp inside the golden snapshot.
        assert_eq!(name.timestamp(), 1_795_510_850_137_194_777);
        assert_eq!(
            SnapshotName::new("main", "instA", name.timestamp()).unwrap(),
            name
        );
    }

    #[test]
    fn extra_parts_are_taken_in_order_and_once() {
        let with = |extras: &str| SnapshotName::parse(&GOLDEN.replace("__GX", &format!("__GX{extras}")));
        assert!(with("__Afoo__Bbar").is_ok());
        for bad in ["__Bbar__Afoo", "__Afoo__Abar", "__Gfoo", "__foo", "__"] {
            assert!(matches!(with(bad), Err(NameError::Extra(_))), "{bad}");
        }
    }

    #[test]
    fn names_that_are_not_of_snapshots_are_refused_with_the_reason() {
        let reason = |name: &str| SnapshotName::parse(name).unwrap_err();
        assert_eq!(reason("update-marker"), NameError::Extension);
        assert_eq!(
            reason("main__a__20261124-090050-137194777__GX.pb.zst"),
            NameError::Extension
        );
        assert_eq!(reason("main__a__GX.pb.gz"), NameError::Parts);
        assert!(matches!(
            reason("main__a__20261324-090050-137194777__GX.pb.gz"),
            NameError::Time(_)
        ));
        assert!(matches!(
            reason("main__a__2026112x-090050-137194777__GX.pb.gz"),
            NameError::Time(_)
        ));
        assert!(matches!(
            reason("main__a__20261124-090050-137194777__GY.pb.gz"),
            NameError::Generation(_)
        ));
    }

    #[test]
    fn an_instance_is_written_with_letters_digits_and_dashes_only() {
        assert_eq!(sanitize_instance("ns1.example_com/ö"), "ns1-example-com--");
    }

    #[test]
    fn a_database_name_that_would_not_be_found_again_is_none() {
        for good in ["main", "_main", "ma_in", "ö"] {
            assert!(is_database_name(good), "{good}");
            let name = SnapshotName::new(good, "a", 1).unwrap();
            assert_eq!(SnapshotName::parse(name.as_str()), Ok(name));
        }
        for bad in ["", "ma__in", "main_", "ma/in", "ma.in"] {
            assert!(!is_database_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_one_instance_sort_by_time() {
        let at = |nanos| SnapshotName::new("main", "a", nanos).unwrap();
        assert!(at(999_999_999) < at(1_000_000_000));
        assert!(at(1_000_000_000) < at(1_795_510_850_137_194_777));
    }
}
