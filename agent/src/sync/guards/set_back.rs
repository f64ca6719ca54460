//! What was set back, [`crate::sync::database::set_back`] notes as soon as that is seen, and when an agent starts, for it may have happened
//! before.

use tokio::task::spawn_blocking;

use crate::sync::database::set_back::note_all;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Notes what is ahead of the clock if that was set back, or may have been while no agent ran.
    pub async fn look_at_the_clock(&self) {
        let _turn = self.turn.lock().await;
        self.look_if_behind().await;
    }

    /// The same; the caller has the turn.
    pub(in crate::sync) async fn look_if_behind(&self) {
        self.own_clock();
        if !self.shown.takes_a_look() {
            return;
        }
        let was_ahead = self.shown.forget();
        if self.state().log.newest_kept().is_none() {
            drop(self.keep_a_state().await);
        }
        let (env, ahead) = (self.env.clone(), self.ahead());
        let earliest = ahead.earliest();
        let noted = spawn_blocking(move || {
            let mut txn_ids = Vec::new();
            let noted = note_all(&env, &ahead, (earliest, was_ahead), &mut txn_ids);
            (noted, txn_ids)
        });
        let Ok((noted, txn_ids)) = noted.await else {
            return self.shown.looks_again_later();
        };
        self.absorb(&txn_ids);
        if let Err(error) = noted {
            self.shown.looks_again_later();
            tracing::warn!(
                database = %self.database(), %error,
                "cannot note what is ahead of the clock, will try again in a minute"
            );
        }
    }
}
