//! A whole database from one server to another, without the store: the merge is the same as of a snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::lmdb::{Environment, KeptReader, LmdbError};
use crate::snapshot::is_private_dbi;
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::Dump;
use crate::sync::error::SyncError;
use crate::sync::inbound::turn::Turn;
use crate::sync::known::schema::{SCHEMA_DBI, Verdict};
use crate::sync::known::word::Word;
use crate::sync::state::replica::Replica;

/// What became of a database that a peer handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenOver {
    /// It is merged; so many entries were news.
    Merged(u64),
    /// It has a newer schema of PowerDNS: it would destroy this one.
    Refused,
    /// The main database has to judge the peer first.
    Later,
    /// It is merged, but what is known to be merged was forgotten meanwhile, and so is this.
    Again,
}

impl Replica {
    /// What this server has.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn word(&self) -> Result<Word, SyncError> {
        // The states first: what is merged meanwhile is in the database without being among them.
        let word = self.state().says(&self.own);
        let empty = self.has_nothing().await?;
        Ok(Word { empty, ..word })
    }

    /// There is nothing in the database. What has something once keeps it, if only as a mark: nobody who asks waits for a merge or
    /// a dump to end.
    async fn has_nothing(&self) -> Result<bool, SyncError> {
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
        let kept = self.keep_for_a_peer().await;
        self.gives_away().await?;
        let dump = self.dump(kept, self.meta(0, 0, self.now_ns())).await?;
        Ok((word.said(), dump))
    }

    /// What is held back is given to nobody.
    pub(super) async fn gives_away(&self) -> Result<(), SyncError> {
        self.judge_deletions().await?;
        self.hold_by_deletions()
            .map_or(Ok(()), |hold| Err(SyncError::HeldBack(hold)))
    }

    /// The present state, kept, so that it is seen what PowerDNS puts over entries that a peer has from here.
    pub(super) async fn keep_for_a_peer(&self) -> Option<(Arc<KeptReader>, Ahead)> {
        let _turn = self.turn.lock().await;
        Box::pin(self.look_if_behind()).await;
        Box::pin(self.keep_a_state()).await
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
        let mut turn = Turn::of(self).await;
        let loaded = self.load((peer, ""), object, true, Some(&mut turn)).await?;
        let merged = match loaded.map_err(|error| SyncError::merging(&name, error))?.outcome {
            Ok(merged) => merged,
            Err(schema) => {
                self.say_newer_schema(&name, schema);
                return Ok(TakenOver::Refused);
            }
        };
        let believed = word.clone().believed(self.now_ns());
        let is_in_vain = {
            let mut state = self.state();
            state.given |= merged.written > 0;
            let is_in_vain = turn.is_in_vain(&state);
            if !is_in_vain {
                state.took_over(&self.own, peer, &believed);
            }
            is_in_vain
        };
        Box::pin(self.note_merged(&merged.txn_ids, &merged.settled)).await;
        let noted = self.note_left_out(peer, &name, merged.left_out).await;
        drop(turn);
        noted?;
        if is_in_vain {
            return Ok(TakenOver::Again);
        }
        self.warn_of_the_future(&name, merged.newest);
        tracing::info!(
            database = %self.database(), peer, entries = merged.entries, written = merged.written,
            elapsed = ?started.elapsed(), "merged the database of a peer"
        );
        Ok(TakenOver::Merged(merged.written))
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
