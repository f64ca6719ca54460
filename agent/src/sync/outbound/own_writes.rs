//! What PowerDNS or one of its tools writes here is told to the witness, as what merges write: PowerDNS does not know what its
//! tools have written, and its API does not make it forget all that it has changed.
//!
//! This has a kept state of its own, apart from those that peers and store have: it waits for neither of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::content::{Change, Touched};
use crate::lmdb::{self, KeptReader, LmdbError};
use crate::snapshot::is_private_dbi;
use crate::sync::error::SyncError;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Tells the witness what was written here since the last time, merges excepted.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read; the next call tells of it.
    pub async fn witness_own_writes(&self) -> Result<(), SyncError> {
        if !self.is_witnessed {
            return Ok(());
        }
        let mut seen = self.seen.lock().await;
        let from = seen.as_ref().map(|reader| reader.txn_id());
        if from == Some(self.env.last_txn_id()) {
            return Ok(());
        }
        let (to, foreign, only_merges) = {
            // What a merge writes is known as such once it gives up its turn.
            let _turn = self.turn.lock().await;
            let env = self.env.clone();
            let to = spawn_blocking(move || env.keep_newest()).await;
            let to = to.map_err(|_| SyncError::Crashed("keeping a state"))?;
            let to = Arc::new(to.map_err(|error| SyncError::Dump(error.into()))?);
            let log = &self.state().log;
            // What only merged is kept as well: a merge may undo what is written here, and then it is written again.
            let only_merges = from.is_some_and(|from| !log.has_changes_after(from, to.txn_id()));
            let foreign = log.foreign_after(from.unwrap_or(0));
            (to, foreign, only_merges)
        };
        if let Some(from) = seen.clone().filter(|_| !only_merges) {
            let until = to.clone();
            let touched = spawn_blocking(move || touched(&from, &until, &foreign))
                .await
                .map_err(|_| SyncError::Crashed("looking for what was written here"))?;
            (self.witness)(touched);
        } else if from.is_none() {
            (self.witness)(Touched::everything());
        }
        self.state().log.is_witnessed(to.txn_id());
        *seen = Some(to);
        Ok(())
    }
}

/// What was written between two states, less what the transactions in `foreign` wrote, which are between them.
fn touched(from: &KeptReader, to: &KeptReader, foreign: &BTreeSet<u64>) -> Touched {
    let mut touched = Touched::default();
    let walked = to.changes_since::<Stop>(from, |change| {
        let is_foreign = change.new.is_some_and(|new| foreign.contains(&new.header.txn_id));
        if !is_foreign && !is_private_dbi(change.dbi) {
            touched.note_here(&told(&change, !foreign.is_empty()));
        }
        if touched.is_everything() {
            return Err(Stop);
        }
        Ok(())
    });
    match walked {
        Ok(_) => touched,
        // Of what cannot be compared nobody knows what it was.
        Err(Stop) => Touched::everything(),
    }
}

/// No more need be seen.
struct Stop;

impl From<LmdbError> for Stop {
    fn from(error: LmdbError) -> Self {
        tracing::warn!(%error, "cannot tell what was written here: all caches are flushed");
        Self
    }
}

/// What PowerDNS may have in its caches is not the old version when this is the same again: a merge may have changed it between
/// the two, and was told of.
fn told<'c>(change: &lmdb::Change<'c>, has_merged: bool) -> Change<'c> {
    let live = |version: lmdb::Version<'c>| (!version.header.deleted).then_some(version.value);
    let (old, new) = (change.old.and_then(live), change.new.and_then(live));
    Change {
        dbi: change.dbi,
        key: change.key,
        old: old.filter(|_| !(has_merged && old == new)),
        new,
    }
}
