//! Looks after the database in the background: counts entries and marks and measures the file, so that no request has to,
//! and frees what killed readers left.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::DatabaseStatus;
use crate::lmdb::{Dbi, Environment, LmdbError};
use crate::snapshot::is_private_dbi;

/// How often the file is measured and looked at for changes.
const LOOK: Duration = Duration::from_secs(5);
/// Between two counts there is this, and a thousand times what the last one took: a count costs what the database costs, and a
/// change must not.
const PAUSE: Duration = Duration::from_secs(10);
/// Entries counted in one read transaction: nobody waits for more.
const BATCH: u64 = 50_000;

/// Counts the database whenever it has changed, taking at most a thousandth of the time, until `shutdown`.
pub async fn census(
    env: Arc<Environment>,
    map_bytes: u64,
    status: Arc<DatabaseStatus>,
    shutdown: CancellationToken,
) {
    let mut counted_txn = None;
    let mut due = Instant::now();
    loop {
        let file = data_file(&env);
        let bytes = tokio::fs::metadata(&file).await.map_or(0, |file| file.len());
        status.measured(&file, bytes, map_bytes.max(env.map_size()));
        free_slots_of_the_dead(&env).await;
        let txn = env.last_txn_id();
        if counted_txn != Some(txn) && Instant::now() >= due {
            let started = Instant::now();
            let counting = env.clone();
            match spawn_blocking(move || count(&counting)).await {
                Ok(Ok((entries, marks))) => {
                    status.counted(entries, marks);
                    counted_txn = Some(txn);
                }
                Ok(Err(error)) => tracing::debug!(%error, "cannot count the database"),
                Err(_) => tracing::debug!("counting the database crashed"),
            }
            due = Instant::now() + PAUSE + started.elapsed() * 1000;
        }
        if shutdown
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// A reader that was killed keeps its slot, and with it every page that it could see: the file would grow for ever.
async fn free_slots_of_the_dead(env: &Arc<Environment>) {
    let env = env.clone();
    // It waits for others that take or leave a slot.
    match spawn_blocking(move || env.clear_stale_readers()).await {
        Ok(Ok(0)) => {}
        Ok(Ok(readers)) => tracing::info!(readers, "freed the slots of readers that were killed"),
        Ok(Err(error)) => tracing::debug!(%error, "cannot look for readers that were killed"),
        Err(_) => tracing::debug!("looking for readers that were killed crashed"),
    }
}

fn data_file(env: &Environment) -> PathBuf {
    if env.path().is_dir() {
        env.path().join("data.mdb")
    } else {
        env.path().to_owned()
    }
}

/// Entries and marks of all DBIs.
fn count(env: &Environment) -> Result<(u64, u64), LmdbError> {
    let reader = env.begin_read()?;
    let dbis = reader.dbis()?;
    reader.finish()?;
    let (mut entries, mut marks) = (0, 0);
    for dbi in dbis.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        let mut from = Vec::new();
        while let ControlFlow::Continue(()) = count_batch(env, dbi, &mut from, &mut entries, &mut marks)? {}
    }
    Ok((entries, marks))
}

/// Counts a batch of the keys after `from`, which moves on.
fn count_batch(
    env: &Environment,
    dbi: &Dbi,
    from: &mut Vec<u8>,
    entries: &mut u64,
    marks: &mut u64,
) -> Result<ControlFlow<()>, LmdbError> {
    /// Ends the walk early.
    enum Stop {
        Full(Vec<u8>),
        Failed(LmdbError),
    }
    impl From<LmdbError> for Stop {
        fn from(error: LmdbError) -> Self {
            Self::Failed(error)
        }
    }
    let mut seen = 0;
    let walked = env.read(|reader| {
        reader.for_each_after(dbi, from, |key, header, _| {
            *(if header.deleted {
                &mut *marks
            } else {
                &mut *entries
            }) += 1;
            seen += 1;
            if seen < BATCH {
                Ok(())
            } else {
                Err(Stop::Full(key.to_vec()))
            }
        })
    });
    match walked {
        Ok(()) => Ok(ControlFlow::Break(())),
        Err(Stop::Full(last)) => {
            *from = last;
            Ok(ControlFlow::Continue(()))
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}
