//! Removing old deletion marks from a replica's database.

use tokio::task::spawn_blocking;

use crate::sync::database::sweeper::sweep;
use crate::sync::error::SyncError;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Removes old deletion marks from the database; how old, says [`Replica::set_sweep`].
    ///
    /// # Errors
    /// [`SyncError::Sweep`]; the next sweep goes on.
    pub async fn sweep(&self) -> Result<u64, SyncError> {
        let Some(rules) = self.sweep else { return Ok(0) };
        let needed = self.state().marks_needed_since();
        let (env, cutoff) = (self.env.clone(), rules.cutoff(self.now_ns()).min(needed));
        let turn = self.turn.lock().await;
        let newest = self.state().log.oldest_kept();
        self.is_removing(true);
        let swept = spawn_blocking(move || sweep(&env, &rules, cutoff, newest)).await;
        if let Ok(Ok(swept)) = &swept {
            Box::pin(self.absorb_merged(&swept.txn_ids)).await;
        }
        self.is_removing(false);
        drop(turn);
        let swept = swept
            .map_err(|_| SyncError::Crashed("removing old deletion marks"))?
            .map_err(SyncError::Sweep)?;
        self.status.swept(swept.removed);
        tracing::info!(database = %self.database(), removed = swept.removed, "swept old deletion marks");
        Ok(swept.removed)
    }
}
