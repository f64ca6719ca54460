//! Fetching an object and merging it.

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use crate::report::Way;
use crate::snapshot::{DecodeError, DeltaName, Meta, Snapshot, SnapshotName};
use crate::store::spool;
use crate::sync::database::dump::TransferError;
use crate::sync::database::load::{Interrupted, Merged, Pause, Terms, foresee, merge_in_parts};
use crate::sync::error::SyncError;
use crate::sync::inbound::turn::{Pausing, Turn};
use crate::sync::known::heard::HeardState;
use crate::sync::known::plan::Next;
use crate::sync::known::schema::schema_of_snapshot;
use crate::sync::state::replica::Replica;

/// An object that is to be merged.
pub(in crate::sync) enum Object {
    Closed(SpooledTempFile),
    /// It is sound. What a merge comes to that has nothing to write, if that is known, and the last transaction that had given entries other
    /// times then.
    Open(Box<Snapshot>, Option<Box<Merged>>, Option<u64>),
}

impl From<SpooledTempFile> for Object {
    fn from(object: SpooledTempFile) -> Self {
        Self::Closed(object)
    }
}

pub(in crate::sync) struct Loaded {
    meta: Meta,
    /// What was merged, or the newer schema because of which nothing was.
    pub(in crate::sync) outcome: Result<Merged, u32>,
}

impl Replica {
    /// Fetches an object and merges it. Returns false if it is not there any more, or still to be merged.
    pub(in crate::sync) async fn fetch(&self, next: &Next) -> Result<bool, SyncError> {
        let name = match next {
            Next::Snapshot(name) => name.as_str(),
            Next::Delta(name) => name.as_str(),
        };
        let Some(object) = self.store.get(name, spool(self.env.folder())).await? else {
            if let Next::Delta(name) = next {
                self.state().deltas.remove(name);
            }
            return Ok(false);
        };
        match next {
            Next::Snapshot(name) => self.load_snapshot(name, object).await.map(|()| true),
            Next::Delta(name) => self.load_delta(name, object, Way::Store).await,
        }
    }

    async fn load_snapshot(&self, name: &SnapshotName, object: SpooledTempFile) -> Result<(), SyncError> {
        let started = std::time::Instant::now();
        let newest = {
            let state = self.state();
            let mut refused = state.known.refused.keys();
            refused.all(|refused| refused.instance() != name.instance() || refused < name)
        };
        let instance = name.instance();
        let forgotten = self.state().known.forgotten();
        let opened = self.open_snapshot((instance, name.as_str()), object).await?;
        let mut turn = Turn::since(self, forgotten).await;
        let loaded = match opened {
            Ok(object) => {
                self.load((instance, name.as_str()), object, newest, Some(&mut turn))
                    .await?
            }
            Err(error) => Err(error),
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(TransferError::Decode(error)) if !matches!(error, DecodeError::Spool(_)) => {
                tracing::error!(
                    database = %self.database(), %name, %error,
                    "a snapshot is corrupt and ignored; the one before it counts again"
                );
                self.status.corrupt(name, &error.to_string());
                self.state().known.corrupt.insert(name.clone());
                return Ok(());
            }
            Err(error) => return Err(SyncError::merging(name.as_str(), error)),
        };
        let merged = match loaded.outcome {
            Ok(merged) => merged,
            Err(schema) => {
                self.refuse(name.clone(), schema);
                return Ok(());
            }
        };
        let is_in_vain = {
            let mut state = self.state();
            let is_in_vain = turn.is_in_vain(&state);
            if !is_in_vain {
                state.known.merged(name);
            }
            // Only Lightning Stream leaves our field out.
            if loaded.meta.zonetide == 0 {
                state.lightning_stream.insert(name.instance().to_owned());
            } else {
                state.lightning_stream.remove(name.instance());
            }
            state.is_of_version(name.instance(), loaded.meta.zonetide);
            is_in_vain
        };
        Box::pin(self.note_merged(&merged.txn_ids, &merged.settled)).await;
        let noted = self
            .note_left_out(name.instance(), name.as_str(), merged.left_out)
            .await;
        if noted.is_ok() && !is_in_vain {
            self.take_vector(name, loaded.meta.vector);
        }
        drop(turn);
        noted?;
        self.warn_of_the_future(name.as_str(), merged.newest);
        self.status.merged(name, merged.written);
        tracing::info!(
            database = %self.database(), %name, entries = merged.entries, written = merged.written,
            elapsed = ?started.elapsed(), "merged a snapshot"
        );
        Ok(())
    }

