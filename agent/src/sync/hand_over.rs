//! A whole database from one server to another, without the store: the merge is the same as of a snapshot.

use std::sync::atomic::Ordering;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::SyncError;
use super::dump::{Dump, TransferError, dump_by};
use super::fetch::merge_error;
use super::replica::{Received, Replica};
use super::schema::{SCHEMA_DBI, Verdict};
use super::state::State;
use super::unstored::HeardState;
use super::word::Word;
use crate::lmdb::{Environment, LmdbError};
use crate::snapshot::is_private_dbi;

/// What became of a database that a peer handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenOver {
    /// It is merged; so many entries were news.
    Merged(u64),
    /// It has a newer schema of PowerDNS: it would destroy this one.
    Refused,
    /// The main database has to judge the peer first.
    Later,
}

impl Replica {
    /// What this server has.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn word(&self) -> Result<Word, SyncError> {
        // The states first: what is merged meanwhile is in the database without being among them.
        let word = Word::of(&self.state(), &self.own);
        let empty = self.is_empty().await?;
        Ok(Word { empty, ..word })
    }

    /// There is nothing in the database. What has something once keeps it, if only as a mark: nobody who asks waits for a merge or
    /// a dump to end.
    async fn is_empty(&self) -> Result<bool, SyncError> {
        if self.has_content.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let env = self.env.clone();
        let empty = spawn_blocking(move || is_empty(&env))
            .await
            .map_err(|_| SyncError::Crashed("looking at the database"))?
            .map_err(|error| SyncError::Dump(error.into()))?;
        self.has_content.store(!empty, Ordering::Relaxed);
        Ok(empty)
    }

    /// The whole database for another server, with what it has at least.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn hand_over(&self) -> Result<(Word, Dump), SyncError> {
        let word = self.word().await?;
        let meta = self.meta(0, 0, self.now_ns());
        let (env, ahead) = (self.env.clone(), self.ahead());
        let dump = spawn_blocking(move || dump_by(&env, &meta, &ahead))
            .await
            .map_err(|_| SyncError::Crashed("writing a snapshot"))?
            .map_err(SyncError::Dump)?;
        Ok((word.said(), dump))
    }

    /// Merges the whole database of a peer, which has all that `word` says.
    ///
    /// # Errors
    /// [`SyncError`] when it does not decode or the database cannot be written; what is merged stays.
    pub async fn take_over(
        &self,
        peer: &str,
        word: &Word,
        object: SpooledTempFile,
    ) -> Result<TakenOver, SyncError> {
        if !self.schemas.main {
            match self.schemas.guard.verdict(peer) {
                Verdict::Merge => {}
                Verdict::Refuse(_) => return Ok(TakenOver::Refused),
                Verdict::Unknown => return Ok(TakenOver::Later),
            }
        }
        let name = format!("the database of {peer}");
        let started = Instant::now();
        let turn = self.turn.lock().await;
        let loaded = self.load((peer, ""), object, true).await?;
        let merged = match loaded.map_err(|error| merge_error(&name, error))?.outcome {
            Ok(merged) => merged,
            Err(schema) => {
                self.say_newer_schema(&name, schema);
                return Ok(TakenOver::Refused);
            }
        };
        {
            let mut state = self.state();
            state.take_over(&self.own, peer, &word.clone().believed(self.now_ns()));
            state.given |= merged.written > 0;
        }
        Box::pin(self.absorb_merged(&merged.txn_ids)).await;
        let noted = self.note_left_out(peer, &name, merged.left_out).await;
        drop(turn);
        noted?;
        self.warn_of_the_future(&name, merged.newest);
        tracing::info!(
            database = %self.database(), peer, entries = merged.entries, written = merged.written,
            elapsed = ?started.elapsed(), "merged the database of a peer"
        );
        Ok(TakenOver::Merged(merged.written))
    }

    /// When the database was last in sync with the store, ns since the epoch: a look succeeded, and nothing was missing here.
    pub(super) fn was_in_sync(&self) -> Option<u64> {
        self.state().saw_all
    }

    /// The main database has not judged yet whether the schema of a peer fits.
    pub(super) fn must_ask_main(&self, peer: &str) -> bool {
        !self.schemas.main && self.schemas.guard.verdict(peer) == Verdict::Unknown
    }

    /// What a look at the store came to that began at that time, ns since the epoch.
    pub(super) fn note_look(&self, received: &Result<Received, SyncError>, began: u64) {
        let told = self.told_by_peers();
        let hears_all = !told.is_empty() && !self.is_behind(&told);
        let mut state = self.state();
        if state.refill.is_none() {
            if state.ready && matches!(received, Ok(Received::All)) {
                state.saw_all = Some(began);
            }
            if hears_all {
                state.heard_all = Some(began);
            }
        }
        match received {
            Ok(_) => state.silent_since = None,
            // Whoever cannot write its own database does not wait for the store.
            Err(SyncError::Store(_)) => {
                state.silent_since.get_or_insert_with(Instant::now);
            }
            Err(_) => {}
        }
    }

    /// The server may be asked though the store has not been seen: from now on peers are told what is written here, on from the state
    /// that they know, or from the present one.
    ///
    /// # Errors
    /// Those of LMDB: peers learn of the changes through the store.
    pub(super) fn begin_to_serve(&self, receive_only: bool) -> Result<(), TransferError> {
        let may_store = {
            let mut state = self.state();
            state.serves = true;
            state.own_merged
        };
        if may_store || receive_only {
            return Ok(());
        }
        self.begin_to_tell()
    }
}

impl State {
    /// All that a peer has is here, at least what it says.
    pub(super) fn take_over(&mut self, own: &str, peer: &str, word: &Word) {
        let have = word
            .have
            .iter()
            .map(|(instance, time)| (instance.as_str(), *time));
        for (instance, time) in have.chain([(peer, word.own)]) {
            if instance == own {
                // No later state may have the name of one that others know. The own objects in the store are looked at all the same.
                self.given_back = self.given_back.max(time);
                self.last_own_time = self.last_own_time.max(time);
            } else if time > self.known.have(instance) {
                self.known.reached(instance, time);
                // Perhaps only peers know of it.
                self.hear(instance, time, HeardState::default());
            }
        }
        for (instance, times) in &word.beyond {
            for time in times {
                if instance == own {
                    self.given_back = self.given_back.max(*time);
                    self.last_own_time = self.last_own_time.max(*time);
                } else {
                    self.hear(instance, *time, HeardState::default());
                }
            }
        }
    }
}

/// PowerDNS writes its schema into a database before anything else: that is no content.
fn is_empty(env: &Environment) -> Result<bool, LmdbError> {
    if env.last_txn_id() == 0 {
        return Ok(true);
    }
    env.read(|reader| {
        for dbi in reader.dbis()? {
            if dbi.name != SCHEMA_DBI && !is_private_dbi(&dbi.name) && !reader.is_empty(&dbi)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}
