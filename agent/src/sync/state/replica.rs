//! One database on its way through the store: what was merged, what was stored, and the steps in between.
//!
//! The steps are separate functions so that tests can interleave them as they like; `run` calls them in
//! time, several at once: no step waits for the store with anything locked.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::State;
use super::followed::Followed;
use crate::content::Touched;
use crate::lmdb::{Environment, KeptReader};
use crate::report::Report;
use crate::snapshot::{Meta, ZONETIDE_VERSION, sanitize_instance};
use crate::store::Store;
use crate::sync::database::set_back::Shown;
use crate::sync::database::sweeper::Sweep;
use crate::sync::files::held_deletions::HeldDeletions;
use crate::sync::known::deleted_zones::{Deletions, Look};
use crate::sync::known::fleet_time::Clock;
use crate::sync::known::hold::Hold;
use crate::sync::known::schema::SchemaGuard;
use crate::sync::known::time_known::Waits;
use crate::sync::limits::Limits;
use crate::sync::order::Order;
use crate::sync::peer::Peers;
use crate::sync::trouble::Troubles;

/// Is told what was written; must not wait.
pub type Witness = Arc<dyn Fn(Touched) + Send + Sync>;

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

/// Whose database it is.
#[derive(Debug, Clone)]
pub struct Origin {
    pub database: String,
    pub instance: String,
    /// For people.
    pub hostname: String,
}

/// A database and its progress.
pub struct Replica {
    pub(in crate::sync) env: Arc<Environment>,
    pub(in crate::sync) store: Arc<dyn Store>,
    pub(in crate::sync) status: Arc<dyn Report>,
    pub(in crate::sync) troubles: Troubles,
    pub(in crate::sync) origin: Origin,
    /// The instance as object names show it.
    pub(in crate::sync) own: String,
    pub(super) clock: Clock,
    pub(in crate::sync) shown: Arc<Shown>,
    pub(in crate::sync) schemas: Schemas,
    /// What it shares with the other databases of the same PowerDNS.
    pub(in crate::sync) order: Arc<Order>,
    /// Which zones were deleted is shared, too.
    pub(in crate::sync) deletions: Arc<Deletions>,
    pub(in crate::sync) looked_at_deletions: Mutex<Option<Look>>,
    /// Why nothing was stored the last time, so that the log says it once.
    pub(in crate::sync) held: Mutex<Option<Hold>>,
    pub(in crate::sync) sweep: Option<Sweep>,
    pub(in crate::sync) peers: Option<Arc<dyn Peers>>,
    /// What is told goes in the order in which it was cut.
    pub(in crate::sync) telling: tokio::sync::Mutex<()>,
    /// Who writes to the database, or compares states of it, has the turn until what it did is known in `state`.
    pub(in crate::sync) turn: tokio::sync::Mutex<()>,
    /// Something was merged.
    pub(in crate::sync) has_merged: Notify,
    state: Mutex<State>,
    /// How far ahead of the fleet's time an entry may be that is merged, ns; `None`: the own clock counts, whatever others say.
    pub(in crate::sync) max_ahead: Option<u64>,
    pub(in crate::sync) waits: Mutex<Waits>,
    /// Nobody learns anything from it.
    pub(in crate::sync) only_receives: bool,
    /// The database is known not to be empty.
    pub(in crate::sync) has_content: AtomicBool,
    /// Is told of everything that is written.
    pub(in crate::sync) witness: Witness,
    /// There is somebody to tell.
    pub(in crate::sync) is_witnessed: bool,
    /// The state up to which it was told what was written here.
    pub(in crate::sync) seen: tokio::sync::Mutex<Option<Arc<KeptReader>>>,
    /// What peers compare theirs with.
    pub(in crate::sync) followed: tokio::sync::Mutex<Followed>,
}

impl Replica {
    /// A replica that knows nothing yet: it stores nothing before it has seen the store.
    pub fn new(
        env: Arc<Environment>,
        store: Arc<dyn Store>,
        status: Arc<dyn Report>,
        origin: Origin,
        clock: Clock,
    ) -> Self {
        let shown = Arc::default();
        Self {
            own: sanitize_instance(&origin.instance),
            env,
            store,
            status,
            troubles: Troubles::default(),
            origin,
            clock: Shown::watch(&shown, clock),
            shown,
            schemas: Schemas::default(),
            order: Arc::default(),
            deletions: Arc::default(),
            looked_at_deletions: Mutex::default(),
            held: Mutex::default(),
            sweep: None,
            peers: None,
            telling: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            has_merged: Notify::new(),
            state: Mutex::default(),
            max_ahead: None,
            waits: Mutex::default(),
            only_receives: false,
            has_content: AtomicBool::default(),
            witness: Arc::new(|_| {}),
            is_witnessed: false,
            seen: tokio::sync::Mutex::default(),
            followed: tokio::sync::Mutex::default(),
        }
    }