    /// Merges a delta. Returns whether all of the instance up to its state is merged now.
    pub(in crate::sync) async fn load_delta(
        &self,
        name: &DeltaName,
        object: SpooledTempFile,
        way: Way,
    ) -> Result<bool, SyncError> {
        let started = std::time::Instant::now();
        let mut turn = Turn::of(self).await;
        // What a peer tells is short, and is adopted by the transactions that wrote it.
        let gives_way = (way == Way::Store).then_some(&mut turn);
        let loading = self.load((name.instance(), name.as_str()), object, true, gives_way);
        let loaded = match loading.await? {
            Ok(loaded) => loaded,
            Err(TransferError::Decode(error))
                if !matches!(error, DecodeError::Spool(_)) && way == Way::Store =>
            {
                tracing::error!(
                    database = %self.database(), %name, %error,
                    "a delta is corrupt and ignored; the instance's next snapshot has its changes"
                );
                self.status.corrupt_delta(name, &error.to_string());
                let mut state = self.state();
                let size = state.deltas.size(name).unwrap_or(0);
                state.known.corrupt_deltas.insert(name.clone(), size);
                return Ok(false);
            }
            Err(error) => return Err(SyncError::merging(name.as_str(), error)),
        };
        let merged = match loaded.outcome {
            Ok(merged) => merged,
            Err(schema) => {
                self.refuse_delta(name.clone(), schema);
                return Ok(false);
            }
        };
        // In this order: what is written down between the two must not count as stored without being known as the peer's.
        let now = self.now_ns();
        let contacts = self.told_by_peers();
        let joins = {
            let mut state = self.state();
            let is_in_vain = turn.is_in_vain(&state);
            state.log.saw([name.time()], now);
            state.is_of_version(name.instance(), loaded.meta.zonetide);
            match way {
                Way::Store if is_in_vain => {}
                Way::Peer => {
                    let told = HeardState {
                        since: name.since(),
                        writes: merged.all_writes(),
                    };
                    state.heard.hear(name.instance(), name.time(), told);
                }
                Way::Store => {
                    state.are_adopted(&self.own, &loaded.meta.adopted, |instance| {
                        contacts.contains_key(instance)
                    });
                    state.want_what_goes(name, &loaded.meta.vector);
                }
            }
            !is_in_vain && state.known.merged_delta(name)
        };
        Box::pin(self.note_merged(&merged.txn_ids, &merged.settled)).await;
        let noted = self
            .note_left_out(name.instance(), name.as_str(), merged.left_out)
            .await;
        drop(turn);
        noted?;
        self.warn_of_the_future(name.as_str(), merged.newest);
        self.status.merged_delta(name, way, merged.written);
        tracing::debug!(
            database = %self.database(), %name, ?way, joins, entries = merged.entries, written = merged.written,
            elapsed = ?started.elapsed(), "merged a delta"
        );
        Ok(joins)
    }

    /// Opens a snapshot of an instance, and looks whether it has anything new, while others have the turn.
    async fn open_snapshot(
        &self,
        (instance, name): (&str, &str),
        object: SpooledTempFile,
    ) -> Result<Result<Object, TransferError>, SyncError> {
        let (is_whole, settled) = {
            let state = self.state();
            (state.is_whole(), state.log.settled().last().copied())
        };
        let (env, oldest_mark) = (self.env.clone(), self.oldest_mark());
        let (ahead, guard) = (self.ahead(), self.guard(instance, name));
        let opening = spawn_blocking(move || {
            let mut snapshot = Snapshot::open(object)?;
            let terms = Terms {
                oldest_mark,
                ahead: &ahead,
                confirm: None,
            };
            let foreseen = if is_whole {
                foresee(&env, &mut snapshot, &terms, &guard)?
            } else {
                None
            };
            Ok(Object::Open(Box::new(snapshot), foreseen.map(Box::new), settled))
        });
        opening
            .await
            .map_err(|_| SyncError::Crashed("reading a snapshot"))
    }

