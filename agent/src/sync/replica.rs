//! One database on its way through the store: what was merged, what was stored, and the steps in between.
//!
//! The steps are separate functions so that tests can interleave them as they like; [`super::run`] calls them in
//! time.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::SyncError;
use super::dump::{Origin, dump};
use super::namesake::Namesake;
use super::plan::Knowledge;
use super::schema::SchemaGuard;
use super::sweeper::{Sweep, sweep};
use crate::lmdb::Environment;
use crate::snapshot::{SnapshotName, sanitize_instance};
use crate::status::{DatabaseStatus, Level};
use crate::store::Store;

/// The time in ns since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a step of receiving achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Everything of the listing is merged.
    All,
    /// There is more to load; local changes should have their turn first.
    More,
}

/// Why an instance must not store now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    #[error("the instance's own snapshots are not merged yet")]
    OwnNotMerged,
    #[error(
        "another agent writes under this instance's name, {name} is not ours: give each its own `instance`; \
         nothing is stored until it is quiet for five minutes"
    )]
    Namesake { name: SnapshotName },
    #[error(
        "this prefix of the bucket belongs to PowerDNS' schema {schema}, which {instance} has and this database has not: \
         configure another prefix for each schema"
    )]
    OtherSchema { instance: String, schema: u32 },
}

/// What is known of schemas, and whether this database is the one that says its own.
#[derive(Clone)]
pub struct Schemas {
    pub guard: Arc<SchemaGuard>,
    /// A main database has PowerDNS' schema in it; a shard goes by what its main database knows.
    pub main: bool,
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            guard: Arc::default(),
            main: true,
        }
    }
}

/// A database and its progress.
pub struct Replica {
    pub(super) env: Arc<Environment>,
    pub(super) store: Arc<dyn Store>,
    pub(super) status: Arc<DatabaseStatus>,
    pub(super) origin: Origin,
    /// The instance as object names show it.
    pub(super) own: String,
    pub(super) known: Knowledge,
    clock: Clock,
    /// The transaction up to which the store has everything that was written here; 0 when that is not known.
    pub(super) synced_txn: u64,
    /// The transaction that the last stored snapshot shows.
    pub(super) stored_txn: u64,
    pub(super) namesake: Namesake,
    pub(super) schemas: Schemas,
    /// The time of the newest own name, so that a clock set back cannot make a newer snapshot look older.
    pub(super) last_own_time: u64,
    /// The instances seen at the first listing, until all are merged.
    pub(super) awaited: Option<BTreeSet<String>>,
    pub(super) ready: bool,
    /// Own snapshots in the store are merged, so a new one hides nothing.
    pub(super) own_merged: bool,
    pub(super) sweep: Option<Sweep>,
}

impl Replica {
    /// A replica that knows nothing yet: it stores nothing before it has seen the store.
    pub fn new(
        env: Arc<Environment>,
        store: Arc<dyn Store>,
        status: Arc<DatabaseStatus>,
        origin: Origin,
        clock: Clock,
    ) -> Self {
        Self {
            own: sanitize_instance(&origin.instance),
            env,
            store,
            status,
            origin,
            known: Knowledge::default(),
            clock,
            synced_txn: 0,
            stored_txn: 0,
            namesake: Namesake::default(),
            schemas: Schemas::default(),
            last_own_time: 0,
            awaited: None,
            ready: false,
            own_merged: false,
            sweep: None,
        }
    }

    /// Shares what is known of schemas with the other databases of the same PowerDNS.
    pub fn set_schemas(&mut self, schemas: Schemas) {
        self.schemas = schemas;
    }

    /// The configured name of the database.
    pub fn database(&self) -> &str {
        &self.origin.database
    }

    /// All instances seen at the first listing are merged, or have nothing that could be.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Transactions of ours that say nothing new: if nothing was written here meanwhile, the store still has all that
    /// this database has.
    pub(super) fn absorb(&mut self, txn_ids: &[u64]) {
        for txn in txn_ids {
            if *txn == self.synced_txn + 1 {
                self.synced_txn = *txn;
            }
        }
    }

