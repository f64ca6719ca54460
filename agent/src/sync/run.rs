//! The loop that calls a replica's steps in time.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Cleaner, Received, Replica, Retention, Sweep, SyncError};

/// How often to do what.
#[derive(Debug, Clone)]
pub struct Pace {
    pub lmdb_poll: Duration,
    pub storage_poll: Duration,
    /// Wait after a failure.
    pub retry: Duration,
    /// Failures in a row after which the agent ends with an error; `None`: never.
    pub retry_limit: Option<u32>,
    /// A snapshot is stored at least this often, so that the instance does not look dead.
    pub force_snapshot: Duration,
    /// Never write to the store.
    pub receive_only: bool,
    /// The cleaner's interval and what it keeps; `None`: it does not run.
    pub cleanup: Option<(Duration, Retention)>,
    /// End when everything of the first listing is merged and the own changes are stored.
    pub once: bool,
    /// When to remove old deletion marks; `None`: never.
    pub sweep: Option<SweepPace>,
    /// Time that the last snapshot may take at the end.
    pub shutdown: Duration,
}

/// When to sweep.
#[derive(Debug, Clone, Copy)]
pub struct SweepPace {
    pub first: Duration,
    pub interval: Duration,
    pub rules: Sweep,
}

/// Counts failures in a row of one kind of step.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// When to do a step again after this outcome; an error when there were too many failures.
    fn next(
        &mut self,
        replica: &Replica,
        pace: &Pace,
        outcome: Result<Duration, SyncError>,
    ) -> Result<Instant, SyncError> {
        let wait = match outcome {
            Ok(wait) => {
                self.0 = 0;
                wait
            }
            Err(error) => {
                self.0 += 1;
                replica.status.failed(error.category(), &error);
                tracing::warn!(database = %replica.database(), failures = self.0, %error, "will try again");
                if pace.retry_limit.is_some_and(|limit| self.0 >= limit) {
                    return Err(SyncError::GaveUp(self.0, Box::new(error)));
                }
                pace.retry
            }
        };
        Ok(Instant::now() + wait)
    }
}

/// Replicates until `shutdown` is cancelled, then stores the last change.
///
/// # Errors
/// [`SyncError::GaveUp`] when `retry_limit` is reached.
pub async fn run(mut replica: Replica, pace: Pace, shutdown: CancellationToken) -> Result<(), SyncError> {
    let result = shutdown.run_until_cancelled(replicate(&mut replica, &pace)).await;
    if !pace.receive_only {
        store_the_rest(&mut replica, &pace).await;
    }
    result.unwrap_or(Ok(()))
}

async fn replicate(replica: &mut Replica, pace: &Pace) -> Result<(), SyncError> {
    let (mut receives, mut sends) = (Failures::default(), Failures::default());
    let mut cleaner = Cleaner::default();
    let mut next_receive = Instant::now();
    let mut next_send = Instant::now();
    let mut next_force = Instant::now() + pace.force_snapshot;
    let mut next_clean = pace
        .cleanup
        .map(|(interval, _)| Instant::now() + jittered(interval));
    let mut merged_all = false;
    let mut next_sweep = pace.sweep.map(|sweep| Instant::now() + sweep.first);
    if let Some(sweep) = pace.sweep {
        replica.set_sweep(sweep.rules);
    }
    loop {
        if Instant::now() >= next_receive {
            let outcome = replica.receive().await.map(|received| match received {
                Received::All => {
                    merged_all = true;
                    pace.storage_poll
                }
                Received::More => Duration::ZERO,
            });
            next_receive = receives.next(replica, pace, outcome)?;
            if pace.once && pace.receive_only && merged_all {
                return Ok(());
            }
        }
        if !pace.receive_only && Instant::now() >= next_send {
            let force = Instant::now() >= next_force;
            let before = replica.stored_txn;
            let sent = replica.send(force).await;
            let stored_all = matches!(sent, Ok(true));
            let outcome = sent.map(|_| pace.lmdb_poll);
            if outcome.is_ok() && (force || replica.stored_txn != before) {
                next_force = Instant::now() + pace.force_snapshot;
            }
            next_send = sends.next(replica, pace, outcome)?;
            if pace.once && merged_all && stored_all {
                return Ok(());
            }
        }
        if let (Some((interval, retention)), Some(due)) = (pace.cleanup, next_clean)
            && !pace.receive_only
            && Instant::now() >= due
        {
            let now_ns = replica.now_ns();
            // A cleaner that fails does no harm: the next run does its work.
            if let Err(error) = cleaner
                .clean(replica, retention, Instant::now().into_std(), now_ns)
                .await
            {
                replica.status.failed(error.category(), &error);
                tracing::warn!(database = %replica.database(), %error, "cannot clean up");
            }
            next_clean = Some(Instant::now() + jittered(interval));
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
        let mut wake = next_receive.min(next_sweep.unwrap_or(next_receive));
        if !pace.receive_only {
            wake = wake.min(next_send).min(next_clean.unwrap_or(wake));
        }
        sleep_until(wake).await;
    }
}

/// Agents that were started together must not clean together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.75..1.25))
}

async fn store_the_rest(replica: &mut Replica, pace: &Pace) {
    let deadline = Instant::now() + pace.shutdown;
    while replica.has_changes() && replica.hold().is_none() {
        match timeout_at(deadline, replica.send(false)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(database = %replica.database(), %error, "cannot store the last change yet");
                if timeout_at(deadline, tokio::time::sleep(Duration::from_secs(1)))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    if replica.has_changes() {
        tracing::error!(
            database = %replica.database(),
            "the last change is in the database only: it is stored at the next start"
        );
    }
}
