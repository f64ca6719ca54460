//! Telling peers of changes at once.

use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use bytes::Bytes;

use crate::snapshot::{DeltaName, EncodeError, Vector};
use crate::sync::database::collect::{Collected, Synced};
use crate::sync::database::dump::TransferError;
use crate::sync::error::SyncError;
use crate::sync::peer::Peers;
use crate::sync::state::log::Whom;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Tells the peers what was written here since they were told last. Nothing is told before the store has a snapshot to go
    /// on from, or has refused it, nor while storing is on hold. A server that answers without the store does not keep its changes
    /// to itself: what peers are told hides nothing in the store.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be read; the next call tries again.
    pub async fn tell(&self) -> Result<(), SyncError> {
        self.tell_up_to(0).await
    }

    /// The same; what they are told of is then no state before this transaction, though none of theirs came since.
    pub(in crate::sync) async fn tell_up_to(&self, newest: u64) -> Result<(), SyncError> {
        let _order = self.telling.lock().await;
        let last = self.env.last_txn_id();
        let told = self.tell_what_is_new(newest).await;
        if self.schemas.main {
            // Also where it failed: nothing says when it will not.
            self.order.has_told(last);
        }
        told
    }

    async fn tell_what_is_new(&self, newest: u64) -> Result<(), SyncError> {
        // Whoever only receives has no other occasion to.
        Box::pin(self.let_go_of_old_states(self.env.last_txn_id())).await;
        let Some(peers) = &self.peers else { return Ok(()) };
        if self.awaits_the_time() || !self.has_to_tell(newest) {
            return Ok(());
        }
        // Perhaps only a merge is under way, and what it writes is known as not ours once it gives up its turn.
        drop(self.turn.lock().await);
        if !self.has_to_tell(newest) || self.must_be_silent().await? {
            return Ok(());
        }
        let Some(changes) = Box::pin(self.changes_for(Whom::Peers, Vector::new())).await? else {
            return Ok(());
        };
        if changes.collected.entries == 0 {
            return Ok(());
        }
        let news = if changes.collected.size > self.state().log.limits().told {
            News::Stored(changes.time)
        } else {
            let name = DeltaName::new(self.database(), &self.own, changes.from.time, changes.time)?;
            News::Changes(name, bytes_of(changes.collected)?)
        };
        let telling = Telling {
            peers: peers.as_ref(),
            database: self.database(),
            news,
        };
        // What is cut of a shard has nothing in it that was written after this.
        let main = self.schemas.guard.database();
        if let Some(main) = main.filter(|_| !self.schemas.main && !self.order.main().is_empty()) {
            self.order.until_told(main.last_txn_id()).await;
        }
        drop(telling);
        Ok(())
    }

    /// The server may be asked though the store has not been seen: from now on peers are told what is written here, on from the state
    /// that they know, or from the present one.
    ///
    /// # Errors
    /// Those of LMDB: peers learn of the changes through the store.
    pub(in crate::sync) fn begin_to_serve(&self, receive_only: bool) -> Result<(), TransferError> {
        let may_store = {
            let mut state = self.state();
            state.serves = true;
            state.own_merged
        };
        if may_store || receive_only {
            return Ok(());
        }
        self.begin_to_tell()
    }

    /// Peers are told of changes from now on though the store has no snapshot to go on from.
    ///
    /// # Errors
    /// Those of LMDB: peers learn of the changes through the store.
    pub(in crate::sync) fn begin_to_tell(&self) -> Result<(), TransferError> {
        if self.peers.is_none() || self.state().log.is_telling() || self.env.last_txn_id() == 0 {
            return Ok(());
        }
        let now = self.now_ns();
        // One that was looked through for what is lost, if there is any.
        let kept = self.state().log.newest_kept();
        let reader = match kept {
            Some(kept) => kept,
            None => Arc::new(self.env.keep_reader()?),
        };
        let mut state = self.state();
        if !state.log.is_telling() {
            let newest = Synced {
                time: 0,
                txn: reader.txn_id(),
                reader: Some(reader),
            };
            let knows_own = state.own_merged;
            state.log.begin_to_tell(now, newest, knows_own);
        }
        Ok(())
    }

    async fn must_be_silent(&self) -> Result<bool, SyncError> {
        let without_the_store = {
            let state = self.state();
            state.serves && !state.own_merged
        };
        if !without_the_store {
            return self.is_held().await;
        }
        self.look_at_the_own_schema().await?;
        self.look_at_deletions().await?;
        self.report_held_deletions();
        Ok(self.hold_by_others().is_some())
    }

    fn has_to_tell(&self, newest: u64) -> bool {
        let last = self.env.last_txn_id();
        let log = &self.state().log;
        log.is_telling() && (log.told().txn < newest || log.has_changes_after(log.told().txn, last))
    }
}

/// What peers are told.
enum News {
    Changes(DeltaName, Bytes),
    /// More than they are told of is in the store by this time, ns since the epoch.
    Stored(u64),
}

/// It counts as told already, so it is told as well where nothing else is done any more.
struct Telling<'r> {
    peers: &'r dyn Peers,
    database: &'r str,
    news: News,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        match &self.news {
            News::Changes(name, object) => self.peers.tell(self.database, name, object.clone()),
            News::Stored(time) => self.peers.announce(self.database, *time),
        }
    }
}

/// The content of an object as it goes to peers.
fn bytes_of(collected: Collected) -> Result<Bytes, SyncError> {
    let mut object = collected.object;
    let mut bytes = Vec::with_capacity(usize::try_from(collected.size).unwrap_or(0));
    object.rewind().map_err(EncodeError::Io)?;
    object.read_to_end(&mut bytes).map_err(EncodeError::Io)?;
    Ok(bytes.into())
}
