//! Replication of a database through a store.

mod adopt;
mod ahead;
mod beside;
mod cadence;
mod cleaner;
mod clock;
mod collect;
mod contain;
pub mod deltas;
mod digest;
mod dump;
mod fetch;
mod fill;
mod fleet_time;
mod hand_over;
mod hold;
mod in_sync;
mod keep;
mod limits;
mod load;
mod loss;
mod lost;
mod memory;
mod namesake;
mod own_writes;
mod pace;
pub mod peer;
pub mod plan;
mod quarantine;
mod reach;
mod recall;
mod receive;
mod refill;
mod refill_note;
mod replica;
mod retired;
mod run;
mod schema;
mod send;
pub mod serving;
mod set_back;
mod settle;
mod state;
mod sweeper;
mod take;
mod tell;
mod tidy;
mod trouble;
mod unstored;
mod vanish;
mod vectors;
mod word;

pub use ahead::{AHEAD_DBI, Ahead};
pub use cleaner::{Cleaner, Retention};
pub use contain::MAX_AHEAD;
pub use dump::{Dump, TransferError, dump};
pub use fleet_time::FleetTime;
pub use hand_over::TakenOver;
pub use hold::Hold;
pub use limits::Limits;
pub use load::{Merged, merge};
pub use pace::{Cleanup, Pace, SweepPace};
pub use quarantine::{LeftOut, QUARANTINE_DBI};
pub use replica::{Clock, Origin, Received, Replica, Schemas, Witness};
pub use run::{Ways, run};
pub use schema::{SchemaGuard, Verdict};
pub use sweeper::{Sweep, Swept, sweep};
pub use trouble::Trouble;
pub use word::Word;

use crate::snapshot::{EncodeError, NameError};
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
            Self::Sweep(_) => "sweep",
            Self::Spool { step, .. } => step,
            Self::Crashed(_) => "crash",
            Self::GaveUp(_, last) | Self::Ended(last) => last.category(),
        }
    }
}
