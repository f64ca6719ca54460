//! Sending: what was written here goes to the store, as a delta, and now and then as a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::cut::Changes;
use crate::lmdb::KeptReader;
use crate::snapshot::{DeltaName, DeltaWriter, EncodeError, Had, Meta, SnapshotName, Vector};
use crate::store::spool;
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::{Dump, dump_by, dump_state};
use crate::sync::error::SyncError;
use crate::sync::known::hold::Hold;
use crate::sync::state::log::Whom;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Stores what was written here since the last time: a delta, and a snapshot as well if `force` is set or it is time for one.
    /// Returns whether there is nothing left to store.
    ///
    /// An empty database is never stored, nor anything before the own objects in the store are merged: either
    /// could hide the only copy of a lost database.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read or the store not be written; the next call tries again.
    pub async fn send(&self, force: bool) -> Result<bool, SyncError> {
        let mut sent = self.store_changes(force).await;
        if sent.is_ok()
            && let Err(error) = Box::pin(self.store_adopted()).await
        {
            sent = Err(error);
        }
        if sent.is_err() && self.state().own_merged {
            // Whatever keeps it from the store, such as a full one, may do so for long.
            self.begin_to_tell().map_err(SyncError::Dump)?;
        }
        sent
    }

    async fn store_changes(&self, force: bool) -> Result<bool, SyncError> {
        let last = self.env.last_txn_id();
        Box::pin(self.let_go_of_old_states(last)).await;
        self.show_what_is_stored(last);
        let (is_new, with_snapshot) = {
            let state = self.state();
            let is_new = last > state.log.synced_txn();
            let due = state.snapshot_is_due(&self.own, is_new, self.now_ns());
            (is_new, force || due)
        };
        if last == 0 || !(is_new || with_snapshot) {
            return Ok(true);
        }
        if self.is_held().await? {
            Box::pin(self.keep_the_newest_state()).await;
            if let Some(Hold::DeletedZones { .. }) = self.hold() {
                Box::pin(self.store_what_is_told()).await?;
            }
            return Ok(false);
        }
        let reasons = {
            // Peers must not be told of a state of the old chain after this, or they would take the snapshot for known.
            let _turn = self.turn.lock().await;
            // What the store lost, or a lost peer told of, is in no delta of ours: all must read the snapshot.
            let log = &mut self.state().log;
            log.begin_anew();
            log.reasons()
        };
        self.learn_the_time().await;
        let taken_in = self.state().departed.taken_in().clone();
        let anew = with_snapshot && !taken_in.is_empty();
        let whom = Whom::Store {
            always: with_snapshot,
            anew,
        };
        // Before the changes are collected: all of this is in the snapshot.
        let (vector, in_all) = self.vectors_for(&taken_in).await;
        let newest = if with_snapshot { self.env.last_txn_id() } else { 0 };
        // The store gets the states that peers know, so that both mean the same by a time.
        self.tell_up_to(newest).await?;
        let told = self.state().log.told().time;
        let Some(changes) = Box::pin(self.changes_for(whom, vector.clone())).await? else {
            return Ok(false);
        };
        // What was collected may be of a PowerDNS that was upgraded meanwhile.
        if self.is_held().await? || changes.to.txn_id() < newest {
            if anew {
                self.state().log.take_back(changes.time, told);
            }
            return Ok(false);
        }
        let (from, to, time) = (changes.from.clone(), changes.to.clone(), changes.time);
        if changes.collected.entries > 0 || with_snapshot {
            if with_snapshot {
                self.state().log.owe_snapshot();
            }
            let stored = self.store_delta(changes).await;
            if stored.is_err() && anew {
                self.state().log.take_back(time, told);
            }
            stored?;
            if with_snapshot {
                if !self
                    .store_snapshot(from.time, to, time, (reasons, in_all))
                    .await?
                {
                    return Ok(false);
                }
                if let Some(peers) = self.peers.as_ref().filter(|_| anew) {
                    peers.announce(self.database(), time);
                }
                let now = self.now_ns();
                self.state().departed.are_stored(&taken_in, vector, now);
            }
        } else {
            self.note_stored(from.time, to);
        }
        self.show_what_is_stored(self.env.last_txn_id());
        Ok(!self.has_changes())
    }

    /// Stores what peers know, and nothing that is held back.
    async fn store_what_is_told(&self) -> Result<(), SyncError> {
        let whom = Whom::Store {
            always: false,
            anew: false,
        };
        let is_known = {
            let log = &self.state().log;
            let (stored, told) = log.span(whom);
            stored.time != 0 && told.is_some_and(|told| told.time > stored.time)
        };
        if !is_known {
            return Ok(());
        }
        match Box::pin(self.changes_for(whom, Vector::new())).await? {
            Some(changes) if changes.collected.entries > 0 => self.store_delta(changes).await,
            Some(changes) => {
                self.note_stored(changes.from.time, changes.to);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn show_what_is_stored(&self, last: u64) {
        let (synced, wants_snapshot) = {
            let state = self.state();
            (
                state.log.synced_txn(),
                last > 0 && state.wants_snapshot(&self.own),
            )
        };
        self.status.local_txn(last, synced, wants_snapshot);
    }

    /// Stores a delta. The first of its kind, from no state at all, leads nowhere: it tells readers that there is a snapshot.
    async fn store_delta(&self, changes: Changes) -> Result<(), SyncError> {
        let Changes {
            from,
            to,
            time,
            collected,
            vector,
        } = changes;
        let (mut object, mut size, entries) = (collected.object, collected.size, collected.entries);
        let mut since = if from.time == 0 { time } else { from.time };
        let reaches_back = {
            let mut state = self.state();
            if let Some(reach) = state.log.reach_back(from.time, collected.few) {
                let meta = Meta {
                    vector,
                    ..self.meta(to.txn_id(), from.txn, time)
                };
                let mut writer = DeltaWriter::new(spool(self.env.folder()), &meta)?;
                reach.write(&mut writer)?;
                object = writer.finish()?;
                size = std::io::Seek::stream_position(&mut object).map_err(EncodeError::Io)?;
                since = reach.since();
                true
            } else {
                false
            }
        };
        let name = DeltaName::new(self.database(), &self.own, since, time)?;
        self.put_delta(&name, (object, size, entries), reaches_back)
            .await?;
        if from.time != 0 {
            self.note_stored(time, to);
        }
        Ok(())
    }

    /// Stores an object of so many bytes and entries as a delta.
    pub(in crate::sync) async fn put_delta(
        &self,
        name: &DeltaName,
        (object, size, entries): (SpooledTempFile, u64, u64),
        reaches_back: bool,
    ) -> Result<(), SyncError> {
        // Remembered before the attempt: a failed request may have stored the object all the same.
        self.state().delta_namesake.about_to_store(name.clone());
        let started = std::time::Instant::now();
        self.store.put(name.as_str(), object).await?;
        {
            let mut state = self.state();
            state.log.delta_is_stored(name.time(), size, reaches_back);
            state.deltas.insert(name.clone(), size);
        }
        // The first snapshot of a new database was taken before PowerDNS wrote its schema.
        if self.schemas.main {
            self.schemas.guard.stored(&self.own);
        }
        self.status.stored_delta(name, size, entries);
        tracing::debug!(
            database = %self.database(), %name, size, entries, elapsed = ?started.elapsed(), "stored a delta"
        );
        Ok(())
    }

    /// Stores the state `to` as a snapshot, and no later one: what came after it is still to be stored, also by whoever restores this
    /// database from its own snapshot. `from`: the time of the state that the store has; `reasons`: how many there were when the changes
    /// for it were collected; `vector`: what it has of others. Returns false where something came to forbid it.
    async fn store_snapshot(
        &self,
        from: u64,
        to: Arc<KeptReader>,
        time: u64,
        (reasons, mut vector): (u64, Vector),
    ) -> Result<bool, SyncError> {
        let started = std::time::Instant::now();
        let name = SnapshotName::new(self.database(), &self.own, time)?;
        // What was found to be lost meanwhile may be missing in it.
        let still = self.vector();
        vector.retain(|instance, had| {
            had.goes || still.get(instance).is_some_and(|still| still.time >= had.time)
        });
        let meta = Meta {
            vector: vector.clone(),
            ..self.meta(0, 0, time)
        };
        let dump = self.dump(Some((to.clone(), self.ahead())), meta).await?;
        if self.is_held().await? {
            return Ok(false);
        }
        self.state().namesake.about_to_store(name.clone());
        let size = dump.size;
        self.store.put(name.as_str(), dump.object).await?;
        {
            let mut state = self.state();
            state.log.snapshot_is_stored(time, (dump.txn_id, size), reasons);
            state.known.merged(&name);
            state.vectors.learn(&name, vector);
        }
        if from == 0 {
            self.note_stored(time, to);
            if let Some(peers) = &self.peers {
                self.state().log.tell_on_from_the_store(time);
                peers.announce(self.database(), time);
            }
        }
        if self.schemas.main {
            self.schemas.guard.stored(&self.own);
        }
        self.status.stored(&name, size);
        tracing::info!(
            database = %self.database(), %name, size, entries = dump.entries, txn = dump.txn_id,
            elapsed = ?started.elapsed(), "stored a snapshot"
        );
        Ok(true)
    }

    /// A base snapshot for the history, and its time: all of it is older, in ns since the epoch. None while nothing may be stored. An
    /// empty database has one, too: its history begins with its first entry.
    pub(in crate::sync) async fn base(&self) -> Result<Option<(Dump, u64)>, SyncError> {
        if !self.is_ready() || self.is_held().await? {
            return Ok(None);
        }
        let (stored, is_empty) = (self.stored_time(), self.env.last_txn_id() == 0);
        let (kept, mut vector) = {
            let _turn = self.turn.lock().await;
            let kept = Box::pin(self.keep_a_state()).await;
            (kept, self.vector_with(&Vector::new()))
        };
        if kept.is_none() || stored == 0 && !is_empty {
            return Ok(None);
        }
        if stored != 0 {
            let had = Had {
                time: stored,
                ..Had::default()
            };
            vector.insert(self.own.clone(), had);
        }
        let time = self.now_ns();
        let meta = Meta {
            vector,
            ..self.meta(0, 0, time)
        };
        Ok(Some((self.dump(kept, meta).await?, time)))
    }

    /// What a delta is to tell that the snapshot with it has of instances whose objects go, and all that this snapshot has of others: every
    /// state from now on has that.
    async fn vectors_for(&self, go: &BTreeSet<String>) -> (Vector, Vector) {
        let _turn = self.turn.lock().await;
        let told = self.vector_of(go);
        let all = self.vector_with(&told);
        (told, all)
    }

    /// A state that is kept, or else the newest one, as a snapshot.
    pub(in crate::sync) async fn dump(
        &self,
        kept: Option<(Arc<KeptReader>, Ahead)>,
        meta: Meta,
    ) -> Result<Dump, SyncError> {
        let (env, ahead) = (self.env.clone(), self.ahead());
        spawn_blocking(move || match &kept {
            Some((kept, ahead)) => dump_state(&env, kept, &meta, ahead),
            None => dump_by(&env, &meta, &ahead),
        })
        .await
        .map_err(|_| SyncError::Crashed("writing a snapshot"))?
        .map_err(SyncError::Dump)
    }

    /// The store has all of this state.
    fn note_stored(&self, time: u64, to: Arc<KeptReader>) {
        let mut state = self.state();
        if state.log.is_stored(time, to) && time != 0 {
            state.known.reached(&self.own, time);
        }
    }
}
