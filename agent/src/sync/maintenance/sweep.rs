//! Removing old deletion marks from a replica's database.

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::lmdb::LmdbError;
use crate::sync::database::sweeper::{Found, Search, Sweep, Swept, is_old};
use crate::sync::error::SyncError;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Removes old deletion marks from the database; how old, says [`Replica::set_sweep`]. What is written meanwhile is told between two
    /// transactions of it.
    ///
    /// # Errors
    /// [`SyncError::Sweep`]; the next sweep goes on.
    pub async fn sweep(&self) -> Result<u64, SyncError> {
        let Some(rules) = self.sweep else { return Ok(0) };
        let needed = self.state().marks_needed_since();
        let cutoff = rules.cutoff(self.now_ns()).min(needed);
        let env = self.env.clone();
        let mut search = sweeping(move || Search::begin(&env)).await?;
        let mut removed = 0;
        loop {
            let env = self.env.clone();
            let looking = move || {
                let found = search.next(&env, &|_: &str, header| is_old(header, cutoff, u64::MAX))?;
                Ok((search, found))
            };
            let (rest, found) = sweeping(looking).await?;
            search = rest;
            let Some(mut found) = found else { break };
            while !found.is_empty() {
                found = self.sweep_some(found, (&rules, cutoff), &mut removed).await?;
                if !rules.release.is_zero() {
                    sleep(rules.release).await;
                }
            }
        }
        self.status.swept(removed);
        tracing::info!(database = %self.database(), removed, "swept old deletion marks");
        Ok(removed)
    }

    /// Removes some of what was found, and returns the rest.
    async fn sweep_some(
        &self,
        mut found: Found,
        (rules, cutoff): (&Sweep, u64),
        removed: &mut u64,
    ) -> Result<Found, SyncError> {
        let (env, lock) = (self.env.clone(), rules.lock);
        let turn = self.turn.lock().await;
        let newest = self.state().log.oldest_kept();
        self.is_removing(true);
        let swept = spawn_blocking(move || {
            let mut swept = Swept::default();
            let goes = |_: &str, header: &_| is_old(header, cutoff, newest);
            let done = found.remove_some(&env, lock, &goes, &mut swept);
            (done.map(|()| found), swept)
        });
        let swept = swept.await;
        if let Ok((_, swept)) = &swept {
            Box::pin(self.absorb_merged(&swept.txn_ids)).await;
            *removed += swept.removed;
        }
        self.is_removing(false);
        drop(turn);
        let (rest, _) = swept.map_err(|_| SyncError::Crashed("removing old deletion marks"))?;
        rest.map_err(SyncError::Sweep)
    }
}

async fn sweeping<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, LmdbError> + Send + 'static,
) -> Result<T, SyncError> {
    let done = spawn_blocking(step).await;
    done.map_err(|_| SyncError::Crashed("removing old deletion marks"))?
        .map_err(SyncError::Sweep)
}
