//! A clock that was set back leaves entries ahead of it that no merge had to note ([`super::ahead`]). They are noted as soon as that is
//! seen, and when an agent starts, for it may have happened before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use super::ahead::Ahead;
use super::dump::TransferError;
use super::lost::{Mended, follow};
use super::replica::{Clock, Replica};
use super::settle::PAUSE;
use super::state::State;
use crate::lmdb::{Environment, KeptReader, LmdbError};
use crate::snapshot::is_private_dbi;

/// Most entries that are noted in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;

/// What a clock showed.
pub(super) struct Shown {
    /// The latest time since the database was looked at. Locked while the clock is read, so that it is known which time is the later.
    latest: Mutex<u64>,
    /// The clock may show an earlier time than the database has.
    behind: AtomicBool,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            latest: Mutex::new(0),
            behind: AtomicBool::new(true),
        }
    }
}

impl Shown {
    /// The same clock, of which it is known what it showed.
    pub(super) fn watch(shown: &Arc<Self>, clock: Clock) -> Clock {
        let shown = shown.clone();
        Arc::new(move || {
            let mut latest = shown.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock();
            if *latest > now {
                shown.is_behind();
            }
            *latest = now.max(*latest);
            now
        })
    }

    /// The clock shows an earlier time than something that was written by it.
    pub(super) fn is_behind(&self) {
        self.behind.store(true, Ordering::Relaxed);
    }

    fn forget(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }
}

impl Replica {
    /// Notes what is ahead of the clock if that was set back, or may have been while no agent ran.
    pub async fn look_at_the_clock(&self) {
        let _turn = self.turn.lock().await;
        self.look_if_behind().await;
    }

    /// The same; the caller has the turn.
    pub(super) async fn look_if_behind(&self) {
        self.own_clock();
        if !self.shown.behind.swap(false, Ordering::Relaxed) {
            return;
        }
        self.shown.forget();
        if self.state().kept().is_none() {
            drop(self.keep_a_state().await);
        }
        let (env, ahead, now) = (self.env.clone(), self.ahead(), self.own_clock());
        match spawn_blocking(move || note_all(&env, &ahead, now)).await {
            Ok(Ok(txn_ids)) => self.absorb(&txn_ids),
            Ok(Err(error)) => {
                self.shown.is_behind();
                tracing::warn!(database = %self.database(), %error, "cannot note what is ahead of the clock");
            }
            Err(_) => self.shown.is_behind(),
        }
    }

    /// A state that cannot be stored for long is not kept for ever: its changes are then found by looking at every entry.
    pub(super) async fn let_go_of_old_states(&self, last: u64) {
        let is_old = |state: &State, txn: u64| last.saturating_sub(txn) > state.limits.kept;
        let newest_is_old = {
            let mut state = self.state();
            let newest = state.kept().map_or(last, |kept| kept.txn_id());
            // The others tell as much.
            state.watched.take_if(|watched| watched.txn_id() < newest);
            // One that is kept for this alone may as well be a new one.
            is_old(&state, newest) || state.watched.is_some() && newest < last
        };
        if newest_is_old {
            let _turn = self.turn.lock().await;
            drop(self.keep_a_state().await);
        }
        let mut state = self.state();
        if is_old(&state, state.told_last.txn) {
            state.told_last.reader = None;
        }
        if state.told.reader.is_some() && is_old(&state, state.told.txn) {
            // Where others have written all of it since, the newest state is the same to them.
            let newest = state.kept();
            let newest = newest.filter(|newest| !state.has_changes_after(state.told.txn, newest.txn_id()));
            if let Some(newest) = &newest {
                state.told.txn = newest.txn_id();
            }
            state.told.reader = newest;
        }
        if state.stored.reader.is_some() && is_old(&state, state.stored.txn) {
            state.stored.reader = None;
            tracing::warn!(
                database = %self.database(), transactions = last - state.stored.txn,
                "the state stored last is not kept any more, so that the file does not grow: the next delta costs a look at every entry"
            );
        }
    }

    /// As [`Replica::absorb`], and what was merged is in a state that is kept.
    pub(super) async fn absorb_merged(&self, txn_ids: &[u64]) {
        self.absorb(txn_ids);
        let kept = self.state().kept().map(|kept| kept.txn_id());
        if txn_ids.last().copied() > kept {
            drop(self.keep_a_state().await);
        }
    }

    /// Keeps the present state, by which it is seen what PowerDNS puts over its entries, once what it put over those of the one kept
    /// before has its time, and what is lost of that is back. Returns the state, and by what it is known which of its entries have
    /// their times. The caller has the turn.
    pub(super) async fn keep_a_state(&self) -> Option<(Arc<KeptReader>, Ahead)> {
        let (env, mut ahead) = (self.env.clone(), self.ahead());
        let kept = spawn_blocking(move || {
            let mut mended = Mended::default();
            let kept = match ahead.kept.clone() {
                Some(kept) => follow(&env, &kept, &mut ahead, &mut mended),
                None => env.keep_newest().map_err(TransferError::from),
            };
            (kept.map(Arc::new), ahead, mended)
        });
        let (kept, ahead, mended) = kept.await.ok()?;
        self.has_mended(mended).await;
        match kept {
            Ok(kept) => {
                self.state().watched = Some(kept.clone());
                Some((kept, ahead))
            }
            Err(error) => {
                tracing::warn!(
                    database = %self.database(), %error,
                    "cannot look yet for what PowerDNS has put over entries, and for what is lost"
                );
                let last = self.env.last_txn_id();
                let mut state = self.state();
                let kept = state.limits.kept;
                state
                    .watched
                    .take_if(|watched| last.saturating_sub(watched.txn_id()) > kept);
                None
            }
        }
    }
}

impl State {
    /// The newest state that is kept.
    pub(super) fn kept(&self) -> Option<Arc<KeptReader>> {
        [&self.told, &self.told_last, &self.stored]
            .into_iter()
            .filter_map(|synced| synced.reader.clone())
            .chain(self.watched.clone())
            .max_by_key(|reader| reader.txn_id())
    }
}

/// Notes all entries with this time or a later one, and returns the transactions of that.
fn note_all(env: &Environment, ahead: &Ahead, now: u64) -> Result<Vec<u64>, LmdbError> {
    let mut txn_ids = Vec::new();
    let reader = env.begin_read()?;
    let dbis = reader.dbis()?;
    reader.finish()?;
    for dbi in dbis.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        let mut from = Vec::new();
        loop {
            let found =
                env.read(|reader| reader.find_after(dbi, &from, BATCH, |header| header.timestamp >= now))?;
            if found.is_empty() {
                break;
            }
            let mut writer = env.begin_write()?;
            let mut notes = ahead.notes(&writer)?;
            for (key, header) in &found {
                // PowerDNS may have put something over it since: that is later.
                notes.note_found(&mut writer, &dbi.name, key, *header)?;
            }
            txn_ids.extend(writer.commit()?);
            if found.len() == BATCH {
                std::thread::sleep(PAUSE);
            }
            match found.into_iter().next_back() {
                Some((last, _)) => from = last,
                None => break,
            }
        }
    }
    Ok(txn_ids)
}
