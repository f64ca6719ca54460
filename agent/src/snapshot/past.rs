//! Names of the objects of a database's history, below `zonetide/history/<database>/`: segments, which hold what an instance wrote
//! between two of its states as `segments/<time>__<instance>__<since>.pb.gz`, and base snapshots, from which a state is made
//! by them, as `bases/<time>__<instance>.pb.gz`. Nobody who only replicates lists these folders.

use std::fmt;

use super::delta::{Folder, SpanName};
use super::name::EXTENSION;
use super::time::{format_time, parse_time};
use super::{NameError, sanitize_instance};

/// Segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segments;

impl Folder for Segments {
    fn of(database: &str) -> String {
        format!("zonetide/history/{database}/segments/")
    }
}

/// A parsed name of a segment.
pub type SegmentName = SpanName<Segments>;

/// A parsed name of a base snapshot. Names sort by their time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseName {
    time: u64,
    instance: String,
    full: String,
}

impl BaseName {
    /// The folder of a database's base snapshots.
    pub fn folder(database: &str) -> String {
        format!("zonetide/history/{database}/bases/")
    }

    /// The name of what `instance` had at `time`, ns since the epoch.
    ///
    /// # Errors
    /// [`NameError::Range`] for a time after the year 9999.
    pub fn new(database: &str, instance: &str, time: u64) -> Result<Self, NameError> {
        let instance = sanitize_instance(instance);
        let (folder, at) = (Self::folder(database), format_time(time)?);
        let full = format!("{folder}{at}__{instance}.{EXTENSION}");
        Ok(Self { time, instance, full })
    }

    /// Parses a name in the folder of `database`.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(database: &str, name: &str) -> Result<Self, NameError> {
        let file = name
            .strip_prefix(&Self::folder(database))
            .ok_or(NameError::Folder)?;
        let (stem, extension) = file.split_once('.').ok_or(NameError::Extension)?;
        if extension != EXTENSION {
            return Err(NameError::Extension);
        }
        let (time, instance) = stem.split_once("__").ok_or(NameError::Parts)?;
        if instance.is_empty() || sanitize_instance(instance) != instance {
            return Err(NameError::Parts);
        }
        Ok(Self {
            time: parse_time(time).ok_or_else(|| NameError::Time(time.to_owned()))?,
            instance: instance.to_owned(),
            full: name.to_owned(),
        })
    }

    /// When it was taken, ns since the epoch.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Who took it, in the form [`sanitize_instance`] gives.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn as_str(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_795_510_851_000_000_000;

    #[test]
    fn names_are_read_as_they_are_written() {
        let segment = SegmentName::new("main", "ns1.a", TIME - 1, TIME).unwrap();
        assert_eq!(
            segment.as_str(),
            "zonetide/history/main/segments/20261124-090051-000000000__ns1-a__20261124-090050-999999999.pb.gz"
        );
        assert_eq!(SegmentName::parse("main", segment.as_str()).unwrap(), segment);
        let base = BaseName::new("main", "ns1.a", TIME).unwrap();
        assert_eq!(
            base.as_str(),
            "zonetide/history/main/bases/20261124-090051-000000000__ns1-a.pb.gz"
        );
        assert_eq!(BaseName::parse("main", base.as_str()).unwrap(), base);
    }

    #[test]
    fn names_of_other_things_are_refused() {
        let segment = SegmentName::new("main", "a", TIME - 1, TIME).unwrap();
        assert_eq!(
            SegmentName::parse("shard", segment.as_str()),
            Err(NameError::Folder)
        );
        assert_eq!(BaseName::parse("main", segment.as_str()), Err(NameError::Folder));
        let folder = BaseName::folder("main");
        for (name, error) in [
            ("20261124-090051-000000000__a.tmp", NameError::Extension),
            ("20261124-090051-000000000.pb.gz", NameError::Parts),
            ("20261124-090051-000000000__a/b.pb.gz", NameError::Parts),
            ("soon__a.pb.gz", NameError::Time("soon".into())),
        ] {
            assert_eq!(
                BaseName::parse("main", &format!("{folder}{name}")),
                Err(error),
                "{name}"
            );
        }
    }
}
