//! What an agent tells about itself: states of its databases, metrics, and the HTTP endpoints that show them.

mod http;
mod metrics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

pub use http::serve;
pub use metrics::{DatabaseMetrics, Metrics};

use crate::snapshot::SnapshotName;

/// The state of one database for people and probes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DatabaseState {
    /// All instances seen at the first listing are merged.
    pub ready: bool,
    /// Instances in the last listing, with the time of their newest snapshot (ns since the epoch).
    pub instances: BTreeMap<String, u64>,
    /// The newest merged snapshot of each instance.
    pub merged: BTreeMap<String, String>,
    /// The last snapshot stored.
    pub stored: Option<String>,
    /// The database's last transaction, and the one up to which the store has everything.
    pub last_txn: u64,
    pub synced_txn: u64,
    /// What failed last, until the next success of the same kind.
    pub last_error: Option<String>,
    /// Snapshots that do not decode, with the reason.
    pub corrupt: BTreeMap<String, String>,
    /// Snapshots of a newer PowerDNS schema than the database's, with it.
    pub refused: BTreeMap<String, u32>,
    /// Why nothing is stored, if so.
    pub held: Option<String>,
    /// The last snapshot that another agent stored under this instance's name.
    pub namesake: Option<String>,
    /// How far ahead of the own clock the newest entry of the last merge was, ns.
    pub ahead: u64,
}

/// Where the replica of one database reports to.
pub struct DatabaseStatus {
    state: Mutex<DatabaseState>,
    metrics: DatabaseMetrics,
}

impl DatabaseStatus {
    pub fn new(metrics: DatabaseMetrics) -> Self {
        Self {
            state: Mutex::default(),
            metrics,
        }
    }

    /// A copy of the state.
    pub fn state(&self) -> DatabaseState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut DatabaseState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The store was listed: these instances have snapshots, the newest at these times (ns since the epoch).
    pub fn listed(&self, newest: BTreeMap<String, u64>) {
        self.metrics.listings.inc();
        self.metrics
            .instances
            .set(i64::try_from(newest.len()).unwrap_or(i64::MAX));
        self.change(|state| {
            state.instances = newest;
            state.last_error = None;
        });
    }

    pub fn set_ready(&self) {
        self.change(|state| state.ready = true);
        self.metrics.ready.set(1);
    }

    pub fn merged(&self, name: &SnapshotName, written: u64) {
        self.metrics.merged.inc();
        self.metrics.entries_written.inc_by(written);
        self.change(|state| drop(state.merged.insert(name.instance().to_owned(), name.to_string())));
    }

    pub fn corrupt(&self, name: &SnapshotName, reason: &str) {
        self.metrics.corrupt.inc();
        self.change(|state| drop(state.corrupt.insert(name.to_string(), reason.to_owned())));
    }

    /// A snapshot is not merged because of its schema.
    pub fn refused(&self, name: &SnapshotName, schema: u32) {
        self.metrics.refused.inc();
        self.change(|state| {
            state.refused.insert(name.to_string(), schema);
        });
    }

    /// Changes are held back, or are no longer.
    pub fn held(&self, why: Option<&dyn std::fmt::Display>) {
        self.metrics.held.set(i64::from(why.is_some()));
        self.change(|state| state.held = why.map(ToString::to_string));
    }

    /// Another agent stored a snapshot under this instance's name.
    pub fn namesake(&self, name: &SnapshotName) {
        self.metrics.namesakes.inc();
        self.change(|state| state.namesake = Some(name.to_string()));
    }

    /// The newest entry of a merge was this far ahead of the own clock, ns; 0 for the past.
    pub fn ahead(&self, nanos: u64) {
        self.metrics
            .ahead
            .set(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX));
        self.change(|state| state.ahead = nanos);
    }

    pub fn local_txn(&self, last: u64, synced: u64) {
        self.change(|state| (state.last_txn, state.synced_txn) = (last, synced));
        self.metrics.unsynced.set(i64::from(last > synced));
    }

    pub fn stored(&self, name: &SnapshotName, size: u64) {
        self.metrics.stored.inc();
        self.metrics.bytes_stored.inc_by(size);
        self.metrics
            .last_stored
            .set(i64::try_from(name.timestamp() / 1_000_000_000).unwrap_or(i64::MAX));
        self.change(|state| {
            state.stored = Some(name.to_string());
            state.last_error = None;
        });
    }

    /// A step such as `list`, `read`, `write` or `merge` failed.
    pub fn failed(&self, step: &'static str, error: &dyn std::fmt::Display) {
        self.metrics.failed(step);
        self.change(|state| state.last_error = Some(error.to_string()));
    }

    pub fn swept(&self, removed: u64) {
        self.metrics.marks_swept.inc_by(removed);
    }

    pub fn cleaned(&self, removed: u64) {
        self.metrics.removed.inc_by(removed);
    }
}

/// All databases of an agent, by their configured names.
#[derive(Clone, Default)]
pub struct Status {
    databases: Arc<BTreeMap<String, Arc<DatabaseStatus>>>,
}

impl Status {
    pub fn new(databases: BTreeMap<String, Arc<DatabaseStatus>>) -> Self {
        Self {
            databases: Arc::new(databases),
        }
    }

    /// The state of every database.
    pub fn states(&self) -> BTreeMap<String, DatabaseState> {
        self.databases
            .iter()
            .map(|(name, status)| (name.clone(), status.state()))
            .collect()
    }

    /// Every database has merged all instances that were there when the agent started.
    pub fn is_ready(&self) -> bool {
        self.databases.values().all(|status| status.state().ready)
    }
}
