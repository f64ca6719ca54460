//! A database that comes back after its time: others have removed deletion marks that it has never seen, so what was deleted
//! meanwhile is live in it, and would be everywhere again.
//!
//! All objects in the store are merged anew, and every entry that one of them has, too, is written once more. What was not written
//! since then, by that or by PowerDNS after the last checkpoint, nobody else has: it was deleted, and goes.

use tokio::task::spawn_blocking;

use crate::content::Touched;
use crate::report::Level;
use crate::sync::database::sweeper::remove_all;
use crate::sync::error::SyncError;
use crate::sync::files::in_sync;
use crate::sync::files::refill_note::{self, Refill};
use crate::sync::known::schema::SCHEMA_DBI;
use crate::sync::state::replica::Replica;

const CONDITION: &str = "refill";

impl Replica {
    /// Goes on from what the last run knew, if that is of this database and of this store. `store` says where the objects are.
    pub fn resume(&self, store: &str) {
        self.state().place = Some(store.to_owned());
        if self.goes_on_refilling() {
            return;
        }
        let Some(last) = self.last_memory(store) else {
            return;
        };
        let was_away = self.was_away(last.checkpoint());
        if !(was_away || last.is_here) {
            return self.doubt_the_last_memory();
        }
        self.judge_as_the_last_run(&last);
        // Of one that was away what is known of all the others' objects is of no use: each entry of theirs is to be seen again.
        if !was_away {
            self.go_on_from(last);
        }
    }

    /// Looks how long the volume was away. `checkpoint`: the transaction up to which the store had everything. Returns whether it was
    /// for too long.
    fn was_away(&self, checkpoint: u64) -> bool {
        self.begin_to_refill(in_sync::read(&self.env), checkpoint)
    }

    /// Goes on with what an earlier run has begun.
    fn goes_on_refilling(&self) -> bool {
        let refill = refill_note::read(&self.env).filter(|_| self.sweep.is_some());
        if refill.is_some() {
            let text = "the database was away for longer than deletion marks are kept: it is compared with all others before anything \
                        of it is stored";
            tracing::warn!(database = %self.database(), "{text}");
            self.status.raise(CONDITION, Level::Warning, text);
            self.state().refill = refill;
        }
        refill.is_some()
    }

    pub(in crate::sync) fn is_refilling(&self) -> bool {
        self.state().refill.is_some()
    }

    /// Looks how long this agent has seen neither the store nor a peer.
    pub(in crate::sync) fn look_whether_it_was_away(&self) {
        let (last, checkpoint) = {
            let state = self.state();
            (
                state.looks.saw_all.max(state.looks.heard_all),
                state.log.stored().txn,
            )
        };
        if !self.is_refilling() && self.begin_to_refill(last, checkpoint) {
            let mut state = self.state();
            state.known.forget_all();
            state.awaited = None;
            // Each entry is written anew: no state is kept from before that.
            state.log.forget_all_states();
        }
    }

    fn begin_to_refill(&self, in_sync: Option<u64>, checkpoint: u64) -> bool {
        let Some(sweep) = self.sweep else { return false };
        // The time when it was in sync is by the own clock, too.
        let now = self.own_clock();
        let Some(time) = in_sync.filter(|time| sweep.outlives(*time, now)) else {
            return false;
        };
        let text = format!(
            "the database was last in sync {} days ago, and deletion marks are kept for {}: it is compared with all others before \
             anything of it is stored",
            now.saturating_sub(time) / 86_400_000_000_000,
            sweep.retention.as_secs() / 86_400,
        );
        tracing::warn!(database = %self.database(), "{text}");
        self.status.raise(CONDITION, Level::Warning, &text);
        let refill = Some(Refill {
            checkpoint,
            newest: self.env.last_txn_id(),
            in_sync: time,
        });
        self.state().refill = refill;
        refill_note::write(&self.env, refill);
        true
    }

    /// Removes what no other has once all that the store has is merged.
    ///
    /// # Errors
    /// Those of LMDB; the next call goes on.
    pub(in crate::sync) async fn end_refilling(&self) -> Result<(), SyncError> {
        let Some((refill, alone)) = self.is_compared() else {
            return Ok(());
        };
        let _turn = self.turn.lock().await;
        if alone {
            tracing::info!(database = %self.database(), "nobody else has a database: all of this one counts");
        } else if let Some(sweep) = self.sweep {
            let env = self.env.clone();
            let goes = move |dbi: &str, txn_id: u64| dbi != SCHEMA_DBI && txn_id <= refill.checkpoint;
            self.is_removing(true);
            // What goes is not to be missed in a comparison with a state from before, also if not all of it goes.
            self.state().log.forget_all_states();
            let removed =
                spawn_blocking(move || remove_all(&env, &sweep, |dbi, header| goes(dbi, header.txn_id)))
                    .await
                    .map_err(|_| SyncError::Crashed("removing what others have deleted"))?
                    .map_err(SyncError::Sweep)?;
            self.absorb(&removed.txn_ids);
            self.is_removing(false);
            (self.witness)(Touched::everything());
            tracing::warn!(
                database = %self.database(), removed = removed.removed,
                "removed what others have deleted while this database was away"
            );
        }
        {
            let mut state = self.state();
            state.refill = None;
            // What was written here and not stored is in no delta; and what has gone is not to be missed in a comparison with a state
            // before.
            state.log.want_snapshot();
            state.log.forget_all_states();
        }
        refill_note::write(&self.env, None);
        self.status.clear(CONDITION);
        Ok(())
    }

    /// All that the first look showed is merged, or gone; and whether that was nothing at all. A snapshot that cannot be read does not
    /// count as merged: what only that has would go. One that could not be read either when this database was in sync has nothing to
    /// do with it.
    fn is_compared(&self) -> Option<(Refill, bool)> {
        let state = self.state();
        let refill = state.refill?;
        let awaited = state.awaited.as_ref()?;
        let merged = |(instance, time): (&String, &u64)| {
            let is_from_before = || {
                let (known, listing, deltas) = (&state.known, &state.listing, &state.deltas);
                state.last_sign(instance) <= refill.in_sync
                    && known.has_all_readable_of(instance, listing, deltas)
            };
            !state.listing.contains_key(instance) || state.known.have(instance) >= *time || is_from_before()
        };
        let alone = state.known.have.is_empty();
        awaited.iter().all(merged).then_some((refill, alone))
    }
}
