//! Receiving: a look at the store, and merging what is new.

use std::collections::BTreeSet;

use super::SyncError;
use super::plan::Next;
use super::replica::{Received, Replica};
use super::schema::Verdict;

/// Loads in a row before local changes get their turn.
const MAX_LOADS_IN_A_ROW: usize = 10;

impl Replica {
    /// Lists the store and merges what is new: of each instance the deltas that lead on from what is merged, or its newest
    /// readable snapshot.
    ///
    /// # Errors
    /// [`SyncError`] when the store or the database fails; everything merged before stays merged. An object that
    /// does not decode is no error: it is reported, and does not count.
    pub async fn receive(&self) -> Result<Received, SyncError> {
        let began = self.own_clock();
        self.look_whether_it_was_away();
        let received = self.receive_everything().await;
        self.note_look(&received, began);
        received
    }

    async fn receive_everything(&self) -> Result<Received, SyncError> {
        let looked = self.look_at_everything().await;
        // A refusal tells the time as well.
        self.compare_clocks();
        let contained = self.contain().await;
        looked?;
        let failure = self.merge_a_namesake().await.err();
        self.look_at_schemas().await?;
        let (received, later) = self.load_all().await;
        let refilled = self.end_refilling().await.err();
        self.conclude();
        let contained = contained.and(self.recall().await);
        match failure.or(later).or(refilled).or(contained.err()) {
            Some(error) => Err(error),
            None => {
                self.status.loaded();
                Ok(received)
            }
        }
    }

    /// Looks for new deltas only, and merges them: one request, where [`Replica::receive`] makes two.
    ///
    /// # Errors
    /// As [`Replica::receive`].
    pub async fn receive_news(&self) -> Result<Received, SyncError> {
        let began = self.own_clock();
        let received = self.receive_what_is_new().await;
        self.note_look(&received, began);
        received
    }

    async fn receive_what_is_new(&self) -> Result<Received, SyncError> {
        let looked = self.look_at_news().await;
        self.compare_clocks();
        let contained = self.contain().await;
        looked?;
        let (received, failure) = self.load_all().await;
        if let Some(error) = failure.or(contained.err()) {
            return Err(error);
        }
        self.status.loaded();
        let gap = {
            let mut state = self.state();
            // Whether the own objects are merged, only a whole look tells.
            state.has_gap(&self.own, self.now_ns()) || !state.own_merged
        };
        Ok(if gap && received == Received::All {
            Received::Gap
        } else {
            received
        })
    }

    pub(super) async fn contain(&self) -> Result<(), SyncError> {
        self.release().await?;
        self.recall().await
    }

    async fn load_all(&self) -> (Received, Option<SyncError>) {
        // What cannot be had now: vanished objects, and those whose transfer failed.
        let mut passed_over = BTreeSet::new();
        let mut failure = None;
        let mut loads = 0;
        let mut received = Received::All;
        loop {
            let next = {
                let state = self.state();
                let skip = |next: &Next| passed_over.contains(next);
                let plan = state
                    .known
                    .to_load(&state.listing, &state.deltas, &self.own, skip);
                let Some(next) = plan.into_iter().next() else {
                    return (received, failure);
                };
                if loads == MAX_LOADS_IN_A_ROW
                    && state.own_merged
                    && self.env.last_txn_id() > state.synced_txn
                {
                    return (Received::More, failure);
                }
                next
            };
            let verdict = self.schemas.guard.verdict(next.instance());
            if !self.may_load(&next, verdict) {
                if verdict == Verdict::Unknown {
                    received = Received::Waiting;
                }
                passed_over.insert(next);
                continue;
            }
            loads += 1;
            // One instance's trouble must not keep the others' changes away.
            match self.fetch(&next).await {
                Ok(true) => {}
                // The cleaner of another instance was faster; the next listing shows what replaced it.
                Ok(false) => {
                    passed_over.insert(next);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    passed_over.insert(next);
                }
            }
        }
    }

    /// What follows from the verdict of the guard of schemas. A main database judges an instance itself, by what it loads.
    fn may_load(&self, next: &Next, verdict: Verdict) -> bool {
        match (verdict, next) {
            (Verdict::Merge, _) => true,
            (Verdict::Unknown, _) | (_, Next::Snapshot(_)) if self.schemas.main => true,
            (Verdict::Refuse(schema), Next::Snapshot(name)) => {
                self.refuse(name.clone(), schema);
                false
            }
            (Verdict::Refuse(schema), Next::Delta(name)) => {
                self.refuse_delta(name.clone(), schema);
                false
            }
            _ => false,
        }
    }
}
