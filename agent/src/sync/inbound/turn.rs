//! The turn of a merge, which may last: others have theirs meanwhile.

use tokio::sync::{MutexGuard, mpsc, oneshot};

use crate::sync::database::ahead::Ahead;
use crate::sync::database::load::Done;
use crate::sync::state::State;
use crate::sync::state::replica::Replica;

/// Whoever has it writes to the database, or compares states of it.
pub(in crate::sync) struct Turn<'r> {
    replica: &'r Replica,
    held: Option<MutexGuard<'r, ()>>,
    /// How often something had been forgotten before.
    forgotten: u64,
}

/// A merge waits for its turn: half of what an object says may be here.
struct Paused<'r>(&'r Replica);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.state().paused -= 1;
    }
}

/// What a merge that gives up its turn says, and where it waits for the next.
pub(in crate::sync) type Waiting = (Done, oneshot::Sender<Ahead>);

/// By which a merge in a thread of its own gives up its turn.
pub(in crate::sync) struct Pausing(mpsc::Sender<Waiting>);

impl Pausing {
    pub(in crate::sync) fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, waiting) = mpsc::channel(1);
        (Self(sender), waiting)
    }

    /// As [`crate::sync::database::load::Pause`] does: nobody is there any more where the agent ends.
    pub(in crate::sync) fn pause(&self, done: Done) -> Option<Ahead> {
        let (go_on, next) = oneshot::channel();
        self.0.blocking_send((done, go_on)).ok()?;
        next.blocking_recv().ok()
    }
}

impl<'r> Turn<'r> {
    pub(in crate::sync) async fn of(replica: &'r Replica) -> Self {
        let held = Some(replica.turn.lock().await);
        Self {
            replica,
            held,
            forgotten: replica.state().known.forgotten(),
        }
    }

    /// A turn for which something was looked at when this much was forgotten.
    pub(in crate::sync) async fn since(replica: &'r Replica, forgotten: u64) -> Self {
        Self {
            replica,
            held: Some(replica.turn.lock().await),
            forgotten,
        }
    }

    /// What is known to be merged was forgotten meanwhile, and is to be merged once more: so is what this turn is for.
    pub(in crate::sync) fn is_in_vain(&self, state: &State) -> bool {
        state.known.forgotten() != self.forgotten
    }

    /// Serves a merge until it ends.
    pub(in crate::sync) async fn serve(&mut self, mut merge: mpsc::Receiver<Waiting>) {
        while let Some((done, go_on)) = merge.recv().await {
            Box::pin(self.replica.note_merged(&done.txn_ids, &done.settled)).await;
            self.give_way().await;
            Box::pin(self.replica.look_if_behind()).await;
            // It has ended if it does not wait for this.
            let _ = go_on.send(self.replica.ahead());
        }
    }

    async fn give_way(&mut self) {
        self.replica.state().paused += 1;
        let _paused = Paused(self.replica);
        self.held = None;
        self.held = Some(self.replica.turn.lock().await);
    }
}