    /// Removes old deletion marks from the database; how old, says [`Replica::set_sweep`].
    ///
    /// # Errors
    /// [`SyncError::Sweep`]; the next sweep goes on.
    pub async fn sweep(&mut self) -> Result<u64, SyncError> {
        let Some(rules) = self.sweep else { return Ok(0) };
        let (env, now_ns) = (self.env.clone(), self.now_ns());
        let swept = spawn_blocking(move || sweep(&env, &rules, now_ns))
            .await
            .map_err(|_| SyncError::Crashed("removing old deletion marks"))?
            .map_err(SyncError::Sweep)?;
        self.absorb(&swept.txn_ids);
        self.status.swept(swept.removed);
        tracing::info!(database = %self.database(), removed = swept.removed, "swept old deletion marks");
        Ok(swept.removed)
    }

    /// Turns sweeping on; merges leave out marks that a sweep would remove soon.
    pub fn set_sweep(&mut self, sweep: Sweep) {
        self.sweep = Some(sweep);
    }

    /// Why nothing may be stored now, if so.
    pub fn hold(&self) -> Option<Hold> {
        if !self.own_merged {
            return Some(Hold::OwnNotMerged);
        }
        if let Some(name) = self.namesake.holds(self.now_ns()) {
            return Some(Hold::Namesake { name: name.clone() });
        }
        let other = self.schemas.guard.other_schema();
        other.map(|(instance, schema)| Hold::OtherSchema { instance, schema })
    }

    fn report_hold(&self, hold: Option<&Hold>) {
        let raised = match hold {
            Some(hold @ Hold::Namesake { .. }) => Some(("namesake", hold)),
            Some(hold @ Hold::OtherSchema { .. }) => Some(("other_schema", hold)),
            Some(Hold::OwnNotMerged) | None => None,
        };
        for condition in ["namesake", "other_schema"] {
            match raised {
                Some((name, hold)) if name == condition => {
                    self.status.raise(condition, Level::Error, &hold.to_string());
                }
                _ => self.status.clear(condition),
            }
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        (self.clock)()
    }

    /// True if the database has something that the store may lack.
    pub fn has_changes(&self) -> bool {
        self.env.last_txn_id() > self.synced_txn
    }

    /// Stores a snapshot if the database has changed since the last one, or if `force` is set. Returns whether
    /// there is nothing left to store.
    ///
    /// An empty database is never stored, nor anything before the own snapshots in the store are merged: either
    /// could hide the only copy of a lost database.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read or the store not be written; the next call tries again.
    pub async fn send(&mut self, force: bool) -> Result<bool, SyncError> {
        let last = self.env.last_txn_id();
        self.status.local_txn(last, self.synced_txn);
        if last == 0 || !(force || self.has_changes()) {
            return Ok(true);
        }
        let hold = self.hold();
        self.report_hold(hold.as_ref());
        if hold.is_some() {
            return Ok(false);
        }
        let started = std::time::Instant::now();
        let timestamp = (self.clock)().max(self.last_own_time + 1);
        let name = SnapshotName::new(self.database(), &self.own, timestamp)?;
        let (env, origin) = (self.env.clone(), self.origin.clone());
        let dump = spawn_blocking(move || dump(&env, &origin, timestamp))
            .await
            .map_err(|_| SyncError::Crashed("writing a snapshot"))?
            .map_err(SyncError::Dump)?;
        // Remembered before the attempt: a failed request may have stored the object all the same.
        self.last_own_time = timestamp;
        self.namesake.about_to_store(name.clone());
        let size = dump.size;
        self.store.put(name.as_str(), dump.object).await?;
        self.synced_txn = dump.txn_id;
        self.stored_txn = dump.txn_id;
        self.known.merged(name.clone());
        if self.schemas.main {
            self.schemas.guard.stored(&self.own);
        }
        self.status.stored(&name, size);
        self.status.local_txn(last, self.synced_txn);
        tracing::info!(
            database = %self.database(), %name, size, entries = dump.entries, txn = dump.txn_id,
            elapsed = ?started.elapsed(), "stored a snapshot"
        );
        Ok(!self.has_changes())
    }
}
