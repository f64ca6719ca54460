//! An avalanche of deleted zones is held back: it may be a mistake, and would be everywhere within milliseconds.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::content::live_zones;
use crate::lmdb::Environment;
use crate::sync::database::collect::deleted_since;
use crate::sync::database::dump::TransferError;
use crate::sync::error::SyncError;
use crate::sync::files::held_deletions::HeldDeletions;
use crate::sync::known::deleted_zones::{Deleted, DeletedZones, Look};
use crate::sync::known::hold::Hold;
use crate::sync::state::replica::Replica;

/// Between two looks at whether zones that were deleted are back, or so many times as long as a look takes.
const LOOK: Duration = Duration::from_secs(1);
const REST: u32 = 10;

impl Replica {
    /// Whether others may be told of what was written here, in which these zones were deleted. If not, it is held back.
    pub(in crate::sync) fn may_tell(&self, deleted: &Deleted) -> bool {
        let (main, now) = (self.main(), self.own_clock());
        let mut zones = self.deletions.zones();
        let was_held = zones.holds_anything();
        let mut may_tell = zones.may_tell(self.database(), deleted, now);
        if !may_tell {
            // Perhaps people have seen these, and an agent has ended since.
            zones.let_go(HeldDeletions::that_were_let_go(&main));
            may_tell = zones.may_tell(self.database(), deleted, now);
        }
        if !may_tell && !was_held {
            tracing::error!(database = %self.database(), "more zones were deleted here within a minute than may be: it is held back");
        }
        self.show_held_deletions(&main, zones);
        may_tell
    }

    /// Writes down what is held back, for people.
    fn show_held_deletions(&self, main: &Environment, mut zones: MutexGuard<'_, DeletedZones>) {
        let (held, told, most) = (zones.held(), zones.told().clone(), zones.most().unwrap_or(0));
        let is_to_be_hidden = zones.is_to_be_hidden();
        drop(zones);
        let shown = if !held.is_empty() {
            HeldDeletions::new(most, held, told).write(main)
        } else if is_to_be_hidden {
            HeldDeletions::remove(main)
        } else {
            Ok(())
        };
        if let Err(error) = shown {
            tracing::warn!(database = %self.database(), %error, "cannot write down which deletions are held back");
        }
    }

    /// Why nobody is told of what was written to any database of this PowerDNS, if it is for what was deleted.
    pub(in crate::sync) fn hold_by_deletions(&self) -> Option<Hold> {
        let zones = self.deletions.zones();
        let held = zones.held().len();
        (held > 0).then(|| Hold::DeletedZones {
            zones: held,
            most: zones.most().unwrap_or(0),
        })
    }

    /// It is this database whose deletions are held back.
    pub(in crate::sync) fn holds_deletions_back(&self) -> bool {
        let zones = self.deletions.zones();
        zones.is_held_in(self.database()) || self.schemas.main && zones.of_the_last_run().is_some()
    }

    /// Looks now and then whether what is held back in this database still has to be: zones may be back, and people let it go.
    pub(in crate::sync) async fn look_at_deletions(&self) -> Result<(), SyncError> {
        if !self.holds_deletions_back() {
            return Ok(());
        }
        let let_go = HeldDeletions::that_were_let_go(&self.main());
        let start = Instant::now();
        let due = |look: &Look| look.due <= start || look.let_go != let_go;
        let is_due = self.looked_at_deletions().as_ref().is_none_or(due);
        if !is_due {
            return Ok(());
        }
        if self.schemas.main {
            self.look_at_those_of_the_last_run(let_go.clone()).await?;
        }
        self.judge_deletions().await?;
        let due = Instant::now() + LOOK.max(start.elapsed() * REST);
        *self.looked_at_deletions() = Some(Look { due, let_go });
        Ok(())
    }

    async fn look_at_those_of_the_last_run(&self, let_go: Deleted) -> Result<(), SyncError> {
        let Some(mut deleted) = self.deletions.zones().of_the_last_run().cloned() else {
            return Ok(());
        };
        let (env, ids) = (self.env.clone(), deleted.keys().copied().collect::<BTreeSet<_>>());
        let live = spawn_blocking(move || live_zones(&env, &ids)).await;
        let live = live.map_err(|_| SyncError::Crashed("looking for deleted zones"))?;
        let live = live.map_err(|error| SyncError::Dump(error.into()))?;
        deleted.retain(|zone, _| !live.contains(zone));
        let mut zones = self.deletions.zones();
        zones.let_go(let_go);
        zones.still_held(&deleted);
        self.show_held_deletions(&self.env, zones);
        Ok(())
    }

    /// Looks whether what was deleted here, and is not known elsewhere, is to be held back.
    pub(in crate::sync) async fn judge_deletions(&self) -> Result<(), SyncError> {
        if self.deletions.zones().most().is_none() {
            return Ok(());
        }
        let (from, foreign, forgotten) = {
            let log = &self.state().log;
            (log.known_elsewhere(), log.foreign().clone(), log.forgotten())
        };
        if from.txn == 0 {
            return Ok(());
        }
        let env = self.env.clone();
        let deleted = spawn_blocking(move || deleted_since(&env, &from, (&foreign, forgotten))).await;
        let deleted = deleted.map_err(|_| SyncError::Crashed("looking for deleted zones"))?;
        self.may_tell(&deleted.map_err(|error| SyncError::Dump(TransferError::from(error)))?);
        Ok(())
    }

    fn looked_at_deletions(&self) -> MutexGuard<'_, Option<Look>> {
        self.looked_at_deletions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The main database of this PowerDNS.
    fn main(&self) -> Arc<Environment> {
        self.schemas.guard.database().unwrap_or_else(|| self.env.clone())
    }
}
