//! States of the database that are kept, so that what comes after them is found by comparison: while one is kept the file grows with
//! every change.

use std::sync::Arc;

use tokio::time::Instant;

use super::Log;
use crate::lmdb::KeptReader;

impl Log {
    /// The newest state that is kept.
    pub(in crate::sync) fn newest_kept(&self) -> Option<Arc<KeptReader>> {
        [&self.told, &self.told_last, &self.stored]
            .into_iter()
            .filter_map(|synced| synced.reader.clone())
            .chain(self.watched.clone())
            .max_by_key(|reader| reader.txn_id())
    }

    /// The transaction of the oldest state that is kept for comparisons. A mark that is newer must stay, or what it deletes would
    /// look as if it were lost.
    pub(in crate::sync) fn oldest_kept(&self) -> u64 {
        let kept = [&self.stored, &self.told, &self.told_last].into_iter();
        let kept = kept.filter(|synced| synced.time != 0 && synced.reader.is_some());
        let kept = kept.map(|synced| synced.txn);
        let watched = self.watched.as_ref().map(|watched| watched.txn_id());
        kept.chain(watched).min().unwrap_or(u64::MAX)
    }

    /// This state is kept, which all was looked at up to.
    pub(in crate::sync) fn keep(&mut self, state: Arc<KeptReader>) {
        self.watched = Some(state);
    }

    /// None can be kept, nor is it tried before `until`. One that is too old by now goes.
    pub(in crate::sync) fn cannot_keep(&mut self, last: u64, until: Instant) {
        self.keeping_rests_until = Some(until);
        let kept = self.limits.kept;
        self.watched
            .take_if(|watched| last.saturating_sub(watched.txn_id()) > kept);
    }

    /// A newer state than those that are kept is of use, and may be kept, before they are let go of. `last`: the last transaction.
    pub(in crate::sync) fn is_to_keep_newer(&mut self, last: u64, now: Instant) -> bool {
        let newest = self.newest_kept().map_or(last, |kept| kept.txn_id());
        // The others tell as much.
        self.watched.take_if(|watched| watched.txn_id() < newest);
        // One that is kept for this alone may as well be a new one.
        let may_be_newer = self.is_old(last, newest) || self.watched.is_some() && newest < last;
        self.keeping_rests_until.take_if(|until| *until <= now);
        may_be_newer && self.keeping_rests_until.is_none()
    }

    /// The last transaction is in no state that is kept, and one may be.
    pub(in crate::sync) fn lacks_newest(&self, last: u64) -> bool {
        let has_newest = self.newest_kept().is_some_and(|kept| kept.txn_id() >= last);
        self.keeping_rests_until.is_none() && !has_newest
    }

    fn is_old(&self, last: u64, txn: u64) -> bool {
        last.saturating_sub(txn) > self.limits.kept
    }

    /// Lets go of states that are too old. Returns, if the one that the store has is among them, how many transactions it is behind.
    pub(in crate::sync) fn let_go_of_old_states(&mut self, last: u64) -> Option<u64> {
        if self.is_old(last, self.told_last.txn) {
            self.told_last.reader = None;
        }
        if self.told.reader.is_some() && self.is_old(last, self.told.txn) {
            // Where others have written all of it since, the newest state is the same to them.
            let newest = self.newest_kept().filter(|newest| {
                let (told, newest) = (self.told.txn, newest.txn_id());
                newest > told && !self.has_changes_after(told, newest)
            });
            if let Some(newest) = &newest {
                self.told.txn = newest.txn_id();
            }
            self.told.reader = newest;
        }
        let goes = self.stored.reader.is_some() && self.is_old(last, self.stored.txn);
        goes.then(|| {
            self.stored.reader = None;
            last - self.stored.txn
        })
    }

    /// What is written next is not compared with any state from before, but found by looking at all entries.
    pub(in crate::sync) fn let_go_of_all_states(&mut self) {
        for synced in [&mut self.stored, &mut self.told, &mut self.told_last] {
            synced.reader = None;
        }
        self.watched = None;
        self.cuts.clear();
    }

    /// This newer state says no more than those that the store has and peers were told of, so it is kept in their place. Not where
    /// somebody wrote meanwhile.
    pub(in crate::sync) fn keep_in_their_place(&mut self, state: &Arc<KeptReader>) {
        let txn = state.txn_id();
        if txn != self.synced_txn {
            return;
        }
        for synced in [&mut self.stored, &mut self.told] {
            if synced.time != 0 {
                synced.txn = txn;
                synced.reader = Some(state.clone());
            }
        }
        self.advance(txn);
    }
}
