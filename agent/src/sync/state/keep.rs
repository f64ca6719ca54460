//! Keeping a state of the database, by which it is seen what PowerDNS puts over its entries and what is lost of it, for as long as that is
//! of use: while it is kept the file grows with every change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::State;
use super::replica::Replica;
use crate::lmdb::KeptReader;
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::TransferError;
use crate::sync::database::lost::{Mended, follow};

/// Time before it is tried again what failed, as in a map that is full: PowerDNS waits for the lock meanwhile.
const REST: Duration = Duration::from_secs(60);

impl Replica {
    /// A state that cannot be stored for long is not kept for ever: its changes are then found by looking at every entry.
    pub(in crate::sync) async fn let_go_of_old_states(&self, last: u64) {
        let is_old = |state: &State, txn: u64| last.saturating_sub(txn) > state.limits.kept;
        let newest_is_old = {
            let mut state = self.state();
            let newest = state.kept().map_or(last, |kept| kept.txn_id());
            // The others tell as much.
            state.watched.take_if(|watched| watched.txn_id() < newest);
            // One that is kept for this alone may as well be a new one.
            let may_be_newer = is_old(&state, newest) || state.watched.is_some() && newest < last;
            state
                .keeping_rests_until
                .take_if(|until| *until <= Instant::now());
            may_be_newer && state.keeping_rests_until.is_none()
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
            let newest = newest.filter(|newest| {
                let (told, newest) = (state.told.txn, newest.txn_id());
                newest > told && !state.has_changes_after(told, newest)
            });
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

    /// Looks for what is lost though nothing of it is to be collected.
    pub(in crate::sync) async fn keep_the_newest_state(&self) {
        let last = self.env.last_txn_id();
        let is_newest = |state: &State| state.kept().is_some_and(|kept| kept.txn_id() >= last);
        if self.state().keeping_rests_until.is_none() && !is_newest(&self.state()) {
            let _turn = self.turn.lock().await;
            drop(self.keep_a_state().await);
        }
    }

    /// As [`Replica::absorb`], and what was merged is in a state that is kept.
    pub(in crate::sync) async fn absorb_merged(&self, txn_ids: &[u64]) {
        self.absorb(txn_ids);
        let kept = self.state().kept().map(|kept| kept.txn_id());
        if txn_ids.last().copied() > kept {
            drop(self.keep_a_state().await);
        }
    }

    /// Keeps the present state, by which it is seen what PowerDNS puts over its entries, once what it put over those of the one kept
    /// before has its time, and what is lost of that is back. Returns the state, and by what it is known which of its entries have
    /// their times. The caller has the turn.
    pub(in crate::sync) async fn keep_a_state(&self) -> Option<(Arc<KeptReader>, Ahead)> {
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
        self.note_mended(mended).await;
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
                state.keeping_rests_until = Some(Instant::now() + REST);
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
    pub(in crate::sync) fn kept(&self) -> Option<Arc<KeptReader>> {
        [&self.told, &self.told_last, &self.stored]
            .into_iter()
            .filter_map(|synced| synced.reader.clone())
            .chain(self.watched.clone())
            .max_by_key(|reader| reader.txn_id())
    }
}