    /// Has `witness` called with what a merge wrote, after each of its commits, and with what others write here from now on.
    pub fn set_witness(&mut self, witness: Witness) {
        self.witness = witness;
        self.is_witnessed = true;
        let seen = self.env.keep_reader();
        let seen =
            seen.inspect_err(|error| tracing::warn!(%error, "cannot keep a state of the database yet"));
        if let Ok(seen) = &seen {
            self.state().log.is_witnessed(seen.txn_id());
        }
        *self.seen.get_mut() = seen.ok().map(Arc::new);
    }

    /// Shares what is known of schemas with the other databases of the same PowerDNS.
    pub fn set_schemas(&mut self, schemas: Schemas) {
        if schemas.main {
            schemas.guard.watch(self.env.clone());
        }
        self.schemas = schemas;
    }

    /// Goes in this order with the other databases of the same PowerDNS.
    pub fn set_order(&mut self, order: Arc<Order>) {
        self.order = order;
    }

    /// Holds back what an avalanche of deletions would do, by what the other databases of the same PowerDNS have of it, too.
    pub fn set_deletions(&mut self, deletions: Arc<Deletions>) {
        let is_limited = deletions.zones().most().is_some();
        let held = HeldDeletions::read(&self.env).and_then(|held| {
            match held.filter(|_| self.schemas.main) {
                Some(held) if is_limited => deletions.zones().hold_of_the_last_run(held.zones, held.told),
                Some(_) => HeldDeletions::remove(&self.env)?,
                None => {}
            }
            Ok(())
        });
        if let Err(error) = held {
            tracing::warn!(%error, "cannot read which deletions the last run held back");
        }
        self.deletions = deletions;
    }

    /// Turns sweeping on; merges leave out marks that a sweep would remove soon.
    pub fn set_sweep(&mut self, sweep: Sweep) {
        self.sweep = Some(sweep);
    }

    /// Keeps other amounts than usual.
    pub fn set_limits(&mut self, limits: Limits) {
        self.state().log.set_limits(limits);
    }

    /// Nothing is stored or told: what is here must come to be what others have.
    pub fn only_receive(&mut self) {
        self.only_receives = true;
    }

    /// Tells peers of every change at once.
    pub fn set_peers(&mut self, peers: Arc<dyn Peers>) {
        self.peers = Some(peers);
    }

    /// The configured name of the database.
    pub fn database(&self) -> &str {
        &self.origin.database
    }

    pub(in crate::sync) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All instances seen at the first listing are merged, or have nothing that could be.
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// The transaction that the last stored snapshot shows.
    pub fn stored_txn(&self) -> u64 {
        self.state().log.snapshot_txn()
    }

    /// The time of the state that the store has, ns since the epoch.
    pub(in crate::sync) fn stored_time(&self) -> u64 {
        self.state().log.stored().time
    }

    /// Everything that a restart would want to know; equal as long as nothing happened.
    pub(in crate::sync) fn progress(&self) -> (u64, u64, BTreeMap<String, u64>) {
        let state = self.state();
        let stored = state.log.stored();
        (stored.time, stored.txn, state.known.have.clone())
    }

    /// True if the database has something that the store may lack.
    pub fn has_changes(&self) -> bool {
        let state = self.state();
        let last = self.env.last_txn_id();
        // An empty database is never stored, whatever is wanted.
        last > 0 && (last > state.log.synced_txn() || state.wants_snapshot(&self.own))
    }

    /// What an object of this replica says of itself.
    pub(in crate::sync) fn meta(&self, txn: u64, from_txn: u64, timestamp: u64) -> Meta {
        Meta {
            generation: crate::snapshot::GENERATION.to_owned(),
            instance: self.origin.instance.clone(),
            hostname: self.origin.hostname.clone(),
            lmdb_txn_id: i64::try_from(txn).unwrap_or(i64::MAX),
            timestamp,
            database: self.origin.database.clone(),
            from_lmdb_txn_id: i64::try_from(from_txn).unwrap_or(i64::MAX),
            zonetide: ZONETIDE_VERSION,
            schema: self.schemas.guard.own().unwrap_or(0).into(),
            ..Meta::default()
        }
    }

    /// Transactions of ours that say nothing new: if nothing was written here meanwhile, the store still has all that
    /// this database has. The caller has the turn.
    pub(in crate::sync) fn absorb(&self, txn_ids: &[u64]) {
        if txn_ids.is_empty() {
            return;
        }
        let log = &mut self.state().log;
        log.absorb(txn_ids);
        if !log.has_stored() || log.synced_txn() != self.env.last_txn_id() {
            return;
        }
        // What the store has is now this state, so the pages of the one before may be used again.
        match self.env.keep_reader() {
            Ok(reader) => log.keep_in_their_place(&Arc::new(reader)),
            Err(error) => tracing::debug!(%error, "the state before is kept"),
        }
    }

    /// The time in ns since the epoch before which a mark is not taken that is not known here.
    pub(in crate::sync) fn oldest_mark(&self) -> u64 {
        self.sweep.map_or(0, |sweep| {
            let needed = self.state().marks_needed_since();
            sweep.oldest_mark(self.now_ns()).min(needed)
        })
    }
}
