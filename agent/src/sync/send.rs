//! Sending: what was written here goes to the store, as a delta, and now and then as a snapshot.

use std::sync::Arc;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::SyncError;
use super::collect::{Collected, Synced};
use super::dump::{dump_by, dump_state};
use super::lost::{Mended, Sound, collect_sound};
use super::replica::Replica;
use super::state::SinceSnapshot;
use crate::lmdb::KeptReader;
use crate::snapshot::{DeltaName, DeltaWriter, EncodeError, Meta, SnapshotName, Vector};
use crate::store::spool;

/// What was written between two states.
pub(super) struct Changes {
    pub(super) from: Synced,
    pub(super) to: Arc<KeptReader>,
    /// The time of the state `to`, ns since the epoch.
    pub(super) time: u64,
    pub(super) collected: Collected,
    /// What a delta with them says that the snapshot has which is stored with it.
    vector: Vector,
}

/// Who is to be given the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// `always`: the state gets a time even if nothing changed, for a snapshot; `anew`: one that peers do not know yet, so that they
    /// look for what the store has at it.
    Store {
        always: bool,
        anew: bool,
    },
    Peers,
}

impl Whom {
    fn is_always(self) -> bool {
        matches!(self, Self::Store { always: true, .. })
    }

    fn is_anew(self) -> bool {
        matches!(self, Self::Store { anew: true, .. })
    }
}

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
        let (is_new, with_snapshot) = {
            let state = self.state();
            self.status.local_txn(last, state.synced_txn);
            let is_new = last > state.synced_txn;
            let due = state.snapshot_is_due(&self.own, is_new, self.now_ns());
            (is_new, force || due)
        };
        if last == 0 || !(is_new || with_snapshot) {
            return Ok(true);
        }
        if self.is_held().await? {
            Box::pin(self.keep_the_newest_state()).await;
            return Ok(false);
        }
        let reasons = {
            // Peers must not be told of a state of the old chain after this, or they would take the snapshot for known.
            let _turn = self.turn.lock().await;
            // What the store lost, or a lost peer told of, is in no delta of ours: all must read the snapshot.
            let mut state = self.state();
            state.begin_anew();
            state.reasons
        };
        self.learn_the_time().await;
        // The store gets the states that peers know, so that both mean the same by a time.
        self.tell().await?;
        let taken_in = self.state().taken_in.clone();
        let whom = Whom::Store {
            always: with_snapshot,
            anew: with_snapshot && !taken_in.is_empty(),
        };
        // Before the changes are collected: all of this is in the snapshot.
        let vector = self.vector_of(&taken_in);
        let told = self.state().told.time;
        let changes = Box::pin(self.changes_for(whom, vector.clone())).await?;
        // What was collected may be of a PowerDNS that was upgraded meanwhile.
        if self.is_held().await? {
            if whom.is_anew() {
                self.state().take_back(changes.time, told);
            }
            return Ok(false);
        }
        let (from, to, time) = (changes.from.clone(), changes.to.clone(), changes.time);
        if changes.collected.entries > 0 || with_snapshot {
            self.state().snapshot_owed |= with_snapshot;
            let stored = self.store_delta(changes).await;
            if stored.is_err() && whom.is_anew() {
                self.state().take_back(time, told);
            }
            stored?;
            if with_snapshot {
                if !self.store_snapshot(&from, to, time, (reasons, &vector)).await? {
                    return Ok(false);
                }
                if let Some(peers) = self.peers.as_ref().filter(|_| whom.is_anew()) {
                    peers.announce(self.database(), time);
                }
                let now = self.now_ns();
                let mut state = self.state();
                state.taken_in.retain(|instance| !taken_in.contains(instance));
                let vouched = vector.into_iter().map(|(instance, had)| (instance, (had, now)));
                state.vouched.extend(vouched);
            }
        } else {
            self.has_stored(from.time, to);
        }
        self.status
            .local_txn(self.env.last_txn_id(), self.state().synced_txn);
        Ok(!self.has_changes())
    }

    /// Collects what was written here and is not stored or told of yet.
    ///
    /// Of two times the later one is that of the later state: whoever has a state has all of the ones before. So a state gets its
    /// time while nobody else can have the turn.
    ///
    /// `vector`: what the snapshot that is stored with them has of instances whose own objects go, for all to read who lack that.
    pub(super) async fn changes_for(&self, whom: Whom, vector: Vector) -> Result<Changes, SyncError> {
        let turn = self.turn.lock().await;
        Box::pin(self.look_if_behind()).await;
        let now = self.now_ns();
        let (from, known, foreign) = {
            let state = self.state();
            // Without its reader the newest state is collected, which has another time.
            let told = state.told.reader.is_some() && state.told.time != 0;
            let told = told.then(|| state.told.clone());
            match whom {
                Whom::Store { .. } => (state.stored.clone(), told, state.foreign.clone()),
                Whom::Peers => (state.told.clone(), None, state.foreign.clone()),
            }
        };
        let meta = Meta {
            vector: vector.clone(),
            ..self.meta(0, from.txn, now)
        };
        let (ahead, env) = (self.ahead(), self.env.clone());
        let (start, told) = (from.clone(), known.clone());
        let (sound, mended) = spawn_blocking(move || {
            let to = told.and_then(|told| told.reader);
            let meta = |to: &KeptReader| Meta {
                lmdb_txn_id: i64::try_from(to.txn_id()).unwrap_or(i64::MAX),
                ..meta.clone()
            };
            let mut mended = Mended::default();
            let sound = collect_sound(&env, &start, to, foreign, ahead, meta, &mut mended);
            (sound, mended)
        })
        .await
        .map_err(|_| SyncError::Crashed("collecting changes"))?;
        self.has_mended(mended).await;
        let Sound { to, collected } = sound.map_err(SyncError::Dump)?;
        let time = {
            let mut state = self.state();
            match known {
                // What is told next joins for those alone who have read what this one is for.
                _ if whom.is_anew() && state.told.time != 0 => {
                    state.told.time = state.next_time(now);
                    state.told.time
                }
                Some(told) if told.time > from.time => told.time,
                // A new time for a state that is stored already would be one that nobody ever gets to know.
                Some(_) if collected.entries == 0 && !whom.is_always() => from.time,
                Some(_) => {
                    state.told.time = state.next_time(now);
                    state.told.time
                }
                None => state.next_time(now),
            }
        };
        if whom == Whom::Peers {
            self.state().told = Synced {
                time: if collected.entries > 0 { time } else { from.time },
                txn: to.txn_id(),
                reader: Some(to.clone()),
            };
        }
        // PowerDNS wrote it by this clock.
        if collected.newest >= self.own_clock() {
            self.shown.is_behind();
            Box::pin(self.look_if_behind()).await;
        }
        drop(turn);
        Ok(Changes {
            from,
            to,
            time,
            collected,
            vector,
        })
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
            state.reach.add(collected.few);
            if from.time != 0 && state.reach.is_due(state.limits.stride) {
                let meta = Meta {
                    vector,
                    ..self.meta(to.txn_id(), from.txn, time)
                };
                let mut writer = DeltaWriter::new(spool(self.env.folder()), &meta)?;
                state.reach.write(&mut writer)?;
                object = writer.finish()?;
                size = std::io::Seek::stream_position(&mut object).map_err(EncodeError::Io)?;
                since = state.reach.since();
                true
            } else {
                false
            }
        };
        let name = DeltaName::new(self.database(), &self.own, since, time)?;
        self.put_delta(&name, (object, size, entries), reaches_back)
            .await?;
        if from.time != 0 {
            self.has_stored(time, to);
        }
        Ok(())
    }

    /// Stores an object of so many bytes and entries as a delta.
    pub(super) async fn put_delta(
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
            state.since_snapshot.deltas += 1;
            state.since_snapshot.delta_bytes += size;
            if reaches_back {
                state.reach.restart(name.time());
            } else {
                state.reach.stepped(name.time());
            }
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

    /// Stores a snapshot that has all of the state `to`, or more. `reasons`: how many there were when the changes for it were
    /// collected; `told`: what the delta with it tells that it has. Returns false where something came to forbid it.
    async fn store_snapshot(
        &self,
        from: &Synced,
        to: Arc<KeptReader>,
        time: u64,
        (reasons, told): (u64, &Vector),
    ) -> Result<bool, SyncError> {
        let started = std::time::Instant::now();
        let name = SnapshotName::new(self.database(), &self.own, time)?;
        let (kept, vector) = {
            // What others are to have is in a state that is kept: if it is lost here, that is seen.
            let _turn = self.turn.lock().await;
            let kept = Box::pin(self.keep_a_state()).await;
            // What is not looked through may lack what others have written.
            let vector = kept.as_ref().map(|_| self.vector_with(told)).unwrap_or_default();
            (kept, vector)
        };
        let meta = Meta {
            vector: vector.clone(),
            ..self.meta(0, 0, time)
        };
        let (env, ahead) = (self.env.clone(), self.ahead());
        let dump = spawn_blocking(move || match &kept {
            Some((kept, ahead)) => dump_state(&env, kept, &meta, ahead),
            None => dump_by(&env, &meta, &ahead),
        })
        .await
        .map_err(|_| SyncError::Crashed("writing a snapshot"))?
        .map_err(SyncError::Dump)?;
        if self.is_held().await? {
            return Ok(false);
        }
        self.state().namesake.about_to_store(name.clone());
        let size = dump.size;
        self.store.put(name.as_str(), dump.object).await?;
        {
            let mut state = self.state();
            state.stored_txn = dump.txn_id;
            // A reason that came up meanwhile calls for another one.
            state.snapshot_wanted &= state.reasons != reasons;
            state.snapshot_owed = false;
            state.since_snapshot = SinceSnapshot {
                size,
                ..SinceSnapshot::default()
            };
            state.reach.restart(time);
            state.known.merged(&name);
            state.vectors.learn(&name, vector);
        }
        if from.time == 0 {
            self.has_stored(time, to.clone());
            if let Some(peers) = &self.peers {
                {
                    let mut state = self.state();
                    state.told_last = Synced::default();
                    // Unless they were told of later states meanwhile.
                    if state.told.time <= time {
                        state.told = state.stored.clone();
                    }
                }
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

    /// The store has all of this state.
    fn has_stored(&self, time: u64, to: Arc<KeptReader>) {
        let mut state = self.state();
        if state.stored.txn > to.txn_id() {
            return;
        }
        let txn = to.txn_id();
        state.stored = Synced {
            time,
            txn,
            reader: Some(to),
        };
        state.advance(txn);
        if time != 0 {
            state.known.reached(&self.own, time);
        }
    }
}
