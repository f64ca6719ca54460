//! What is known of one database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::events::Events;
use super::health::{Check, Streaks};
use crate::report::{Level, Quarantined};
use crate::snapshot::SnapshotName;
use crate::store::Skew;

/// The time by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For how long something lasts.
    pub steady: Instant,
    /// Ns since the epoch.
    pub wall: u64,
}

impl Now {
    pub fn read() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            steady: Instant::now(),
            wall: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// An instance whose snapshots are in the store.
#[derive(Debug, Clone, Default)]
pub struct InstanceState {
    /// The time of its newest snapshot, ns since the epoch.
    pub newest: u64,
    /// Its newest snapshot that is in this database.
    pub merged: Option<MergedSnapshot>,
}

#[derive(Debug, Clone)]
pub struct MergedSnapshot {
    pub name: String,
    /// When it was taken and when it was merged here, ns since the epoch.
    pub taken: u64,
    pub merged: u64,
    /// Entries that were news here.
    pub written: u64,
    /// It was taken while this agent was running, so the time between shows how far this database is behind.
    pub fresh: bool,
}

#[derive(Debug, Clone)]
pub struct StoredSnapshot {
    pub name: String,
    pub at: u64,
    pub bytes: u64,
}

/// Something that lasts and wants attention, by a name such as `namesake`.
#[derive(Debug, Clone)]
pub struct Condition {
    pub level: Level,
    pub text: String,
    /// Ns since the epoch.
    pub since: u64,
}

/// The LMDB file.
#[derive(Debug, Clone, Default)]
pub struct FileState {
    pub path: PathBuf,
    pub bytes: u64,
    /// Its limit.
    pub map_bytes: u64,
}

/// What a count of the database found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub entries: u64,
    pub marks: u64,
    /// Ns since the epoch.
    pub counted: u64,
}

/// The state of one database.
#[derive(Debug, Clone, Default)]
pub struct DatabaseState {
    /// All instances seen at the first listing are merged.
    pub ready: bool,
    /// Since when, ns since the epoch.
    pub ready_since: u64,
    /// Whatever was to be stored at the start is stored.
    pub sent: bool,
    pub instances: BTreeMap<String, InstanceState>,
    /// Those that never come back.
    pub retired: BTreeSet<String>,
    pub stored: Option<StoredSnapshot>,
    /// The database's last transaction, and the one up to which the store has everything.
    pub last_txn: u64,
    pub synced_txn: u64,
    /// The store lacks something of the database.
    pub unsynced: bool,
    pub streaks: Streaks,
    pub conditions: BTreeMap<&'static str, Condition>,
    /// Snapshots that do not decode, with the reason.
    pub corrupt: BTreeMap<String, String>,
    pub file: Option<FileState>,
    pub content: Option<Content>,
    /// What is kept out of the zones because its time is yet to come.
    pub quarantine: Quarantined,
    /// When it was last found equal to that of a peer, ns since the epoch; 0: not yet.
    pub compared: u64,
    /// How far the own clock is from the store's.
    pub skew: Option<Skew>,
    /// Merges and the like, and what went wrong: neither drives the other out.
    pub work: Events,
    pub troubles: Events,
}

impl DatabaseState {
    pub fn has_started(&self) -> bool {
        self.ready && self.sent
    }

    /// What fails at the moment, if anything does.
    pub fn last_error(&self) -> Option<&str> {
        let streaks = Check::ALL.into_iter().filter_map(|check| self.streaks.of(check));
        streaks.map(|streak| streak.last_error.as_str()).next()
    }

    /// Instances whose newest snapshot is corrupt: what they changed last is not here.
    pub fn blocked_by_corrupt(&self) -> Vec<String> {
        let blocked = self.corrupt.keys().filter_map(|name| {
            let name = SnapshotName::parse(name).ok()?;
            let instance = self.instances.get(name.instance())?;
            (instance.newest == name.timestamp()).then(|| name.instance().to_owned())
        });
        blocked.collect()
    }

    /// Corrupt snapshots of the instances that are in the store, with the reasons.
    pub fn present_corrupt(&self) -> BTreeMap<String, String> {
        let present = self.corrupt.iter().filter(|(name, _)| {
            SnapshotName::parse(name).is_ok_and(|name| self.instances.contains_key(name.instance()))
        });
        present
            .map(|(name, reason)| (name.clone(), reason.clone()))
            .collect()
    }

    /// A corrupt snapshot matters until a newer one of its instance is merged.
    pub fn forget_older_corrupt(&mut self, merged: &SnapshotName) {
        self.corrupt.retain(|name, _| {
            SnapshotName::parse(name).is_ok_and(|name| name.instance() != merged.instance() || name > *merged)
        });
    }

    /// Instances of which something is merged here.
    pub fn merged_instances(&self) -> usize {
        self.instances
            .values()
            .filter(|instance| instance.merged.is_some())
            .count()
    }
}
