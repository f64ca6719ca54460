//! What peers tell before what it goes on from is here: of a database whose first snapshot is still to be fetched, or after something got lost.
//!
//! A new zone that it brings would lack the records that came before, and whoever asks would be told that they do not exist.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::told::spooled;
use crate::snapshot::{DecodeError, DeltaName, Snapshot};
use crate::sync::database::dump::TransferError;
use crate::sync::database::load::has_new_zone;
use crate::sync::known::plan::joins;
use crate::sync::peer::Told;
use crate::sync::state::replica::Replica;

/// Longest wait for what comes before, which the store may not have yet, or be away.
const PATIENCE: Duration = Duration::from_secs(2);

/// By instance, the state up to which everything of it was merged when its next one was waited for in vain, ns since the epoch.
#[derive(Default)]
pub(super) struct Early(BTreeMap<String, u64>);

impl Early {
    /// Waits until what comes before the new zones among these is merged.
    pub(super) async fn let_what_comes_before_go_first(&mut self, replica: &Replica, all: &[Told]) {
        let deadline = Instant::now() + PATIENCE;
        let mut reached = BTreeMap::new();
        for told in all {
            let Ok(Some(name)) = replica.is_welcome(told) else {
                continue;
            };
            let instance = name.instance();
            let have = replica.state().known.have(instance);
            let led_to = reached.entry(instance.to_owned()).or_insert(have);
            *led_to = have.max(*led_to);
            if joins(&name, *led_to) {
                *led_to = name.time().max(*led_to);
            } else if self.0.get(instance) != Some(&have)
                && Instant::now() < deadline
                && replica.has_new_zone(told).await
            {
                let waited = timeout_at(deadline, replica.until_joined(&name)).await;
                if waited.is_ok() {
                    *led_to = name.time().max(*led_to);
                } else {
                    tracing::debug!(database = %replica.database(), %name, "what comes before it does not come");
                    self.0.insert(instance.to_owned(), have);
                }
            }
        }
    }
}

impl Replica {
    /// What cannot be read is dealt with where it is merged.
    async fn has_new_zone(&self, told: &Told) -> bool {
        let (env, object) = (self.env.clone(), told.object.clone());
        let looking = spawn_blocking(move || -> Result<bool, TransferError> {
            let object = spooled(&object, env.folder()).map_err(DecodeError::Spool)?;
            has_new_zone(&env, &mut Snapshot::open(object)?)
        });
        matches!(looking.await, Ok(Ok(true)))
    }

    async fn until_joined(&self, name: &DeltaName) {
        loop {
            let mut merged = std::pin::pin!(self.has_merged.notified());
            merged.as_mut().enable();
            if joins(name, self.state().known.have(name.instance())) {
                return;
            }
            merged.await;
        }
    }
}
