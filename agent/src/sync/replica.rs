//! One database on its way through the store: what was merged, what was stored, and the steps in between.
//!
//! The steps are separate functions so that tests can interleave them as they like; [`super::run`] calls them in
//! time, several at once: no step waits for the store with anything locked.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

use super::SyncError;
use super::ahead::Ahead;
use super::contain::Waits;
use super::fleet_time::FleetTime;
use super::hold::Hold;
use super::limits::Limits;
use super::peer::Peers;
use super::schema::SchemaGuard;
use super::set_back::Shown;
use super::state::State;
use super::sweeper::{Sweep, sweep};
use super::trouble::Troubles;
use crate::content::Touched;
use crate::lmdb::{Environment, KeptReader};
use crate::report::Report;
use crate::snapshot::{Meta, ZONETIDE_VERSION, sanitize_instance};
use crate::store::Store;

/// The time in ns since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Is told what was written; must not wait.
pub type Witness = Arc<dyn Fn(Touched) + Send + Sync>;

/// What a step of receiving achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Everything of the listing is merged.
    All,
    /// There is more to load; local changes should have their turn first.
    More,
    /// A look at new deltas was not enough: [`Replica::receive`] is needed.
    Gap,
    /// The main database has to look at an instance first, which says whether this one may merge it.
    Waiting,
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
    pub(super) env: Arc<Environment>,
    pub(super) store: Arc<dyn Store>,
    pub(super) status: Arc<dyn Report>,
    pub(super) troubles: Troubles,
    pub(super) origin: Origin,
    /// The instance as object names show it.
    pub(super) own: String,
    clock: Clock,
    pub(super) shown: Arc<Shown>,
    pub(super) schemas: Schemas,
    /// Why nothing was stored the last time, so that the log says it once.
    pub(super) held: Mutex<Option<Hold>>,
    pub(super) sweep: Option<Sweep>,
    pub(super) peers: Option<Arc<dyn Peers>>,
    /// Who writes to the database, or compares states of it, has the turn until what it did is known in `state`.
    pub(super) turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// How far ahead of the fleet's time an entry may be that is merged, ns; `None`: the own clock counts, whatever others say.
    pub(super) max_ahead: Option<u64>,
    pub(super) waits: Mutex<Waits>,
    /// Nobody learns anything from it.
    pub(super) only_receives: bool,
    /// The database is known not to be empty.
    pub(super) has_content: AtomicBool,
    /// Is told of everything that is written.
    pub(super) witness: Witness,
    /// There is somebody to tell.
    pub(super) is_witnessed: bool,
    /// The state up to which it was told what was written here.
    pub(super) seen: tokio::sync::Mutex<Option<Arc<KeptReader>>>,
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
            held: Mutex::default(),
            sweep: None,
            peers: None,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            max_ahead: None,
            waits: Mutex::default(),
            only_receives: false,
            has_content: AtomicBool::default(),
            witness: Arc::new(|_| {}),
            is_witnessed: false,
            seen: tokio::sync::Mutex::default(),
        }
    }

    /// Has `witness` called with what a merge wrote, after each of its commits, and with what others write here from now on.
    pub fn set_witness(&mut self, witness: Witness) {
        self.witness = witness;
        self.is_witnessed = true;
        let seen = self.env.keep_reader();
        let seen =
            seen.inspect_err(|error| tracing::warn!(%error, "cannot keep a state of the database yet"));
        *self.seen.get_mut() = seen.ok().map(Arc::new);
    }

    /// Shares what is known of schemas with the other databases of the same PowerDNS.
    pub fn set_schemas(&mut self, schemas: Schemas) {
        if schemas.main {
            schemas.guard.watch(self.env.clone());
        }
        self.schemas = schemas;
    }

    /// Turns sweeping on; merges leave out marks that a sweep would remove soon.
    pub fn set_sweep(&mut self, sweep: Sweep) {
        self.sweep = Some(sweep);
    }

    /// Keeps other amounts than usual.
    pub fn set_limits(&mut self, limits: Limits) {
        self.state().limits = limits;
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the own clock says, right or wrong, ns since the epoch.
    pub(super) fn own_clock(&self) -> u64 {
        (self.clock)()
    }

    /// How far that is from the time that the fleet goes by; unknown where the own clock counts.
    pub(super) fn fleet_time(&self) -> FleetTime {
        match self.max_ahead {
            Some(_) => self.told_time(),
            None => FleetTime::UNKNOWN,
        }
    }

    /// How far it is from the time that the store and the other servers tell.
    pub fn told_time(&self) -> FleetTime {
        let peers = self.peers.as_ref().map(|peers| peers.skews());
        FleetTime::of(self.store.skew().as_ref(), &peers.unwrap_or_default())
    }

    /// The time, ns since the epoch: the own clock's unless that is certainly wrong.
    pub(super) fn now_ns(&self) -> u64 {
        self.fleet_time().now(self.own_clock())
    }

    /// What tells which of two writes here is the later one. Good for whoever has the turn.
    pub(super) fn ahead(&self) -> Ahead {
        let (fleet, believed) = (self.fleet_time(), self.believed());
        let state = self.state();
        let newest = state.kept();
        let since = newest.as_ref().map_or(u64::MAX, |reader| reader.txn_id());
        let foreign = state.foreign.iter().rev().take_while(|txn| **txn > since);
        Ahead::new(self.clock.clone())
            .since(newest, foreign.copied().collect())
            .by(fleet, believed, state.settled.clone())
    }

    /// All instances seen at the first listing are merged, or have nothing that could be.
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// The transaction that the last stored snapshot shows.
    pub fn stored_txn(&self) -> u64 {
        self.state().stored_txn
    }

    /// The time of the state that the store has, ns since the epoch.
    pub(super) fn stored_time(&self) -> u64 {
        self.state().stored.time
    }

    /// Everything that a restart would want to know; equal as long as nothing happened.
    pub(super) fn progress(&self) -> (u64, u64, BTreeMap<String, u64>) {
        let state = self.state();
        (state.stored.time, state.stored.txn, state.known.have.clone())
    }

    /// True if the database has something that the store may lack.
    pub fn has_changes(&self) -> bool {
        let state = self.state();
        let last = self.env.last_txn_id();
        let wanted = state.snapshot_owed
            || state.snapshot_wanted
            || !state.taken_in.is_empty()
            || state.is_unseen(&self.own);
        // An empty database is never stored, whatever is wanted.
        last > 0 && (last > state.synced_txn || wanted)
    }

    /// What an object of this replica says of itself.
    pub(super) fn meta(&self, txn: u64, from_txn: u64, timestamp: u64) -> Meta {
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
    pub(super) fn absorb(&self, txn_ids: &[u64]) {
        if txn_ids.is_empty() {
            return;
        }
        let mut state = self.state();
        state.absorb(txn_ids);
        if state.stored.time == 0 || state.synced_txn != self.env.last_txn_id() {
            return;
        }
        // What the store has is now this state, so the pages of the one before may be used again.
        match self.env.keep_reader() {
            Ok(reader) if reader.txn_id() == state.synced_txn => {
                let (txn, reader) = (reader.txn_id(), Some(Arc::new(reader)));
                let state = &mut *state;
                for synced in [&mut state.stored, &mut state.told] {
                    if synced.time != 0 {
                        synced.txn = txn;
                        synced.reader.clone_from(&reader);
                    }
                }
                state.advance(txn);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the state before is kept"),
        }
    }

    /// Removes old deletion marks from the database; how old, says [`Replica::set_sweep`].
    ///
    /// # Errors
    /// [`SyncError::Sweep`]; the next sweep goes on.
    pub async fn sweep(&self) -> Result<u64, SyncError> {
        let Some(rules) = self.sweep else { return Ok(0) };
        let needed = self.state().marks_needed_since();
        let (env, cutoff) = (self.env.clone(), rules.cutoff(self.now_ns()).min(needed));
        let turn = self.turn.lock().await;
        let newest = self.state().oldest_kept();
        self.is_removing(true);
        let swept = spawn_blocking(move || sweep(&env, &rules, cutoff, newest)).await;
        if let Ok(Ok(swept)) = &swept {
            Box::pin(self.absorb_merged(&swept.txn_ids)).await;
        }
        self.is_removing(false);
        drop(turn);
        let swept = swept
            .map_err(|_| SyncError::Crashed("removing old deletion marks"))?
            .map_err(SyncError::Sweep)?;
        self.status.swept(swept.removed);
        tracing::info!(database = %self.database(), removed = swept.removed, "swept old deletion marks");
        Ok(swept.removed)
    }

    /// The time in ns since the epoch before which a mark is not taken that is not known here.
    pub(super) fn oldest_mark(&self) -> u64 {
        self.sweep.map_or(0, |sweep| {
            let needed = self.state().marks_needed_since();
            sweep.oldest_mark(self.now_ns()).min(needed)
        })
    }
}
