//! What is done now and then: cleaning the store, and sweeping the database.

use std::convert::Infallible;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep_until};

use super::cleaner::Cleaner;
use super::history::History;
use super::retired::RetiredFile;
use crate::report::Level;
use crate::sync::error::SyncError;
use crate::sync::pace::Pace;
use crate::sync::state::replica::Replica;

/// Between two looks at the list of retired instances, and at what is expected to be done soon.
const LOOK: Duration = Duration::from_secs(5);
/// Time after a change of the list for which the objects of a retired instance are expected to go soon, and after the start for
/// which the history may be begun soon.
const HURRY: Duration = Duration::from_secs(180);
/// What is raised while objects that nobody needs cannot be removed, or the history not be kept.
const CONDITION: &str = "cleanup";

/// Cleans the store and sweeps the database.
pub(in crate::sync) async fn tidying(replica: &Replica, pace: &Pace) -> Infallible {
    let mut cleaner = match pace.cleanup.history {
        Some(keep) => Cleaner::with_history(History::new(keep)),
        None => Cleaner::default(),
    };
    // The history begins with its first base snapshot.
    let first_clean = pace
        .cleanup
        .history
        .map_or(jittered(pace.cleanup.interval), |_| LOOK);
    let mut next_clean = Instant::now() + first_clean;
    let mut next_sweep = pace.sweep.map(|sweep| Instant::now() + sweep.first);
    let mut retired = pace.cleanup.retired.clone().map(RetiredFile::new);
    let mut hurry = Instant::now() + HURRY;
    loop {
        if let Some(list) = retired.as_mut().and_then(RetiredFile::look) {
            if !list.is_empty() {
                (next_clean, hurry) = (Instant::now(), Instant::now() + HURRY);
            }
            replica.take_list(list, &mut cleaner);
        }
        if !pace.receive_only && Instant::now() >= next_clean {
            let (now, now_ns, retention) = (
                Instant::now().into_std(),
                replica.now_ns(),
                pace.cleanup.retention,
            );
            let outcome = if pace.cleanup.snapshots {
                cleaner.clean(replica, retention, now, now_ns).await
            } else {
                cleaner.clean_own_deltas(replica, retention.must_keep, now).await
            };
            note(replica, &outcome);
            let expects = cleaner.sees_retired() || cleaner.is_to_begin_history();
            let hurries = expects && Instant::now() < hurry;
            let pause = if hurries {
                LOOK
            } else {
                jittered(pace.cleanup.interval)
            };
            next_clean = Instant::now() + pause;
        }
        if let (Some(sweep), Some(due)) = (pace.sweep, next_sweep)
            && Instant::now() >= due
        {
            if let Err(error) = replica.sweep().await {
                replica.status.failed(error.category(), &error);
                tracing::warn!(database = %replica.database(), %error, "will try again");
            }
            next_sweep = Some(Instant::now() + jittered(sweep.interval));
        }
        let clean = (!pace.receive_only).then_some(next_clean);
        let look = retired.is_some().then(|| Instant::now() + LOOK);
        match [next_sweep, clean, look].into_iter().flatten().min() {
            Some(next) => sleep_until(next).await,
            None => return std::future::pending().await,
        }
    }
}

/// A cleaner that fails does no harm, since the next run does its work; objects that cannot be removed pile up.
fn note(replica: &Replica, outcome: &Result<usize, SyncError>) {
    let Err(error) = outcome else {
        return replica.status.clear(CONDITION);
    };
    replica.status.failed(error.category(), error);
    tracing::warn!(database = %replica.database(), %error, "cannot clean up");
    let is_history = matches!(error, SyncError::History(_));
    if is_history || matches!(error, SyncError::Store(error) if error.operation == "remove") {
        replica
            .status
            .raise(CONDITION, Level::Warning, &error.to_string());
    }
}

/// Agents that were started together must not clean together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.75..1.25))
}
