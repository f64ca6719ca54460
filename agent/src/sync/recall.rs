//! Entries that are here with times that no right clock has get others.

use std::time::Instant;

use tokio::task::spawn_blocking;

use super::SyncError;
use super::fleet_time::{FAR, FleetTime, Source};
use super::replica::Replica;
use super::settle::settle_all;

/// What is known of the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    own_clock: u64,
    when: Instant,
    /// How far the own clock is ahead of the fleet's time, ns.
    ahead: i64,
    /// How far the latest time that is believed is ahead of the own clock, ns.
    believes: i64,
}

impl Known {
    fn now(own_clock: u64, fleet: &FleetTime) -> Self {
        let latest = fleet.believable(own_clock).unwrap_or(own_clock);
        Self {
            own_clock,
            when: Instant::now(),
            ahead: fleet.ahead(),
            believes: latest.cast_signed().saturating_sub(own_clock.cast_signed()),
        }
    }

    /// Neither the own clock was set since nor one that it is compared with, and no less is believed.
    fn is_like(&self, later: &Self) -> bool {
        let passed = later.when.saturating_duration_since(self.when);
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        let shown = later.own_clock.abs_diff(self.own_clock.saturating_add(passed));
        shown <= FAR.unsigned_abs()
            && later.ahead.abs_diff(self.ahead) <= FAR.unsigned_abs()
            && later.believes >= self.believes.saturating_sub(FAR)
    }
}

impl Replica {
    /// Gives entries that are here with times that no right clock has those of when they came, as far as that is known. It does so once
    /// it is known what time it is, and whenever a clock was set: they are of one that was wrong before that, or of an agent that did
    /// not look. They are changes of the own.
    ///
    /// # Errors
    /// Those of LMDB; the next call tries again.
    pub(super) async fn recall(&self) -> Result<(), SyncError> {
        // Others may have done so before, and something may be in its place.
        if !self.state().ready {
            return Ok(());
        }
        let fleet = self.fleet_time();
        if fleet.source == Source::Nobody || self.max_ahead == Some(u64::MAX) {
            return Ok(());
        }
        let known = Known::now(self.own_clock(), &fleet);
        let is_done = || self.state().recalled.is_some_and(|before| before.is_like(&known));
        if is_done() {
            return Ok(());
        }
        let turn = self.turn.lock().await;
        if is_done() {
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
        self.state().settled.extend(txn_ids);
        let any_beyond = settled.map_err(|error| SyncError::Dump(error.into()))?;
        if any_beyond && has_settled {
            tracing::warn!(
                database = %self.database(), "entries had times to come and got those of when they came: a clock was wrong here"
            );
            {
                let mut state = self.state();
                // What lost against such a time may win now, and what was put over it is not to be compared with it.
                state.known.forget_all_but(&self.own);
                state.let_go_of_all_states();
            }
            drop(self.keep_a_state().await);
        }
        self.state().recalled = Some(known);
        drop(turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_are_looked_at_again_when_a_clock_was_set_or_less_is_believed_and_not_when_more_is() {
        let second = FAR;
        let known = |own_clock: u64, ahead: i64, believes: i64| Known {
            own_clock,
            when: Instant::now(),
            ahead,
            believes,
        };
        let start = 1_790_000_000_000_000_000;
        let before = known(start, 0, 0);
        assert!(before.is_like(&known(start + 1_000_000, second / 2, -second / 2)));
        assert!(
            before.is_like(&known(start, 0, 3_600 * second)),
            "as while nobody answers"
        );
        for later in [
            known(start + 3_600_000_000_000, 0, 0),
            known(start, 2 * second, 0),
            known(start, 0, -2 * second),
        ] {
            assert!(!before.is_like(&later), "{later:?}");
        }
    }
}
