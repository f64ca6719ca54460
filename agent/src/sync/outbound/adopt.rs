//! Storing what other instances told of and did not store.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;

use crate::snapshot::{DeltaName, Meta};
use crate::sync::database::collect::{Synced, collect_writes};
use crate::sync::error::SyncError;
use crate::sync::known::heard::Adopted;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Looks for changes that a peer told of and that are in no object, for longer than it takes to store them.
    pub(in crate::sync) fn look_for_orphans(&self) {
        let instances: Vec<_> = self.state().heard.states().keys().cloned().collect();
        let places = instances.into_iter().map(|instance| {
            let place = self.place_before(&instance);
            (instance, place)
        });
        // Who only receives stores nothing.
        let places: BTreeMap<_, _> = places.filter(|_| !self.only_receives).collect();
        let contacts = self.told_by_peers();
        let orphans = self.state().adopt(
            self.now_ns(),
            |instance| places.get(instance).copied(),
            |instance| contacts.contains_key(instance),
        );
        for instance in orphans.adopted {
            tracing::warn!(
                database = %self.database(), instance,
                "an instance told of changes and did not store them within a minute: this one stores them"
            );
        }
        for instance in orphans.by_snapshot {
            tracing::warn!(
                database = %self.database(), instance,
                "an instance told of changes and did not store them within a minute: this one stores all that it has"
            );
        }
    }

    /// Stores what was adopted: a delta of its own, since peers know a state by what was written here alone.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read or the store not be written; the next call tries again.
    pub(in crate::sync) async fn store_adopted(&self) -> Result<(), SyncError> {
        if !self.state().heard.has_adopted() {
            return Ok(());
        }
        if self.is_held().await? {
            return Ok(());
        }
        let (adopted, from, time, told) = {
            let _turn = self.turn.lock().await;
            let now = self.now_ns();
            let mut state = self.state();
            let adopted = state.heard.adopted();
            if adopted.states.is_empty() {
                return Ok(());
            }
            let Some((from, time, told)) = state.log.cut_for_others(now) else {
                return Ok(());
            };
            (adopted, from, time, told)
        };
        let put = self.put_adopted(&adopted, &from, time).await;
        let mut state = self.state();
        if !matches!(put, Ok(true)) {
            state.log.take_back(time, told);
        }
        if put? && state.log.is_stored_for_others(from.time, time) {
            state.known.reached(&self.own, time);
        }
        state.heard.are_stored(&adopted.states);
        Ok(())
    }

    /// Stores what was adopted after the state `from` as the state `time`. Returns false if all of it was outdone since.
    async fn put_adopted(&self, adopted: &Adopted, from: &Synced, time: u64) -> Result<bool, SyncError> {
        let meta = Meta {
            adopted: adopted.states.clone(),
            ..self.meta(from.txn, from.txn, time)
        };
        let (env, writes) = (self.env.clone(), adopted.writes.clone());
        let collected = spawn_blocking(move || collect_writes(&env, &writes, &meta))
            .await
            .map_err(|_| SyncError::Crashed("collecting what others told of"))?
            .map_err(SyncError::Dump)?;
        if collected.entries == 0 {
            return Ok(false);
        }
        let name = DeltaName::new(self.database(), &self.own, from.time, time)?;
        let object = (collected.object, collected.size, collected.entries);
        // No longer delta goes over it: that would not say what is adopted.
        self.put_delta(&name, object, true).await?;
        if let Some(peers) = &self.peers {
            peers.announce(self.database(), time);
        }
        Ok(true)
    }
}
