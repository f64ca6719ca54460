//! Removing snapshots that nobody needs any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::replica::Replica;
use super::{SyncError, plan::sort_listing};
use crate::snapshot::SnapshotName;

/// What the cleaner keeps.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Time for which a superseded snapshot is kept after it was first seen superseded, for slow readers.
    pub must_keep: Duration,
    /// Age from which the last snapshot of an instance that is gone may be removed.
    pub remove_old_instances: Duration,
}

/// Remembers since when each superseded snapshot is known to be one.
#[derive(Debug, Default)]
pub struct Cleaner {
    superseded_since: BTreeMap<SnapshotName, Instant>,
    /// The database's transaction when an instance was first seen gone and merged.
    gone: BTreeMap<SnapshotName, u64>,
}

impl Cleaner {
    /// Lists the store and removes what may go. `now_ns` is the time in ns since the epoch.
    ///
    /// The last snapshot of an instance goes only when it is merged here *and* a snapshot stored since shows the
    /// result: from then on everything it said is in the store under another name.
    ///
    /// # Errors
    /// Those of the store; what was removed before stays removed.
    pub async fn clean(
        &mut self,
        replica: &Replica,
        retention: Retention,
        now: Instant,
        now_ns: u64,
    ) -> Result<usize, SyncError> {
        let objects = replica.store.list(&format!("{}__", replica.database())).await?;
        let listing = sort_listing(replica.database(), &objects);
        let superseded = replica.known.superseded(&listing);
        self.superseded_since.retain(|name, _| superseded.contains(name));
        let mut doomed = Vec::new();
        for name in superseded {
            let since = *self.superseded_since.entry(name.clone()).or_insert(now);
            if now.duration_since(since) >= retention.must_keep {
                doomed.push(name);
            }
        }
        let max_age = u64::try_from(retention.remove_old_instances.as_nanos()).unwrap_or(u64::MAX);
        let mut gone = BTreeMap::new();
        for (instance, last) in &replica.known.merged {
            let is_last = listing.get(instance).and_then(|names| names.last()) == Some(last);
            if *instance == replica.own || !is_last || now_ns.saturating_sub(last.timestamp()) < max_age {
                continue;
            }
            let txn = *self.gone.get(last).unwrap_or(&replica.env.last_txn_id());
            if replica.stored_txn >= txn {
                doomed.push(last.clone());
            } else {
                gone.insert(last.clone(), txn);
            }
        }
        self.gone = gone;
        for name in &doomed {
            replica.store.delete(name.as_str()).await?;
            tracing::info!(database = %replica.database(), %name, "removed a superseded snapshot");
        }
        replica.status.cleaned(doomed.len() as u64);
        Ok(doomed.len())
    }
}
