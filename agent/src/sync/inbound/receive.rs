//! Receiving: a look at the store, and merging what is new.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::sync::error::SyncError;
use crate::sync::known::plan::Next;
use crate::sync::known::schema::Verdict;
use crate::sync::state::replica::Replica;

/// Loads in a row before local changes get their turn.
const MAX_LOADS_IN_A_ROW: usize = 10;

/// What a step of receiving achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Everything of the listing is merged.
    All,
    /// There is more to load; local changes should have their turn first.
    More,
    /// A look at new deltas was not enough: [`Replica::receive`] is needed.
    Gap,
    /// The main database has to look at an instance first, which says whether this one may merge it.
    Waiting,
}

/// What came of loading so far.
struct Round {
    /// What cannot be had now: vanished objects, and those whose transfer failed.
    passed_over: BTreeSet<Next>,
    failure: Option<SyncError>,
    loads: usize,
    received: Received,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            passed_over: BTreeSet::new(),
            failure: None,
            loads: 0,
            received: Received::All,
        }
    }
}

/// What to do after the objects of an instance.
enum After {
    /// Those of the next one.
    Next,
    /// What is to be loaded is another thing now.
    Plan,
    /// Local changes have their turn.
    Pause,
}

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

    /// What a look at the store came to that began at that time, ns since the epoch.
    pub(in crate::sync) fn note_look(&self, received: &Result<Received, SyncError>, began: u64) {
        let told = self.told_by_peers();
        let hears_all = !told.is_empty() && !self.lacks_any_of(&told);
        let mut state = self.state();
        if state.refill.is_none() {
            if state.ready && matches!(received, Ok(Received::All)) {
                state.looks.saw_all = Some(began);
            }
            if hears_all {
                state.looks.heard_all = Some(began);
            }
        }
        match received {
            Ok(_) => state.looks.silent_since = None,
            // Whoever cannot write its own database does not wait for the store.
            Err(SyncError::Store(_)) => {
                state.looks.silent_since.get_or_insert_with(Instant::now);
            }
            Err(_) => {}
        }
    }

    /// When the database was last in sync with the store, ns since the epoch: a look succeeded, and nothing was missing here.
    pub(in crate::sync) fn was_in_sync(&self) -> Option<u64> {
        self.state().looks.saw_all
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
        self.judge_those_that_came_back();
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

    /// Looks for new deltas, and for all `snapshots` if that is wanted, and merges what is new: what was stored long ago is not listed
    /// again, as [`Replica::receive`] does.
    ///
    /// # Errors
    /// As [`Replica::receive`].
    pub async fn receive_news(&self, snapshots: bool) -> Result<Received, SyncError> {
        let began = self.own_clock();
        let received = self.receive_what_is_new(snapshots).await;
        self.note_look(&received, began);
        received
    }

    async fn receive_what_is_new(&self, snapshots: bool) -> Result<Received, SyncError> {
        let looked = self.look_at_news(snapshots).await;
        self.compare_clocks();
        let contained = self.contain().await;
        looked?;
        let mut failure = None;
        if snapshots {
            failure = self.merge_a_namesake().await.err();
            self.look_at_schemas().await?;
        }
        let (received, later) = self.load_all().await;
        self.judge_those_that_came_back();
        if let Some(error) = failure.or(later).or(contained.err()) {
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

    async fn load_all(&self) -> (Received, Option<SyncError>) {
        let mut round = Round::default();
        self.spare_the_equal();
        loop {
            let ways = {
                let state = self.state();
                let skip = |next: &Next| round.passed_over.contains(next);
                let known = &state.known;
                known.to_load(&state.listing, &state.deltas, &self.own, skip)
            };
            if ways.is_empty() {
                return (round.received, round.failure);
            }
            for way in ways {
                match self.load_way(way, &mut round).await {
                    After::Next => {}
                    After::Plan => break,
                    After::Pause => return (Received::More, round.failure),
                }
            }
        }
    }

    /// Loads what is planned of one instance, as far as it can be had.
    async fn load_way(&self, way: Vec<Next>, round: &mut Round) -> After {
        for next in way {
            {
                let state = self.state();
                if state.known.is_passed(&next) {
                    continue;
                }
                let has_changes = state.own_merged && self.env.last_txn_id() > state.log.synced_txn();
                if round.loads >= MAX_LOADS_IN_A_ROW && has_changes {
                    return After::Pause;
                }
            }
            let verdict = self.schemas.guard.verdict(next.instance());
            if !self.may_load(&next, verdict) {
                if verdict == Verdict::Unknown {
                    round.received = Received::Waiting;
                }
                round.passed_over.insert(next);
                return After::Next;
            }
            round.loads += 1;
            // One instance's trouble must not keep the others' changes away.
            match self.fetch(&next).await {
                // It may have told of others' states.
                Ok(true) if matches!(next, Next::Snapshot(_)) => return After::Plan,
                Ok(true) => {}
                // The cleaner of another instance was faster; the next listing shows what replaced it.
                Ok(false) => {
                    round.passed_over.insert(next);
                    return After::Next;
                }
                Err(error) => {
                    round.failure.get_or_insert(error);
                    round.passed_over.insert(next);
                    return After::Next;
                }
            }
        }
        After::Next
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
