//! Containing a wrong clock: what is too far ahead of the fleet's time is kept out of the zones until that time is near.

use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::content::Touched;
use crate::content::keys::Subject;
use crate::lmdb::Environment;
use crate::report::{Level, Quarantined, QuarantinedEntry};
use crate::sync::database::dump::TransferError;
use crate::sync::database::load::{Interrupted, Terms, merge_kept};
use crate::sync::database::quarantine::{Guard, Kept, LeftOut, Summary, look, ripe, take_out};
use crate::sync::database::settle::{Later, settle};
use crate::sync::error::SyncError;
use crate::sync::known::fleet_time::FleetTime;
use crate::sync::state::replica::Replica;

/// How far ahead of the fleet's time an entry may be that is merged, unless it is configured.
pub const MAX_AHEAD: Duration = Duration::from_secs(300);
/// What is raised while something is kept.
const CONDITION: &str = "quarantine";
/// Bytes that are merged at once of what was kept.
const BATCH_BYTES: usize = 2 << 20;

/// Merges what was kept and is not too far ahead any more, as changes of the own. What was written here since it had come stays, and is
/// later for everybody. `txn_ids`: the transactions of that, also if it fails later on.
fn let_go(
    env: &Environment,
    (limit, lifts): (u64, bool),
    terms: &Terms<'_>,
    witness: &dyn Fn(Touched),
    txn_ids: &mut Vec<u64>,
) -> Result<u64, TransferError> {
    let ripe = ripe(env, limit, BATCH_BYTES, lifts)?;
    let outlived: Vec<_> = ripe.outlived.iter().filter_map(later_than).collect();
    settle(env, terms.ahead, &outlived, txn_ids)?;
    let merged = match merge_kept(env, &ripe.merge, terms, witness) {
        Ok(merged) => merged,
        Err(Interrupted {
            error,
            txn_ids: some,
            settled,
        }) => {
            txn_ids.extend(some.into_iter().chain(settled));
            return Err(*error);
        }
    };
    txn_ids.extend(merged.txn_ids.into_iter().chain(merged.settled));
    txn_ids.extend(take_out(env, &ripe)?);
    Ok(ripe.merge.len() as u64)
}

/// What is here in the place of a kept entry, which it is later than.
fn later_than(kept: &Kept) -> Option<Later> {
    let (dbi, entry) = kept.dbi_and_entry()?;
    Some(Later {
        dbi: dbi.to_owned(),
        key: entry.key.to_vec(),
        txn_id: 0,
        floor: Some(kept.timestamp),
    })
}

impl Replica {
    /// What an object of an instance is merged with.
    pub(in crate::sync) fn guard(&self, sender: &str, object: &str) -> Guard {
        // What cannot be told from the right is merged.
        let (limit, now) = (self.limit().unwrap_or(u64::MAX), self.now_ns());
        let state = self.state();
        // What is in it was written before it was stored.
        let stored_at = state.stored_at.get(object).copied();
        let came = stored_at.map_or(now, |stored_at| stored_at.min(now));
        Guard::new(limit, (now, came), sender, state.kept_out.summary.as_ref())
    }

    /// Does what follows from what is known of the time now.
    ///
    /// # Errors
    /// Those of LMDB; the next call goes on.
    pub(in crate::sync) async fn contain(&self) -> Result<(), SyncError> {
        self.release().await?;
        self.recall().await
    }

    /// Notes what a merge left out of an object.
    pub(in crate::sync) async fn note_left_out(
        &self,
        sender: &str,
        name: &str,
        left_out: LeftOut,
    ) -> Result<(), SyncError> {
        if left_out == LeftOut::default() {
            return Ok(());
        }
        if left_out.no_room > 0 {
            self.state().kept_out.had_no_room(sender, left_out.newest);
        }
        if left_out.kept + left_out.no_room > 0 {
            tracing::warn!(
                database = %self.database(), name, instance = sender, kept = left_out.kept, no_room = left_out.no_room,
                "entries are too far ahead of the time: they are not merged until then"
            );
        }
        self.look_at_quarantine(left_out.kept, 0).await
    }

