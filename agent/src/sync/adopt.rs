//! Storing what other instances told of and did not store.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;

use super::SyncError;
use super::collect::collect_writes;
use super::replica::Replica;
use crate::snapshot::{DeltaName, Meta};

impl Replica {
    /// Looks for changes that a peer told of and that are in no object, for longer than it takes to store them.
    pub(super) fn look_for_orphans(&self) {
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
    pub(super) async fn store_adopted(&self) -> Result<(), SyncError> {
        if !self.state().heard.has_adopted() {
            return Ok(());
        }
        let (adopted, from, time, told) = {
            let _turn = self.turn.lock().await;
            let now = self.now_ns();
            let mut state = self.state();
            let adopted = state.heard.adopted();
            // Whoever has a state has all before it: what peers were told of goes first.
            let told = state.told.txn.max(state.stored.txn);
            let is_first = state.has_changes_after(state.stored.txn, told);
            if adopted.states.is_empty() || state.stored.time == 0 || is_first {
                return Ok(());
            }
            let time = state.next_time(now);
            let told = state.told.time;
            if told != 0 {
                // What is told next joins for those alone who have read this.
                state.told.time = time;
            }
            (adopted, state.stored.clone(), time, told)
        };
        if self.is_held().await? {
            return Ok(());
        }
        let meta = Meta {
            adopted: adopted.states.clone(),
            ..self.meta(from.txn, from.txn, time)
        };
        let (env, writes) = (self.env.clone(), adopted.writes);
        let collected = spawn_blocking(move || collect_writes(&env, &writes, &meta))
            .await
            .map_err(|_| SyncError::Crashed("collecting what others told of"))?
            .map_err(SyncError::Dump)?;
        if collected.entries > 0 {
            let name = DeltaName::new(self.database(), &self.own, from.time, time)?;
            self.state().reach.add(collected.few);
            let put = self
                .put_delta(
                    &name,
                    (collected.object, collected.size, collected.entries),
                    false,
                )
                .await;
            let mut state = self.state();
            if put.is_err() && state.told.time == time {
                state.told.time = told;
            }
            put?;
            if state.stored.time == from.time {
                state.stored.time = time;
                state.known.reached(&self.own, time);
            }
            drop(state);
            if let Some(peers) = &self.peers {
                peers.announce(self.database(), time);
            }
        }
        self.state().heard.are_stored(&adopted.states);
        Ok(())
    }
}
