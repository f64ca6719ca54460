//! How often an agent does what, as it is configured.

use std::path::PathBuf;
use std::time::Duration;

use crate::sync::database::sweeper::Sweep;

/// How often to do what.
#[derive(Debug, Clone)]
pub struct Pace {
    pub lmdb_poll: Duration,
    pub storage_poll: Duration,
    /// Wait after a failure.
    pub retry: Duration,
    /// Failures in a row after which the agent ends with an error; `None`: never.
    pub retry_limit: Option<u32>,
    /// A snapshot is stored at least this often, so that the instance does not look dead.
    pub force_snapshot: Duration,
    /// Never write to the store.
    pub receive_only: bool,
    pub cleanup: Cleanup,
    /// End when everything of the first listing is merged and the own changes are stored.
    pub once: bool,
    /// When to remove old deletion marks; `None`: never.
    pub sweep: Option<SweepPace>,
    /// Time that the last snapshot may take at the end.
    pub shutdown: Duration,
}

/// When to clean the store.
#[derive(Debug, Clone)]
pub struct Cleanup {
    pub interval: Duration,
    pub retention: Retention,
    /// Snapshots, too, and not only the own deltas, which nobody else cleans.
    pub snapshots: bool,
    /// How far back history is kept; `None`: there is none.
    pub history: Option<Duration>,
    /// The file that names instances that never come back, if there is one.
    pub retired: Option<PathBuf>,
}

/// When to sweep.
#[derive(Debug, Clone, Copy)]
pub struct SweepPace {
    pub first: Duration,
    pub interval: Duration,
    pub rules: Sweep,
}

/// What the cleaner keeps.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Time for which a superseded object is kept after it was first seen superseded, for slow readers.
    pub must_keep: Duration,
    /// Age from which the last objects of an instance that is gone may be removed.
    pub remove_old_instances: Duration,
}