    /// Merges what was kept and is not too far ahead any more. Cheap when there is nothing.
    ///
    /// # Errors
    /// Those of LMDB; the next call goes on.
    pub(in crate::sync) async fn release(&self) -> Result<(), SyncError> {
        if self.state().kept_out.summary.is_none() {
            self.look_at_quarantine(0, 0).await?;
        }
        // What was kept before nobody went by the fleet's time any more: its writer may have put something in its place.
        if self.max_ahead.is_none() && !self.state().ready {
            return Ok(());
        }
        // Without knowing the time nothing is known to be near.
        let Some(limit) = self.with_most_ahead(FleetTime::certainly_believable) else {
            return Ok(());
        };
        self.read_again(limit);
        let mut before = None;
        loop {
            let kept = self.state().kept_out.summary.clone();
            let earliest = kept.as_ref().and_then(|kept| kept.earliest);
            // What cannot be taken out now may be the next time.
            if earliest.is_none_or(|earliest| earliest > limit) || before == kept {
                return Ok(());
            }
            before = kept;
            let oldest_mark = self.oldest_mark();
            let turn = self.turn.lock().await;
            // It may be about to have something that is later.
            if self.state().has_paused() {
                return Ok(());
            }
            // What PowerDNS wrote by a clock that is wrong has its time before it is compared.
            drop(self.keep_a_state().await);
            let (env, witness, ahead) = (self.env.clone(), self.witness.clone(), self.ahead());
            // Nobody would learn of it from a server that only receives: those who do lift it tell this one.
            let lifts = !self.only_receives;
            let (released, txn_ids) = spawn_blocking(move || {
                let mut txn_ids = Vec::new();
                let terms = Terms {
                    oldest_mark,
                    ahead: &ahead,
                    confirm: None,
                };
                let released = let_go(&env, (limit, lifts), &terms, witness.as_ref(), &mut txn_ids);
                (released, txn_ids)
            })
            .await
            .map_err(|_| SyncError::Crashed("merging"))?;
            // Others need not have kept it, so they are told: what each of them keeps of it, and when that ends, is all the same.
            self.state().log.settle(txn_ids);
            let released = released.map_err(|error| SyncError::merging("what was kept", error))?;
            tracing::info!(
                database = %self.database(), released, "entries that were too far ahead of the time are merged"
            );
            self.look_at_quarantine(0, released).await?;
            drop(turn);
        }
    }

    /// Has the snapshots read again of which there was no room for something, once it can be merged.
    fn read_again(&self, limit: u64) {
        let mut state = self.state();
        for instance in state.kept_out.can_be_read_again(limit) {
            state.known.forget(&instance);
        }
    }

    /// Counts and shows what is kept.
    pub(in crate::sync) async fn look_at_quarantine(
        &self,
        kept: u64,
        released: u64,
    ) -> Result<(), SyncError> {
        let env = self.env.clone();
        let guard = self.schemas.guard.clone();
        let (summary, some) = spawn_blocking(move || -> Result<_, TransferError> {
            let summary = look(&env)?;
            let entry = |(dbi, key, instance, time): &(String, Vec<u8>, String, u64)| {
                let subject = Subject::of(dbi, key);
                let zone = match subject {
                    Subject::Record { zone, .. } | Subject::Zone(zone) => guard.zone(zone),
                    _ => None,
                };
                let (zone, name) = subject.named(zone);
                QuarantinedEntry {
                    table: dbi.clone(),
                    zone,
                    name,
                    instance: instance.clone(),
                    time: *time,
                }
            };
            let some = summary.some.iter().map(entry).collect();
            Ok((summary, some))
        })
        .await
        .map_err(|_| SyncError::Crashed("looking at the quarantine"))?
        .map_err(SyncError::Dump)?;
        let no_room = {
            let mut state = self.state();
            state.kept_out.summary = Some(summary.clone());
            state.kept_out.without_room()
        };
        self.show(summary, some, no_room, (kept, released));
        Ok(())
    }

    fn show(
        &self,
        summary: Summary,
        some: Vec<QuarantinedEntry>,
        no_room: Vec<String>,
        (kept, released): (u64, u64),
    ) {
        let shown = Quarantined {
            entries: summary.entries,
            bytes: summary.bytes,
            instances: summary.senders,
            no_room,
            some,
        };
        let text = shown.text(self.max_ahead.map_or(MAX_AHEAD, Duration::from_nanos));
        self.status.quarantined(shown, kept, released);
        match text {
            Some(text) => self.status.raise(CONDITION, Level::Warning, &text),
            None => self.status.clear(CONDITION),
        }
    }
}
