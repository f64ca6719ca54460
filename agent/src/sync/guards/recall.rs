//! Entries that are here with times that no right clock has get others.

use tokio::task::spawn_blocking;

use crate::sync::database::settle::settle_all;
use crate::sync::error::SyncError;
use crate::sync::known::fleet_time::Source;
use crate::sync::known::time_known::TimeKnown;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Gives entries that are here with times that no right clock has those of when they came, as far as that is known. It does so once
    /// it is known what time it is, and whenever a clock was set: they are of one that was wrong before that, or of an agent that did
    /// not look. They are changes of the own.
    ///
    /// # Errors
    /// Those of LMDB; the next call tries again.
    pub(in crate::sync) async fn recall(&self) -> Result<(), SyncError> {
        // Others may have done so before, and something may be in its place.
        if !self.state().ready {
            return Ok(());
        }
        let fleet = self.fleet_time();
        if fleet.source == Source::Nobody || self.max_ahead == Some(u64::MAX) {
            return Ok(());
        }
        let known = TimeKnown::now(self.own_clock(), &fleet);
        let is_done = || self.state().recalled.is_some_and(|before| before.is_like(&known));
        if is_done() {
            return Ok(());
        }
        let turn = self.turn.lock().await;
        // What a merge goes on with has to be looked at, too.
        if is_done() || self.state().has_paused() {
            return Ok(());
        }
        // It may have been the own one, and it is known since when.
        self.look_if_behind().await;
        // What was put over entries has its time before the state from before is let go of.
        drop(self.keep_a_state().await);
        let (env, ahead) = (self.env.clone(), self.ahead());
        let settling = spawn_blocking(move || {
            let mut txn_ids = Vec::new();
            let settled = settle_all(&env, &ahead, &mut txn_ids);
            (settled, txn_ids)
        });
        let (settled, txn_ids) = settling
            .await
            .map_err(|_| SyncError::Crashed("looking at the times of entries"))?;
        let has_settled = !txn_ids.is_empty();
        self.state().log.settle(txn_ids);
        let any_beyond = settled.map_err(|error| SyncError::Dump(error.into()))?;
        if any_beyond && has_settled {
            tracing::warn!(
                database = %self.database(), "entries had times to come and got those of when they came: a clock was wrong here"
            );
            {
                let mut state = self.state();
                // What lost against such a time may win now, and what was put over it is not to be compared with it.
                state.known.forget_all_but(&self.own);
                state.log.let_go_of_all_states();
            }
            drop(self.keep_a_state().await);
        }
        self.state().recalled = Some(known);
        drop(turn);
        Ok(())
    }
}
