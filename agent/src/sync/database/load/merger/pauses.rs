//! Pauses of a merge, in which others have their turn: each part of a merge is as a merge of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Merged, Merger};
use crate::snapshot::DecodeError;
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::TransferError;

/// Entries between two looks at the clock.
const ENTRIES_PER_LOOK: u32 = 128;

/// What a merge has written since it had its turn: nobody may have the next one before that is known.
#[derive(Debug, Default)]
pub(in crate::sync) struct Done {
    pub(in crate::sync) txn_ids: Vec<u64>,
    /// Those that gave entries here their times for good.
    pub(in crate::sync) settled: Vec<u64>,
}

/// How a merge lets others have their turn.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Pause<'p> {
    /// Gives up the turn and waits for the next; by what it goes on then, or `None`: it ends here.
    pub(in crate::sync) give_way: &'p dyn Fn(Done) -> Option<Ahead>,
    /// After this time.
    pub(in crate::sync) after: Duration,
}

/// When a merge pauses, and what of it is known already.
pub(super) struct Pauses<'p> {
    pause: Option<Pause<'p>>,
    began: Instant,
    looked: u32,
    known: (usize, usize),
}

impl<'p> Pauses<'p> {
    pub(super) fn new(pause: Option<Pause<'p>>) -> Self {
        Self {
            pause,
            began: Instant::now(),
            looked: 0,
            known: (0, 0),
        }
    }

    /// Others have waited for long enough. To be asked with each entry.
    fn is_due(&mut self) -> Option<Pause<'p>> {
        let pause = self.pause?;
        self.looked += 1;
        if self.looked < ENTRIES_PER_LOOK && !pause.after.is_zero() {
            return None;
        }
        self.looked = 0;
        (self.began.elapsed() >= pause.after).then_some(pause)
    }

    /// What of these transactions is not known yet.
    fn done(&mut self, txn_ids: &[u64], settled: &[u64]) -> Done {
        let rest = |all: &[u64], known| all.get(known..).unwrap_or_default().to_vec();
        let done = Done {
            txn_ids: rest(txn_ids, self.known.0),
            settled: rest(settled, self.known.1),
        };
        self.known = (txn_ids.len(), settled.len());
        done
    }

    fn go_on(&mut self) {
        self.began = Instant::now();
    }
}

impl Merger<'_> {
    /// Lets others have their turn if they have waited for long enough: not while nobody else has the file open, and there is nobody
    /// to wait, nor while something is kept out of the database, which others may let in. What has won until then is compared again
    /// before it is written.
    pub(super) fn give_way_if_due(&mut self) -> Result<(), TransferError> {
        let is_filling = self.current.filled.is_some() || self.filler.is_open();
        let Some(pause) = self
            .pauses
            .is_due()
            .filter(|_| !is_filling && !self.guard.is_involved())
        else {
            return Ok(());
        };
        if let Some(reader) = self.reader.take() {
            reader.finish()?;
        }
        // Of others something may be written over it next.
        let counted = std::mem::take(&mut self.counted);
        let ahead = self.ahead.as_deref().unwrap_or(self.terms.ahead);
        counted.settle(self.env, ahead, &mut self.merged.settled)?;
        let Merged { txn_ids, settled, .. } = &mut self.merged;
        txn_ids.extend(&self.filler.txn_ids);
        txn_ids.sort_unstable();
        txn_ids.dedup();
        let stopped = || DecodeError::Spool(std::io::ErrorKind::Interrupted.into());
        let ahead = (pause.give_way)(self.pauses.done(txn_ids, settled)).ok_or_else(stopped)?;
        self.now = ahead.now();
        self.ahead = Some(Arc::new(ahead));
        self.dbis.clear();
        self.pauses.go_on();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_is_written_each_pause_tells_what_came_after_the_one_before() {
        let mut pauses = Pauses::new(None);
        let done = pauses.done(&[1, 2], &[]);
        assert_eq!((done.txn_ids, done.settled), (vec![1, 2], vec![]));
        let done = pauses.done(&[1, 2, 5], &[3]);
        assert_eq!((done.txn_ids, done.settled), (vec![5], vec![3]));
        let done = pauses.done(&[1, 2, 5], &[3]);
        assert_eq!((done.txn_ids, done.settled), (vec![], vec![]));
    }
}
