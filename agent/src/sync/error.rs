//! Why a step of replication failed.

use super::database::dump::TransferError;
use crate::history::HistoryError;
use crate::snapshot::{EncodeError, NameError};
use crate::store::StoreError;
use crate::sync::known::hold::Hold;

/// Why a step of replication failed. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot merge {name}: {error}")]
    Merge { name: String, error: TransferError },
    #[error("cannot take a snapshot: {0}")]
    Dump(#[source] TransferError),
    #[error(
        "cannot keep the history: {0}; while that lasts, what is written stays in deltas for an hour, and is missing in the history after that"
    )]
    History(#[from] HistoryError),
    #[error("cannot remove old deletion marks: {0}")]
    Sweep(#[source] crate::lmdb::LmdbError),
    #[error("cannot use a temporary file in {}: {error}; a snapshot on its way needs room there", folder.display())]
    Spool {
        step: &'static str,
        folder: std::path::PathBuf,
        error: std::io::Error,
    },
    #[error("cannot name a snapshot: {0}; is the clock right?")]
    Name(#[from] NameError),
    #[error("the agent crashed while {0}: please report this")]
    Crashed(&'static str),
    #[error("{0}")]
    HeldBack(Hold),
    #[error("gave up after {0} failures in a row (storage_retry_count); the last: {1}")]
    GaveUp(u32, Box<SyncError>),
    #[error("{0}")]
    Ended(Box<SyncError>),
}

impl From<EncodeError> for SyncError {
    fn from(error: EncodeError) -> Self {
        Self::Dump(error.into())
    }
}

impl SyncError {
    /// The kind of failure, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Store(error) => error.operation,
            Self::Merge { .. } => "merge",
            Self::Dump(_) | Self::Name(_) => "dump",
            Self::History(_) => "history",
            Self::Sweep(_) => "sweep",
            Self::Spool { step, .. } => step,
            Self::Crashed(_) => "crash",
            Self::HeldBack(_) => "hold",
            Self::GaveUp(_, last) | Self::Ended(last) => last.category(),
        }
    }

    /// An object, or what is called so, cannot be merged.
    pub(in crate::sync) fn merging(name: &str, error: TransferError) -> Self {
        Self::Merge {
            name: name.to_owned(),
            error,
        }
    }
}
