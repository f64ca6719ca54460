//! Taking what peers tell. What has queued up meanwhile is committed together, so that the disk's pace limits nobody.

use std::convert::Infallible;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::early::Early;
use super::told::spooled;
use crate::report::Way;
use crate::snapshot::{DecodeError, Snapshot};
use crate::store::{StoreError, StoreErrorReason};
use crate::sync::database::load::{Interrupted, Merged, merge_together};
use crate::sync::error::SyncError;
use crate::sync::known::heard::HeardState;
use crate::sync::known::schema::{Verdict, schema_of_snapshot};
use crate::sync::peer::Told;
use crate::sync::state::replica::Replica;

/// Most deltas, and bytes of them as objects, that are committed together.
const MOST: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// Merges what peers tell.
pub(in crate::sync) async fn taking(replica: &Replica, told: Option<mpsc::Receiver<Told>>) -> Infallible {
    let mut early = Early::default();
    if let Some(mut told) = told {
        while let Some(first) = told.recv().await {
            let mut bytes = first.object.len();
            let mut all = vec![first];
            while all.len() < MOST
                && bytes < MOST_BYTES
                && let Ok(next) = told.try_recv()
            {
                bytes += next.object.len();
                all.push(next);
            }
            replica.let_the_main_database_go_first().await;
            early.let_what_comes_before_go_first(replica, &all).await;
            let deltas = all.len();
            replica.take_all(all).await;
            if replica.schemas.main {
                replica.order.has_taken(deltas);
            }
        }
    }
    std::future::pending().await
}

impl Replica {
    /// Waits until what peers told of the main database before is merged.
    async fn let_the_main_database_go_first(&self) {
        if let Some(peers) = self.peers.as_ref().filter(|_| !self.schemas.main) {
            self.order.until_taken(peers.arrived(self.order.main())).await;
        }
    }

    /// Merges what peers told of. What fails is shown and found in the store.
    async fn take_all(&self, all: Vec<Told>) {
        let failed = |name: &str, error: SyncError| {
            self.status.failed(error.category(), &error);
            tracing::warn!(database = %self.database(), name, %error, "cannot merge what a peer told: the store has it soon");
        };
        if all.len() > 1 {
            match Box::pin(self.take_together(&all)).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => failed("what has queued up", error),
            }
        }
        for told in all {
            let name = told.name.clone();
            if let Err(error) = self.take(told).await {
                failed(&name, error);
            }
        }
    }

    /// Merges what a peer told of. Returns whether all that came before it is merged, too; if not, the store has it.
    ///
    /// # Errors
    /// [`SyncError`] when the object is no delta or the database cannot be written; the store has it soon.
    pub async fn take(&self, told: Told) -> Result<bool, SyncError> {
        let Some(name) = self.is_welcome(&told)? else {
            return Ok(false);
        };
        self.learn_the_time().await;
        let object = spooled(&told.object, self.env.folder()).map_err(|error| StoreError {
            operation: "read",
            name: told.name.clone(),
            reason: StoreErrorReason::Spool(error),
        })?;
        self.load_delta(&name, object, Way::Peer).await
    }

    /// Merges all of these with one commit. Returns false, with nothing merged, if one of them is not as usual: each is looked at for
    /// itself then.
    ///
    /// # Errors
    /// [`SyncError`] when the database cannot be written; what was merged stays.
    pub async fn take_together(&self, all: &[Told]) -> Result<bool, SyncError> {
        let mut names = Vec::new();
        for told in all {
            match self.is_welcome(told) {
                Ok(Some(name)) => names.push(name),
                Ok(None) | Err(_) => return Ok(false),
            }
        }
        self.learn_the_time().await;
        let started = std::time::Instant::now();
        let turn = self.turn.lock().await;
        if !self.state().is_whole() {
            return Ok(false);
        }
        Box::pin(self.look_if_behind()).await;
        let (ahead, guard) = (self.ahead(), self.guard("", ""));
        let oldest_mark = self.oldest_mark();
        let (env, schemas, witness) = (self.env.clone(), self.schemas.clone(), self.witness.clone());
        let senders: Vec<_> = names.iter().map(|name| name.instance().to_owned()).collect();
        let objects: Vec<_> = all.iter().map(|told| told.object.clone()).collect();
        let merged = spawn_blocking(move || -> Result<Option<(Merged, Vec<u64>)>, Interrupted> {
            let (mut snapshots, mut versions) = (Vec::new(), Vec::new());
            for (sender, object) in senders.iter().zip(&objects) {
                let Ok(mut snapshot) = spooled(object, env.folder())
                    .map_err(DecodeError::Spool)
                    .and_then(Snapshot::open)
                else {
                    return Ok(None);
                };
                let mut is_usual = true;
                snapshot.for_each_entry(|_, entry| {
                    is_usual &= !guard.is_ahead(entry.timestamp);
                    Ok::<(), DecodeError>(())
                })?;
                let from_meta = u32::try_from(snapshot.outline().meta.schema)
                    .ok()
                    .filter(|schema| *schema != 0);
                let said = schema_of_snapshot(&mut snapshot)?.max(from_meta);
                if schemas.main {
                    if said.is_some() {
                        schemas.guard.judge(sender, said, true);
                    }
                    schemas.guard.look_again()?;
                }
                let is_newer = schemas.guard.own().is_some_and(|own| said > Some(own));
                if !is_usual || is_newer || matches!(schemas.guard.verdict(sender), Verdict::Refuse(_)) {
                    return Ok(None);
                }
                versions.push(snapshot.outline().meta.zonetide);
                snapshots.push(snapshot);
            }
            let merged = merge_together(
                &env,
                &mut snapshots,
                (oldest_mark, &ahead, guard),
                witness.as_ref(),
            )?;
            Ok(Some((merged, versions)))
        })
        .await
        .map_err(|_| SyncError::Crashed("merging"))?;
        let (merged, versions) = match merged {
            Ok(Some(merged)) => merged,
            Ok(None) => return Ok(false),
            Err(Interrupted {
                error,
                txn_ids,
                settled,
            }) => {
                Box::pin(self.note_merged(&txn_ids, &settled)).await;
                return Err(SyncError::merging("what peers told", *error));
            }
        };
        let now = self.now_ns();
        {
            let mut state = self.state();
            for (name, version) in names.iter().zip(versions) {
                state.log.saw([name.time()], now);
                state.is_of_version(name.instance(), version);
                let heard = HeardState {
                    since: name.since(),
                    writes: merged.all_writes(),
                };
                state.heard.hear(name.instance(), name.time(), heard);
                state.known.merged_delta(name);
            }
        }
        Box::pin(self.note_merged(&merged.txn_ids, &merged.settled)).await;
        drop(turn);
        self.warn_of_the_future("what peers told", merged.newest);
        for (name, written) in names.iter().zip(&merged.written_of) {
            self.status.merged_delta(name, Way::Peer, *written);
        }
        tracing::debug!(
            database = %self.database(), deltas = names.len(), entries = merged.entries, written = merged.written,
            elapsed = ?started.elapsed(), "merged what peers told"
        );
        Ok(true)
    }
}
