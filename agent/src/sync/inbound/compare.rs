//! Databases that have the same changes must have the same entries: servers compare digests, and take from each other what differs.
//!
//! Nothing should ever differ, so this is for what nobody foresees: a fault of a disk, of PowerDNS, of this program. What is taken is
//! merged like everything else, and told on as a change of whoever takes it: then the store has it, whoever of the two lacked it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use crate::lmdb::{KeptReader, LmdbError};
use crate::snapshot::{DeltaWriter, EncodeError};
use crate::store::spool;
use crate::sync::database::differences::Taken;
use crate::sync::database::dump::{TransferError, to_entry};
use crate::sync::error::SyncError;
use crate::sync::known::sums::{Digest, Parts, Wanted, is_compared};
use crate::sync::known::word::Word;
use crate::sync::state::replica::Replica;

impl Replica {
    /// The digest of the database, with the states of all instances that it stands for; `None`: something is on its way, or there is
    /// reason to be unlike others.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn digest(&self) -> Result<Option<Digest>, SyncError> {
        let mut followed = self.followed.lock().await;
        let Some((state, vector)) = self.quiet_state().await? else {
            let kept = self.state().log.limits().kept;
            followed.let_go_of_an_old_state(self.env.last_txn_id(), kept);
            return Ok(None);
        };
        let Some(start) = followed.begin() else {
            return Ok(None);
        };
        let at = spawn_blocking(move || start.follow(state))
            .await
            .map_err(|_| SyncError::Crashed("comparing the database"))?
            .map_err(|error| SyncError::Dump(error.into()))?;
        let oldest_mark = self.sweep.map_or(0, |sweep| sweep.oldest_mark(self.now_ns()));
        let digest = Digest::new(vector, oldest_mark, at.content.clone());
        followed.end(at);
        Ok(Some(digest))
    }

    /// A state in which nothing is on its way: all that was written here has a time, and is in the zones.
    async fn quiet_state(&self) -> Result<Option<(Arc<KeptReader>, BTreeMap<String, u64>)>, SyncError> {
        // What is merged is known once the turn is given up.
        let _turn = self.turn.lock().await;
        let env = self.env.clone();
        let kept = spawn_blocking(move || env.keep_newest()).await;
        let kept = kept.map_err(|_| SyncError::Crashed("keeping a state"))?;
        let kept = kept.map_err(|error| SyncError::Dump(error.into()))?;
        let contacts = self.told_by_peers();
        let state = self.state();
        let known = state.log.timed_txn();
        let Word {
            mut have,
            beyond,
            own,
            ..
        } = state.says(&self.own);
        let is_quiet = state.is_whole()
            && !state.removing
            && !state.has_paused()
            && beyond.is_empty()
            && state.known.wanted.is_empty()
            && kept.txn_id() > 0
            // What is written on one that only receives nobody else ever has.
            && (self.only_receives || !state.log.has_changes_after(known, kept.txn_id()));
        if !is_quiet {
            return Ok(None);
        }
        // Of those that are gone some know longer than others.
        have.retain(|instance, _| state.is_listed(instance) || contacts.contains_key(instance));
        have.insert(self.own.clone(), own);
        have.retain(|_, time| *time != 0);
        Ok(Some((Arc::new(kept), have)))
    }

    /// Compares the own digest with that of a peer: the DBIs in which they differ, and from when on tombstones were compared, ns since
    /// the epoch. `None`: they are of different changes.
    pub fn compare(&self, own: &Digest, theirs: &Digest) -> Option<(BTreeSet<String>, u64)> {
        let differences = own.differences(theirs)?;
        Some((differences, own.marks_since(theirs)))
    }

    /// The sums of the parts of the newest state.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn parts(&self, wanted: Wanted) -> Result<Parts, SyncError> {
        let env = self.env.clone();
        let parts = spawn_blocking(move || {
            let state = env.keep_newest()?;
            // Whoever asks may name what he likes.
            let there = state.counts()?;
            let mut parts = Parts::new(wanted.dbis.keys().filter(|name| there.contains_key(*name)));
            state.changes_since_nothing(|change| {
                if let Some(new) = &change.new {
                    parts.add(change.dbi, change.key, new, wanted.marks_since);
                }
                Ok::<(), LmdbError>(())
            })?;
            Ok(parts)
        });
        parts
            .await
            .map_err(|_| SyncError::Crashed("comparing the database"))?
            .map_err(|error: LmdbError| SyncError::Dump(error.into()))
    }

    /// All that is in some parts, as an object, and its length in bytes.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read.
    pub async fn entries_of(&self, wanted: Wanted) -> Result<(SpooledTempFile, u64), SyncError> {
        let kept = self.keep_for_a_peer().await;
        self.gives_away().await?;
        let (env, ahead) = (self.env.clone(), self.ahead());
        let meta = self.meta(0, u64::MAX, self.now_ns());
        let collected = spawn_blocking(move || {
            let (state, ahead) = match kept {
                Some(kept) => kept,
                None => (Arc::new(env.keep_newest()?), ahead),
            };
            let mut writer = DeltaWriter::new(spool(env.folder()), &meta)?;
            let now = ahead.now();
            state.changes_since_nothing(|change| {
                let (dbi, key) = (change.dbi, change.key);
                match change.new {
                    // What has not got its time yet is a change that is still to come.
                    Some(new)
                        if is_compared(dbi, key)
                            && wanted.has(dbi, key)
                            && !ahead.is_pending(new.header, now) =>
                    {
                        let entry = to_entry(key, new.header, new.value);
                        writer.entry(dbi, &entry).map_err(TransferError::from)
                    }
                    _ => Ok(()),
                }
            })?;
            let mut object = writer.finish()?;
            let size = std::io::Seek::stream_position(&mut object).map_err(EncodeError::Io)?;
            Ok((object, size))
        });
        collected
            .await
            .map_err(|_| SyncError::Crashed("collecting what differs"))?
            .map_err(SyncError::Dump)
    }

    /// Merges what a peer has in parts that differ. What wins over what is here becomes a change of this instance. Returns how many
    /// entries did.
    ///
    /// # Errors
    /// [`SyncError`] when the object does not decode or the database cannot be written; what is merged stays.
    pub async fn take_differing(&self, peer: &str, object: SpooledTempFile) -> Result<u64, SyncError> {
        let name = format!("what {peer} has");
        let turn = self.turn.lock().await;
        // Half of what differs may be about to be merged.
        if self.state().has_paused() {
            return Ok(0);
        }
        // What PowerDNS wrote has its time before it is compared, and what is put here comes after that.
        drop(self.keep_a_state().await);
        let before = self.env.keep_reader().ok();
        let loaded = self.load((peer, ""), object, true, None).await?;
        let merged = match loaded.map_err(|error| SyncError::merging(&name, error))?.outcome {
            Ok(merged) => merged,
            Err(schema) => {
                self.say_newer_schema(&name, schema);
                return Ok(0);
            }
        };
        // Nobody is told anything by who only receives.
        if self.only_receives {
            Box::pin(self.note_merged(&merged.txn_ids, &merged.settled)).await;
        } else {
            // They are told with the times that they have.
            let txn_ids = merged.txn_ids.iter().chain(&merged.settled);
            self.state().log.settle(txn_ids.copied());
        }
        let noted = self.note_left_out(peer, &name, merged.left_out).await;
        drop(turn);
        noted?;
        if merged.written > 0 {
            let (env, main) = (self.env.clone(), self.schemas.guard.database());
            let (txn_ids, peer) = (merged.txn_ids, peer.to_owned());
            let taken = spawn_blocking(move || {
                Taken::between(before.as_ref(), &env, &txn_ids, &peer, main.as_deref())
            });
            self.tell_of_taken(taken.await.unwrap_or_default(), merged.written);
        }
        Ok(merged.written)
    }
}
