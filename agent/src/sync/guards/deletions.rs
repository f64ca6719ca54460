//! An avalanche of deleted zones is held back: it may be a mistake, and would be everywhere within milliseconds.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::lmdb::Environment;
use crate::sync::database::collect::deleted_since;
use crate::sync::error::SyncError;
use crate::sync::files::held_deletions::HeldDeletions;
use crate::sync::known::deleted_zones::{Deleted, Look};
use crate::sync::known::hold::Hold;
use crate::sync::state::log::Whom;
use crate::sync::state::replica::Replica;

/// Between two looks at whether zones that were deleted are back, or so many times as long as a look takes.
const LOOK: Duration = Duration::from_secs(1);
const REST: u32 = 10;

impl Replica {
    /// Whether others may be told of what was written here, in which these zones were deleted. If not, it is held back.
    pub(in crate::sync) fn may_tell(&self, deleted: &Deleted) -> bool {
        let main = self.main();
        let mut zones = self.deletions.zones();
        let was_held = !zones.held().is_empty();
        let mut may_tell = zones.may_tell(self.database(), deleted);
        if !may_tell {
            // Perhaps people have seen these, and an agent has ended since.
            zones.let_go(HeldDeletions::that_were_let_go(&main));
            may_tell = zones.may_tell(self.database(), deleted);
        }
        let (held, most) = (zones.held(), zones.most().unwrap_or(0));
        drop(zones);
        let shown = if !held.is_empty() {
            HeldDeletions::new(most, held).write(&main)
        } else if was_held {
            tracing::info!(database = %self.database(), "deletions are not held back any more");
            HeldDeletions::remove(&main)
        } else {
            Ok(())
        };
        if let Err(error) = shown {
            tracing::warn!(database = %self.database(), %error, "cannot write down which deletions are held back");
        }
        may_tell
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

    /// Looks now and then whether what is held back in this database still has to be: zones may be back, and people let it go.
    pub(in crate::sync) async fn look_at_deletions(&self) -> Result<(), SyncError> {
        if !self.deletions.zones().is_held_in(self.database()) {
            return Ok(());
        }
        let let_go = HeldDeletions::that_were_let_go(&self.main());
        let start = Instant::now();
        let due = |look: &Look| look.due <= start || look.let_go != let_go;
        let is_due = self.looked_at_deletions().as_ref().is_none_or(due);
        if !is_due {
            return Ok(());
        }
        let (from, foreign) = {
            let log = &self.state().log;
            let whom = if log.is_telling() {
                Whom::Peers
            } else {
                Whom::Store {
                    always: false,
                    anew: false,
                }
            };
            (log.span(whom).0, log.foreign().clone())
        };
        let env = self.env.clone();
        let deleted = spawn_blocking(move || deleted_since(&env, &from, &foreign)).await;
        let deleted = deleted.map_err(|_| SyncError::Crashed("looking for deleted zones"))?;
        self.may_tell(&deleted.map_err(|error| SyncError::Dump(error.into()))?);
        let due = Instant::now() + LOOK.max(start.elapsed() * REST);
        *self.looked_at_deletions() = Some(Look { due, let_go });
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
