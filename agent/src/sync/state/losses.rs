//! What a replica does about entries that were lost, once they are back.

use tokio::task::spawn_blocking;

use super::replica::Replica;
use crate::report::Level;
use crate::sync::database::lost::{Losses, Mended};

/// The name of the condition.
const CONDITION: &str = "lost_entries";
/// Time for which it lasts after the last loss, ns: nobody can see whether it is over.
const LASTS: u64 = 3_600_000_000_000;

impl Replica {
    /// Tells of what was put back. The caller has the turn.
    pub(in crate::sync) async fn note_mended(&self, mended: Mended) {
        self.state().log.settle(mended.settled.iter().copied());
        if mended.is_empty() {
            return;
        }
        (self.witness)(mended.touched.clone());
        {
            let mut state = self.state();
            let log = &mut state.log;
            let newest = log.newest_kept().map_or(0, |kept| kept.txn_id());
            if log.has_changes_after(log.stored().txn, newest.max(log.told().txn)) {
                // What the store lacks may be among it, and is in no delta of ours any more.
                log.want_another_snapshot();
            }
            log.absorb(&mended.txn_ids);
            state.heard.were_put_back(&mended.txn_ids);
            if mended.is_incomplete {
                state.compare_everything();
                // They may have what was removed.
                state.log.let_go_of_all_states();
            }
        }
        let (restored, overwritten) = (mended.restored, mended.renamed + mended.removed);
        let main = self.schemas.guard.database();
        let losses = spawn_blocking(move || mended.losses(main.as_deref())).await;
        if overwritten > 0 {
            // There may be fewer entries now than in any state that is kept.
            self.is_removing(true);
            self.state().removing = false;
        }
        self.status.mended(restored, overwritten);
        self.tell_of_losses(losses.unwrap_or_default());
    }

    /// Something was lost while no agent ran, as `text` says.
    pub(in crate::sync) fn tell_of_unseen_losses(&self, text: String) {
        self.tell_of_losses(Losses::unseen(text));
    }

    /// Something was lost that this program did not remove. What was lost shortly before is told with it.
    fn tell_of_losses(&self, losses: Losses) {
        tracing::error!(database = %self.database(), "{}", losses.text());
        let text = {
            let now = self.now_ns();
            let mut state = self.state();
            let (at, before) = state.warned.losses.get_or_insert_default();
            before.add(losses);
            *at = now;
            before.text()
        };
        self.status.raise(CONDITION, Level::Warning, &text);
    }

    /// A loss is long ago.
    pub(in crate::sync) fn forget_old_losses(&self) {
        let now = self.now_ns();
        if self
            .state()
            .warned
            .losses
            .take_if(|(at, _)| at.abs_diff(now) > LASTS)
            .is_some()
        {
            self.status.clear(CONDITION);
        }
    }
}
