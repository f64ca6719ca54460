//! Trouble with the database's file or volume: it lasts until somebody does something, so it is raised as a condition and
//! not only counted as a failure.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::error::SyncError;
use crate::lmdb::{LmdbError, LmdbErrorKind};
use crate::report::{Level, Report};
use crate::snapshot::{DecodeError, EncodeError};
use crate::store::{StoreError, StoreErrorReason};
use crate::sync::database::dump::TransferError;

/// What keeps a database from being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The memory map is full, or smaller than PowerDNS'.
    Map,
    /// A full disk, a read-only volume, missing rights, a damaged file.
    Volume,
}

impl Trouble {
    const ALL: [Self; 2] = [Self::Map, Self::Volume];

    /// The name of its condition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Map => "map_full",
            Self::Volume => "volume",
        }
    }

    /// Nothing that others changed arrives any more.
    pub fn level(self) -> Level {
        Level::Error
    }

    /// `None`: it will pass by itself.
    pub fn of_database(error: &LmdbError) -> Option<Self> {
        match &error.kind {
            LmdbErrorKind::Missing | LmdbErrorKind::ReadersFull | LmdbErrorKind::Disorder { .. } => None,
            LmdbErrorKind::MapFull | LmdbErrorKind::MapResized => Some(Self::Map),
            _ => Some(Self::Volume),
        }
    }

    fn of(error: &SyncError) -> Option<Self> {
        match error {
            SyncError::Merge { error, .. } | SyncError::Dump(error) => match error {
                TransferError::Lmdb(error) => Self::of_database(error),
                TransferError::Decode(_) | TransferError::Encode(_) => None,
            },
            SyncError::Sweep(error) => Self::of_database(error),
            SyncError::Spool { .. } => Some(Self::Volume),
            SyncError::GaveUp(_, last) => Self::of(last),
            SyncError::Store(_)
            | SyncError::History(_)
            | SyncError::Name(_)
            | SyncError::Crashed(_)
            | SyncError::HeldBack(_)
            | SyncError::Ended(_) => None,
        }
    }
}

/// Which steps are in trouble. A condition is over when no step is in it any more.
#[derive(Debug, Default)]
pub(in crate::sync) struct Troubles(Mutex<BTreeMap<&'static str, Trouble>>);

impl Troubles {
    /// Takes note of how a step ended.
    pub(in crate::sync) fn note(&self, status: &dyn Report, step: &'static str, error: Option<&SyncError>) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = error.and_then(Trouble::of);
        match (now, error) {
            (Some(trouble), Some(error)) => {
                steps.insert(step, trouble);
                status.raise(trouble.name(), trouble.level(), &error.to_string());
            }
            // It has not come as far as where the trouble was.
            (None, Some(_)) => {}
            (_, None) => {
                steps.remove(step);
            }
        }
        for trouble in Trouble::ALL {
            if !steps.values().any(|raised| *raised == trouble) {
                status.clear(trouble.name());
            }
        }
    }
}

impl SyncError {
    /// A temporary file's error says neither where the file was nor what to do about it.
    pub(in crate::sync) fn with_folder(self, folder: &Path) -> Self {
        let spool = |step: &'static str, error: io::Error| Self::Spool {
            step,
            folder: folder.to_owned(),
            error,
        };
        match self {
            Self::Store(StoreError {
                operation,
                reason: StoreErrorReason::Spool(error),
                ..
            }) => spool(operation, error),
            Self::Merge {
                error: TransferError::Decode(DecodeError::Spool(error)),
                ..
            } => spool("merge", error),
            Self::Dump(TransferError::Encode(EncodeError::Io(error))) => spool("dump", error),
            other => other,
        }
    }

    /// Only another start helps.
    pub(in crate::sync) fn is_final(&self) -> bool {
        let database = match self {
            Self::Merge { error, .. } | Self::Dump(error) => match error {
                TransferError::Lmdb(error) => Some(error),
                _ => None,
            },
            Self::Sweep(error) => Some(error),
            _ => None,
        };
        database.is_some_and(|error| matches!(error.kind, LmdbErrorKind::Broken))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::report::Raised;

    fn dump(kind: LmdbErrorKind) -> SyncError {
        let path = PathBuf::from("/data/pdns.lmdb");
        SyncError::Dump(LmdbError { path, kind }.into())
    }

    #[test]
    fn a_condition_lasts_until_no_step_is_in_that_trouble_any_more() {
        let status = Raised::default();
        let troubles = Troubles::default();
        let after = |step, error: Option<SyncError>| {
            troubles.note(&status, step, error.as_ref());
            status.names()
        };
        assert_eq!(after("send", Some(dump(LmdbErrorKind::DiskFull))), ["volume"]);
        assert_eq!(after("receive", Some(dump(LmdbErrorKind::DiskFull))), ["volume"]);
        assert_eq!(
            after("receive", Some(dump(LmdbErrorKind::MapFull))),
            ["map_full", "volume"]
        );
        assert_eq!(after("send", None), ["map_full"]);
        assert_eq!(
            after("receive", Some(SyncError::Crashed("listing"))),
            ["map_full"],
            "it did not come so far"
        );
        assert!(after("receive", None).is_empty());
    }

    #[test]
    fn only_an_environment_that_lmdb_gave_up_needs_another_start() {
        assert!(dump(heed::Error::Mdb(heed::MdbError::Panic).into()).is_final());
        for kind in [LmdbErrorKind::DiskFull, LmdbErrorKind::Io, LmdbErrorKind::MapFull] {
            assert!(!dump(kind).is_final());
        }
    }
}
