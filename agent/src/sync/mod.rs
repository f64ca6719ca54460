//! Replication of a database through a store.

mod cleaner;
mod dump;
mod load;
mod namesake;
pub mod plan;
mod receive;
mod replica;
mod run;
mod schema;
mod sweeper;

pub use cleaner::{Cleaner, Retention};
pub use dump::{Dump, Origin, TransferError, dump};
pub use load::{Merged, merge};
pub use replica::{Clock, Hold, Received, Replica, Schemas};
pub use run::{Pace, SweepPace, run};
pub use schema::{SchemaGuard, Verdict};
pub use sweeper::{Sweep, Swept, sweep};

use crate::snapshot::NameError;
use crate::store::StoreError;

/// Why a step of replication failed. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot merge {name}: {error}")]
    Merge { name: String, error: TransferError },
    #[error("cannot take a snapshot: {0}")]
    Dump(#[source] TransferError),
    #[error("cannot remove old deletion marks: {0}")]
    Sweep(#[source] crate::lmdb::LmdbError),
    #[error("cannot name a snapshot: {0}; is the clock right?")]
    Name(#[from] NameError),
    #[error("the agent crashed while {0}: please report this")]
    Crashed(&'static str),
    #[error("gave up after {0} failures in a row (storage_retry_count); the last: {1}")]
    GaveUp(u32, Box<SyncError>),
}

impl SyncError {
    /// The kind of failure, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Store(error) => error.operation,
            Self::Merge { .. } => "merge",
            Self::Dump(_) | Self::Name(_) => "dump",
            Self::Sweep(_) => "sweep",
            Self::Crashed(_) => "crash",
            Self::GaveUp(_, last) => last.category(),
        }
    }
}
