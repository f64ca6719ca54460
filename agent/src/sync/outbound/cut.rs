//! Cutting: a state gets a time, and what was written before it is collected.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::lmdb::KeptReader;
use crate::snapshot::{Meta, Vector};
use crate::sync::database::collect::{Collected, Synced, collect_again};
use crate::sync::database::lost::{Mended, Sound, collect_sound};
use crate::sync::error::SyncError;
use crate::sync::state::log::Whom;
use crate::sync::state::replica::Replica;

/// What was written between two states.
pub(in crate::sync) struct Changes {
    pub(in crate::sync) from: Synced,
    pub(in crate::sync) to: Arc<KeptReader>,
    /// The time of the state `to`, ns since the epoch.
    pub(in crate::sync) time: u64,
    pub(in crate::sync) collected: Collected,
    /// What a delta with them says that the snapshot has which is stored with it.
    pub(in crate::sync) vector: Vector,
}

impl Replica {
    /// Collects what was written here and is not stored or told of yet; `None`: it is held back.
    ///
    /// Of two times the later one is that of the later state: whoever has a state has all of the ones before. So a state gets its
    /// time while nobody else can have the turn.
    ///
    /// `vector`: what the snapshot that is stored with them has of instances whose own objects go, for all to read who lack that.
    pub(in crate::sync) async fn changes_for(
        &self,
        whom: Whom,
        vector: Vector,
    ) -> Result<Option<Changes>, SyncError> {
        let turn = self.turn.lock().await;
        Box::pin(self.look_if_behind()).await;
        let now = self.now_ns();
        let ((from, known), told, foreign) = {
            let log = &self.state().log;
            let span = log.span(whom);
            let told = log.told_in_span().filter(|_| span.1.is_some());
            (span, told, log.foreign().clone())
        };
        let meta = Meta {
            vector: vector.clone(),
            ..self.meta(0, from.txn, now)
        };
        let (ahead, env) = (self.ahead(), self.env.clone());
        let (start, up_to) = (from.clone(), known.clone());
        let (sound, mended) = spawn_blocking(move || {
            let to = up_to.and_then(|up_to| up_to.reader);
            let meta = |to: &KeptReader| Meta {
                lmdb_txn_id: i64::try_from(to.txn_id()).unwrap_or(i64::MAX),
                ..meta.clone()
            };
            let mut mended = Mended::default();
            let sound = match (told, to) {
                (Some(told), Some(to)) => {
                    let collected = collect_again(&env, &told, &meta(&to));
                    collected.map(|collected| Sound { to, collected })
                }
                (_, to) => collect_sound(&env, &start, to, foreign, ahead, meta, &mut mended),
            };
            (sound, mended)
        })
        .await
        .map_err(|_| SyncError::Crashed("collecting changes"))?;
        self.note_mended(mended).await;
        let Sound { to, collected } = sound.map_err(SyncError::Dump)?;
        // What peers know is no secret any more.
        if known.is_none() {
            let may_tell = if from.txn == 0 {
                self.judge_deletions().await?;
                !self.holds_deletions_back()
            } else {
                self.may_tell(&collected.deleted)
            };
            if !may_tell {
                return Ok(None);
            }
        }
        let any = collected.entries > 0;
        let time = self.state().log.cut(
            whom,
            (&from, known.as_ref()),
            (&to, any, collected.few.as_deref()),
            now,
        );
        // PowerDNS wrote it by this clock.
        if collected.newest >= self.own_clock() {
            self.shown.is_behind();
            Box::pin(self.look_if_behind()).await;
        }
        drop(turn);
        Ok(Some(Changes {
            from,
            to,
            time,
            collected,
            vector,
        }))
    }
}