    /// Opens an object of an instance and merges it unless its schema forbids that. `newest`: it shows the instance's schema of today.
    /// `turn`: others have theirs in between.
    pub(in crate::sync) async fn load(
        &self,
        (instance, name): (&str, &str),
        object: impl Into<Object>,
        newest: bool,
        turn: Option<&mut Turn<'_>>,
    ) -> Result<Result<Loaded, TransferError>, SyncError> {
        let env = self.env.clone();
        let oldest_mark = self.oldest_mark();
        let confirm = self.state().refill.map(|refill| refill.newest);
        let schemas = self.schemas.clone();
        let witness = self.witness.clone();
        Box::pin(self.look_if_behind()).await;
        let (ahead, barrier) = (self.ahead(), self.guard(instance, name));
        let instance = instance.to_owned();
        let object = object.into();
        let settled = self.state().log.settled().last().copied();
        let (pausing, pauses) = Pausing::new();
        let pausing = turn.is_some().then_some(pausing);
        let after = self.state().log.limits().turn;
        let merging = spawn_blocking(move || -> Result<Loaded, Interrupted> {
            let (mut snapshot, foreseen) = match object {
                Object::Closed(object) => (Box::new(Snapshot::open(object)?), None),
                Object::Open(snapshot, foreseen, then) => {
                    let holds = confirm.is_none() && !barrier.has_any() && then == settled;
                    (snapshot, foreseen.filter(|_| holds))
                }
            };
            let meta = snapshot.outline().meta.clone();
            let from_meta = u32::try_from(meta.schema).ok().filter(|schema| *schema != 0);
            let said = schema_of_snapshot(&mut snapshot)?.max(from_meta);
            let is_delta = meta.from_lmdb_txn_id != 0;
            if schemas.main {
                if said.is_some() || !is_delta {
                    schemas.guard.judge(&instance, said, newest);
                }
                schemas.guard.look_again()?;
            }
            let own = schemas.guard.own();
            if let (Some(said), Some(own)) = (said, own)
                && said > own
            {
                let outcome = Err(said);
                return Ok(Loaded { meta, outcome });
            }
            let give_way = |done| pausing.as_ref()?.pause(done);
            let pause = Pause {
                give_way: &give_way,
                after,
            };
            let merged = match foreseen {
                Some(merged) => *merged,
                None => merge_in_parts(
                    &env,
                    &mut snapshot,
                    (
                        &Terms {
                            oldest_mark,
                            ahead: &ahead,
                            confirm,
                        },
                        barrier,
                    ),
                    witness.as_ref(),
                    pausing.as_ref().map(|_| pause),
                )?,
            };
            if schemas.main {
                // An empty database has the schema of the first snapshot that is merged into it.
                schemas.guard.look_again()?;
            }
            let outcome = Ok(merged);
            Ok(Loaded { meta, outcome })
        });
        if let Some(turn) = turn {
            turn.serve(pauses).await;
        }
        let loaded = merging.await.map_err(|_| SyncError::Crashed("merging"))?;
        match loaded {
            Ok(loaded) => Ok(Ok(loaded)),
            Err(Interrupted {
                error,
                txn_ids,
                settled,
            }) => {
                // What was written before stays, and is none of PowerDNS'; some of it may be kept for when it is time.
                Box::pin(self.note_merged(&txn_ids, &settled)).await;
                self.state().kept_out.summary = None;
                self.look_at_quarantine(0, 0).await?;
                Ok(Err(*error))
            }
        }
    }
}
