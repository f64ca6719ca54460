//! Whether something forbids to store, and who is told so.

use std::sync::PoisonError;

use crate::report::Level;
use crate::snapshot::SnapshotName;
use crate::sync::error::SyncError;
use crate::sync::known::hold::Hold;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Looks whether something forbids to store, and says so. PowerDNS may have been upgraded since the store was looked at.
    pub(in crate::sync) async fn is_held(&self) -> Result<bool, SyncError> {
        self.look_at_the_own_schema().await?;
        self.look_at_deletions().await?;
        let hold = self.hold();
        self.report_hold(hold.as_ref());
        self.report_held_deletions();
        Ok(hold.is_some())
    }

    pub(in crate::sync) fn report_held_deletions(&self) {
        match self.hold_by_deletions().filter(|_| self.holds_deletions_back()) {
            Some(hold) => self
                .status
                .raise("deleted_zones", Level::Error, &hold.to_string()),
            None => self.status.clear("deleted_zones"),
        }
    }

    /// Why nothing may be stored now, if so.
    pub fn hold(&self) -> Option<Hold> {
        let (own_merged, refill) = {
            let state = self.state();
            (state.own_merged, state.refill)
        };
        if !own_merged {
            return Some(Hold::OwnNotMerged);
        }
        if refill.is_some() {
            return Some(Hold::Refilling);
        }
        self.hold_by_others()
    }

    /// The same, but for what is known of the own objects in the store.
    pub(in crate::sync) fn hold_by_others(&self) -> Option<Hold> {
        let state = self.state();
        let now = self.now_ns();
        let snapshot = state.namesake.holds(now).map(SnapshotName::to_string);
        if let Some(name) = snapshot.or_else(|| state.delta_namesake.holds(now).map(ToString::to_string)) {
            return Some(Hold::Namesake { name });
        }
        drop(state);
        let other = self.schemas.guard.other_schema();
        other
            .map(|(instance, schema)| Hold::OtherSchema { instance, schema })
            .or_else(|| self.hold_by_deletions())
    }

    pub(in crate::sync) fn report_hold(&self, hold: Option<&Hold>) {
        let mut last = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != hold {
            match hold {
                // The namesake's snapshots are in the log already, and the start is no trouble.
                Some(Hold::Namesake { .. } | Hold::OwnNotMerged | Hold::Refilling) | None => {}
                Some(hold) => {
                    tracing::error!(database = %self.database(), "nothing is stored: {hold}");
                }
            }
            *last = hold.cloned();
        }
        drop(last);
        let raised = match hold {
            Some(hold @ Hold::Namesake { .. }) => Some(("namesake", hold)),
            Some(hold @ Hold::OtherSchema { .. }) => Some(("other_schema", hold)),
            // Said for itself, whatever else holds back.
            Some(Hold::OwnNotMerged | Hold::Refilling | Hold::DeletedZones { .. }) | None => None,
        };
        for condition in ["namesake", "other_schema"] {
            match raised {
                Some((name, hold)) if name == condition => {
                    self.status.raise(condition, Level::Error, &hold.to_string());
                }
                _ => self.status.clear(condition),
            }
        }
    }
}
