//! Keeping a state of the database, by which it is seen what PowerDNS puts over its entries and what is lost of it, for as long as that is
//! of use: while it is kept the file grows with every change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::replica::Replica;
use crate::lmdb::KeptReader;
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::TransferError;
use crate::sync::database::lost::{Mended, follow};

/// Time before it is tried again what failed, as in a map that is full: PowerDNS waits for the lock meanwhile.
const REST: Duration = Duration::from_secs(60);

impl Replica {
    /// A state that cannot be stored for long is not kept for ever: its changes are then found by looking at every entry.
    pub(in crate::sync) async fn let_go_of_old_states(&self, last: u64) {
        if let Ok(mut followed) = self.followed.try_lock() {
            let kept = self.state().log.limits().kept;
            followed.let_go_of_an_old_state(last, kept);
        }
        if self.state().log.is_to_keep_newer(last, Instant::now()) {
            let _turn = self.turn.lock().await;
            drop(self.keep_a_state().await);
        }
        let behind = self.state().log.let_go_of_old_states(last);
        if let Some(transactions) = behind {
            tracing::warn!(
                database = %self.database(), transactions,
                "the state stored last is not kept any more, so that the file does not grow: the next delta costs a look at every entry"
            );
        }
    }

    /// Looks for what is lost though nothing of it is to be collected.
    pub(in crate::sync) async fn keep_the_newest_state(&self) {
        let last = self.env.last_txn_id();
        if self.state().log.lacks_newest(last) {
            let _turn = self.turn.lock().await;
            drop(self.keep_a_state().await);
        }
    }

    /// Takes note of the transactions of a merge, of which `settled` gave what PowerDNS wrote other times. The caller has the turn.
    pub(in crate::sync) async fn note_merged(&self, txn_ids: &[u64], settled: &[u64]) {
        self.state().log.settle(settled.iter().copied());
        self.absorb_merged(txn_ids).await;
    }

    /// As [`Replica::absorb`], and what was merged is in a state that is kept.
    pub(in crate::sync) async fn absorb_merged(&self, txn_ids: &[u64]) {
        self.absorb(txn_ids);
        let kept = self.state().log.newest_kept().map(|kept| kept.txn_id());
        if txn_ids.last().copied() > kept {
            drop(self.keep_a_state().await);
        }
        self.has_merged.notify_waiters();
    }

    /// Keeps the present state, by which it is seen what PowerDNS puts over its entries, once what it put over those of the one kept
    /// before has its time, and what is lost of that is back. Returns the state, and by what it is known which of its entries have
    /// their times. The caller has the turn.
    pub(in crate::sync) async fn keep_a_state(&self) -> Option<(Arc<KeptReader>, Ahead)> {
        let (env, mut ahead) = (self.env.clone(), self.ahead());
        let kept = spawn_blocking(move || {
            let mut mended = Mended::default();
            let kept = match ahead.kept.clone() {
                Some(kept) => follow(&env, &kept, &mut ahead, &mut mended),
                None => env.keep_newest().map_err(TransferError::from),
            };
            (kept.map(Arc::new), ahead, mended)
        });
        let (kept, ahead, mended) = kept.await.ok()?;
        self.note_mended(mended).await;
        match kept {
            Ok(kept) => {
                self.state().log.keep(kept.clone());
                Some((kept, ahead))
            }
            Err(error) => {
                tracing::warn!(
                    database = %self.database(), %error,
                    "cannot look yet for what PowerDNS has put over entries, and for what is lost"
                );
                let last = self.env.last_txn_id();
                self.state().log.cannot_keep(last, Instant::now() + REST);
                None
            }
        }
    }
}
