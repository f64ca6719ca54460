//! What a replica does about entries that were lost, once they are back.

use tokio::task::spawn_blocking;

use super::Mended;
use crate::status::Level;
use crate::sync::replica::Replica;

/// The name of the condition.
const CONDITION: &str = "lost_entries";
/// Time for which it lasts after the last loss, ns: nobody can see whether it is over.
const LASTS: u64 = 3_600_000_000_000;

impl Replica {
    /// Tells of what was put back. The caller has the turn.
    pub(in crate::sync) async fn has_mended(&self, mended: Mended) {
        self.state().settled.extend(&mended.settled);
        if mended.is_empty() {
            return;
        }
        (self.witness)(mended.touched.clone());
        {
            let mut state = self.state();
            state.absorb(&mended.txn_ids);
            if state.stored.txn < state.told.txn {
                // What peers were told of and the store lacks may be among it, and is in no delta of ours any more.
                state.want_another_snapshot();
            }
            if mended.is_incomplete {
                state.compare_everything();
            }
        }
        let (restored, overwritten) = (mended.restored, mended.renamed + mended.removed);
        let main = self.schemas.guard.database();
        let text = spawn_blocking(move || mended.text(main.as_deref())).await;
        let text = text.unwrap_or_else(|_| "entries were lost and are back".to_owned());
        if overwritten > 0 {
            // There may be fewer entries now.
            self.is_removing(false);
        }
        self.status.mended(restored, overwritten);
        self.tell_of_losses(&text);
    }

    /// Something was lost that this program did not remove.
    pub(in crate::sync) fn tell_of_losses(&self, text: &str) {
        tracing::error!(database = %self.database(), "{text}");
        self.status.raise(CONDITION, Level::Warning, text);
        self.state().lost_at = Some(self.now_ns());
    }

    /// A loss is long ago.
    pub(in crate::sync) fn forget_old_losses(&self) {
        let now = self.now_ns();
        let old = |at: &mut u64| at.abs_diff(now) > LASTS;
        if self.state().lost_at.take_if(old).is_some() {
            self.status.clear(CONDITION);
        }
    }
}
