//! Names of delta objects: `zonetide/delta/<database>/<time>__<instance>__<since>.pb.gz`.
//!
//! A delta holds what an instance wrote to a database between two of its states, each of which has a time of its own. The
//! times of an instance's deltas and snapshots are one sequence: a snapshot of time T holds all that deltas up to T hold.
//! Lightning Stream never lists this folder.

use std::fmt;
use std::marker::PhantomData;

use super::name::EXTENSION;
use super::time::{format_time, parse_time};
use super::{NameError, sanitize_instance};

/// Whose objects are named `<time>__<instance>__<since>.pb.gz`.
pub trait Folder: Clone + Ord + std::hash::Hash + fmt::Debug {
    /// The folder of those of a database.
    fn of(database: &str) -> String;
}

/// Deltas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deltas;

impl Folder for Deltas {
    fn of(database: &str) -> String {
        format!("zonetide/delta/{database}/")
    }
}

/// A parsed name of what an instance wrote between two of its states. Names sort by their time, whatever the instance, as their text does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanName<F: Folder> {
    time: u64,
    instance: String,
    since: u64,
    full: String,
    folder: PhantomData<F>,
}

/// A parsed name of a delta.
pub type DeltaName = SpanName<Deltas>;

impl<F: Folder> SpanName<F> {
    /// The folder of those of a database.
    pub fn folder(database: &str) -> String {
        F::of(database)
    }

    /// A name that comes before every name of the times from `time` on, in ns since the epoch.
    ///
    /// # Errors
    /// [`NameError::Range`] for a time after the year 9999.
    pub fn before(database: &str, time: u64) -> Result<String, NameError> {
        Ok(format!("{}{}", Self::folder(database), format_time(time)?))
    }

    /// The name of what leads from the instance's state of time `since` (exclusive) to that of `time`, both in ns since the
    /// epoch.
    ///
    /// # Errors
    /// [`NameError::Range`] for a time after the year 9999.
    pub fn new(database: &str, instance: &str, since: u64, time: u64) -> Result<Self, NameError> {
        let instance = sanitize_instance(instance);
        let full = format!(
            "{}{}",
            Self::folder(database),
            format_span(time, &instance, since)?
        );
        Ok(Self {
            time,
            instance,
            since,
            full,
            folder: PhantomData,
        })
    }

    /// Parses a name in the folder of `database`.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(database: &str, name: &str) -> Result<Self, NameError> {
        let file = name
            .strip_prefix(&Self::folder(database))
            .ok_or(NameError::Folder)?;
        let (time, instance, since) = parse_span(file)?;
        Ok(Self {
            time,
            instance,
            since,
            full: name.to_owned(),
            folder: PhantomData,
        })
    }

    /// The state that it leads to, ns since the epoch.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The state that it starts from, ns since the epoch.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The instance, in the form [`sanitize_instance`] gives.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The name without its folder.
    pub fn file(&self) -> &str {
        self.full
            .rsplit_once('/')
            .map_or(self.full.as_str(), |(_, file)| file)
    }
}

/// What `<time>__<instance>__<since>.pb.gz` says.
fn parse_span(file: &str) -> Result<(u64, String, u64), NameError> {
    let (stem, extension) = file.split_once('.').ok_or(NameError::Extension)?;
    if extension != EXTENSION {
        return Err(NameError::Extension);
    }
    let mut parts = stem.split("__");
    let (Some(time), Some(instance), Some(since), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NameError::Parts);
    };
    if instance.is_empty() || sanitize_instance(instance) != instance {
        return Err(NameError::Parts);
    }
    let read = |text: &str| parse_time(text).ok_or_else(|| NameError::Time(text.to_owned()));
    Ok((read(time)?, instance.to_owned(), read(since)?))
}

/// The file that [`parse_span`] reads.
fn format_span(time: u64, instance: &str, since: u64) -> Result<String, NameError> {
    let (time, since) = (format_time(time)?, format_time(since)?);
    Ok(format!("{time}__{instance}__{since}.{EXTENSION}"))
}

impl<F: Folder> fmt::Display for SpanName<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_changes_it_holds_and_between_which_states() {
        let name = DeltaName::new(
            "main",
            "ns1.a",
            1_795_510_850_137_194_777,
            1_795_510_851_000_000_000,
        )
        .unwrap();
        assert_eq!(
            name.as_str(),
            "zonetide/delta/main/20261124-090051-000000000__ns1-a__20261124-090050-137194777.pb.gz"
        );
        assert_eq!(DeltaName::parse("main", name.as_str()).unwrap(), name);
        assert_eq!(
            name.file(),
            "20261124-090051-000000000__ns1-a__20261124-090050-137194777.pb.gz"
        );
        let before = DeltaName::before("main", name.time()).unwrap();
        assert!(before.as_str() < name.as_str());
        assert!(DeltaName::before("main", name.time() + 1).unwrap().as_str() > name.as_str());
    }

    #[test]
    fn names_of_other_things_are_refused_with_the_reason() {
        let reason = |name: &str| DeltaName::parse("main", name).unwrap_err();
        let folder = DeltaName::folder("main");
        let time = "20261124-090051-000000000";
        assert_eq!(
            reason("main__a__20261124-090050-137194777__GX.pb.gz"),
            NameError::Folder
        );
        assert_eq!(
            reason(&format!("{folder}{time}__a__{time}.tmp")),
            NameError::Extension
        );
        assert_eq!(reason(&format!("{folder}{time}__a.pb.gz")), NameError::Parts);
        assert_eq!(
            reason(&format!("{folder}{time}__a/b__{time}.pb.gz")),
            NameError::Parts
        );
        assert!(matches!(
            reason(&format!("{folder}{time}__a__x.pb.gz")),
            NameError::Time(_)
        ));
    }
}
