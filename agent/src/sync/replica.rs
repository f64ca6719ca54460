//! One database on its way through the store: what was merged, what was stored, and the steps in between.
//!
//! The steps are separate functions so that tests can interleave them as they like; [`super::run`] calls them in
//! time.

use std::collections::BTreeSet;
use std::sync::Arc;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::SyncError;
use super::dump::{Origin, TransferError, dump};
use super::load::{Merged, merge};
use super::plan::{Knowledge, Listing, sort_listing};
use super::sweeper::{Sweep, sweep};
use crate::lmdb::Environment;
use crate::snapshot::{DecodeError, Snapshot, SnapshotName, sanitize_instance};
use crate::status::DatabaseStatus;
use crate::store::{Store, spool};

/// Loads in a row before local changes get their turn.
const MAX_LOADS_IN_A_ROW: usize = 10;

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
    synced_txn: u64,
    /// The transaction that the last stored snapshot shows.
    pub(super) stored_txn: u64,
    /// Names that this process wrote or tried to write.
    attempted: BTreeSet<SnapshotName>,
    /// The time of the newest own name, so that a clock set back cannot make a newer snapshot look older.
    last_own_time: u64,
    /// The instances seen at the first listing, until all are merged.
    awaited: Option<BTreeSet<String>>,
    ready: bool,
    /// Own snapshots in the store are merged, so a new one loses nothing.
    may_store: bool,
    sweep: Option<Sweep>,
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
            attempted: BTreeSet::new(),
            last_own_time: 0,
            awaited: None,
            ready: false,
            may_store: false,
            sweep: None,
        }
    }

    /// The configured name of the database.
    pub fn database(&self) -> &str {
        &self.origin.database
    }

    /// All instances seen at the first listing are merged, or have nothing that could be.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Lists the store and merges what is new: of each instance its newest readable snapshot.
    ///
    /// # Errors
    /// [`SyncError`] when the store or the database fails; everything merged before stays merged. A snapshot that
    /// does not decode is no error: it is reported, and the one before it counts again.
    pub async fn receive(&mut self) -> Result<Received, SyncError> {
        let objects = self.store.list(&format!("{}__", self.database())).await?;
        let listing = sort_listing(self.database(), &objects);
        let newest = |names: &BTreeSet<SnapshotName>| names.last().map_or(0, SnapshotName::timestamp);
        self.status.listed(
            listing
                .iter()
                .map(|(own, names)| (own.clone(), newest(names)))
                .collect(),
        );
        self.make_good(&listing);
        if self.awaited.is_none() {
            self.awaited = Some(listing.keys().cloned().collect());
        }
        // Names that cannot be had now: vanished ones, and those whose transfer failed.
        let mut passed_over = BTreeSet::new();
        let mut failure = None;
        let mut loads = 0;
        let received = loop {
            let plan = self.known.to_load(&listing, &self.own);
            let Some(name) = plan.into_iter().find(|name| !passed_over.contains(name)) else {
                break Received::All;
            };
            if loads == MAX_LOADS_IN_A_ROW && self.may_store {
                break Received::More;
            }
            loads += 1;
            self.warn_of_a_namesake(&name);
            // One instance's trouble must not keep the others' changes away.
            if let Err(error) = self.fetch(&name).await {
                failure.get_or_insert(error);
                passed_over.insert(name);
            } else if !self.known.has_judged(&name) {
                // The cleaner of another instance was faster; the next listing shows what replaced it.
                passed_over.insert(name);
            }
        };
        let own_left = self
            .known
            .to_load(&listing, &self.own)
            .iter()
            .any(|name| name.instance() == self.own);
        if let Some(newest) = listing.get(&self.own).and_then(|own| own.last()) {
            self.last_own_time = self.last_own_time.max(newest.timestamp());
        }
        self.may_store = !own_left;
        if !self.ready
            && let Some(awaited) = &self.awaited
            && self.known.has_all_of(awaited, &listing)
        {
            self.ready = true;
            self.status.set_ready();
            tracing::info!(database = %self.database(), instances = awaited.len(), "all instances are merged");
        }
        match failure {
            Some(error) => Err(error),
            None => {
                self.status.loaded();
                Ok(received)
            }
        }
    }

    /// When a snapshot vanishes, what it said may be in this database alone: an emptied bucket fills again by this.
    fn make_good(&mut self, listing: &Listing) {
        for instance in self.known.vanished(listing) {
            if let Some(name) = self.known.merged.remove(&instance) {
                tracing::warn!(database = %self.database(), %name, "a snapshot is gone: this database is stored again");
            }
            self.synced_txn = 0;
        }
    }

    async fn fetch(&mut self, name: &SnapshotName) -> Result<(), SyncError> {
        match self.store.get(name.as_str(), spool(self.env.folder())).await? {
            Some(object) => self.load(name.clone(), object).await,
            None => Ok(()),
        }
    }

    async fn load(&mut self, name: SnapshotName, object: SpooledTempFile) -> Result<(), SyncError> {
        let started = std::time::Instant::now();
        let env = self.env.clone();
        let oldest_mark = self.sweep.map_or(0, |sweep| sweep.oldest_mark(self.now_ns()));
        let outcome = spawn_blocking(move || -> Result<Merged, TransferError> {
            let mut snapshot = Snapshot::open(object)?;
            merge(&env, &mut snapshot, oldest_mark)
        })
        .await
        .map_err(|_| SyncError::Crashed("merging a snapshot"))?;
        match outcome {
            Ok(merged) => {
                self.absorb(&merged.txn_ids);
                self.status.merged(&name, merged.written);
                tracing::info!(
                    database = %self.database(), %name, entries = merged.entries, written = merged.written,
                    elapsed = ?started.elapsed(), "merged a snapshot"
                );
                self.known.merged.insert(name.instance().to_owned(), name);
                Ok(())
            }
            Err(TransferError::Decode(error)) if !matches!(error, DecodeError::Spool(_)) => {
                tracing::error!(
                    database = %self.database(), %name, %error,
                    "a snapshot is corrupt and ignored; the one before it counts again"
                );
                self.status.corrupt(&name, &error.to_string());
                self.known.corrupt.insert(name);
                Ok(())
            }
            Err(error) => Err(SyncError::Merge {
                name: name.to_string(),
                error,
            }),
        }
    }

    /// Transactions of ours that say nothing new: if nothing was written here meanwhile, the store still has all that
    /// this database has.
    fn absorb(&mut self, txn_ids: &[u64]) {
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

    fn warn_of_a_namesake(&self, name: &SnapshotName) {
        if name.instance() == self.own && self.may_store && !self.attempted.contains(name) {
            tracing::error!(
                database = %self.database(), %name,
                "another agent writes under this instance's name: give each its own `instance`"
            );
        }
    }

    /// Own snapshots in the store are merged, so a new one hides nothing.
    pub fn may_store(&self) -> bool {
        self.may_store
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
        if !self.may_store {
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
        self.attempted
            .retain(|old| Some(old) == self.known.merged.get(&self.own));
        self.attempted.insert(name.clone());
        let size = dump.size;
        self.store.put(name.as_str(), dump.object).await?;
        self.synced_txn = dump.txn_id;
        self.stored_txn = dump.txn_id;
        self.known.merged.insert(self.own.clone(), name.clone());
        self.status.stored(&name, size);
        self.status.local_txn(last, self.synced_txn);
        tracing::info!(
            database = %self.database(), %name, size, entries = dump.entries, txn = dump.txn_id,
            elapsed = ?started.elapsed(), "stored a snapshot"
        );
        Ok(!self.has_changes())
    }
}
