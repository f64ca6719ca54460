//! The loop that calls a replica's steps in time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::SyncError;
use crate::sync::cadence::{ON_ITS_WAY, until_the_next_look};
use crate::sync::inbound::receive::Received;
use crate::sync::inbound::take::taking;
use crate::sync::maintenance::tidy::tidying;
use crate::sync::pace::Pace;
use crate::sync::peer::Told;
use crate::sync::serving::Serving;
use crate::sync::state::replica::Replica;

/// Between two looks at whether there is something new to write down. What a crash makes forget is stored once more, or looked
/// at once more.
const MEMORY: Duration = Duration::from_secs(5);

/// Between two looks at the clocks: peers tell theirs as often.
const CLOCK: Duration = Duration::from_secs(2);

/// Counts failures in a row of one kind of step.
struct Failures {
    step: &'static str,
    count: u32,
}

impl Failures {
    fn of(step: &'static str) -> Self {
        Self { step, count: 0 }
    }

    /// When to do a step again after this outcome; an error when there were too many failures, or no other can end well.
    fn next(
        &mut self,
        replica: &Replica,
        pace: &Pace,
        outcome: Result<Duration, SyncError>,
    ) -> Result<Instant, SyncError> {
        let outcome = outcome.map_err(|error| error.with_folder(replica.env.folder()));
        replica
            .troubles
            .note(&*replica.status, self.step, outcome.as_ref().err());
        let wait = match outcome {
            Ok(wait) => {
                self.count = 0;
                wait
            }
            Err(error) => {
                self.count += 1;
                replica.status.failed(error.category(), &error);
                if error.is_final() {
                    return Err(SyncError::Ended(Box::new(error)));
                }
                tracing::warn!(database = %replica.database(), failures = self.count, %error, "will try again");
                if pace.retry_limit.is_some_and(|limit| self.count >= limit) {
                    return Err(SyncError::GaveUp(self.count, Box::new(error)));
                }
                pace.retry
            }
        };
        Ok(Instant::now() + wait)
    }
}

/// Where a replica's word comes from, besides its database and the store.
#[derive(Default)]
pub struct Ways {
    /// What peers tell; `None`: there are none.
    pub told: Option<mpsc::Receiver<Told>>,
    /// Where the objects are, without secrets, so that a restart knows its own memory of them; `None`: it has none.
    pub store: Option<String>,
    /// Decides when the server may be asked; `None`: nobody asks.
    pub serving: Option<Arc<Serving>>,
}

/// Replicates until `shutdown` is cancelled, then stores the last change.
///
/// # Errors
/// [`SyncError::GaveUp`] when `retry_limit` is reached, [`SyncError::Ended`] when only another start helps.
pub async fn run(
    mut replica: Replica,
    pace: Pace,
    ways: Ways,
    shutdown: CancellationToken,
) -> Result<(), SyncError> {
    if let Some(sweep) = pace.sweep {
        replica.set_sweep(sweep.rules);
    }
    if let Some(store) = ways.store.as_ref().filter(|_| !pace.receive_only) {
        replica.resume(store);
    }
    if pace.receive_only {
        replica.only_receive();
    }
    let replica = Arc::new(replica);
    if let Some(serving) = &ways.serving {
        serving.join(replica.clone());
    }
    let replica = replica.as_ref();
    Box::pin(replica.look_at_the_clock()).await;
    let replicating = async {
        if pace.once {
            return Box::pin(once(replica, &pace)).await;
        }
        let changed = Notify::new();
        tokio::select! {
            ended = Box::pin(receiving(replica, &pace, &changed)) => ended,
            ended = Box::pin(sending(replica, &pace, &changed)) => ended,
            never = telling(replica, &pace, &changed) => match never {},
            never = Box::pin(taking(replica, ways.told)) => match never {},
            never = tidying(replica, &pace) => match never {},
            never = watching_the_clock(replica) => match never {},
            never = remembering(replica, ways.store.as_deref()) => match never {},
        }
    };
    let result = shutdown.run_until_cancelled(replicating).await;
    if !pace.receive_only {
        Box::pin(store_the_rest(replica, &pace)).await;
    }
    if let Some(store) = &ways.store {
        replica.remember(store);
    }
    result.unwrap_or(Ok(()))
}

/// Merges and stores everything once.
async fn once(replica: &Replica, pace: &Pace) -> Result<(), SyncError> {
    let (mut receives, mut sends) = (Failures::of("receive"), Failures::of("send"));
    let mut news = replica.schemas.guard.news();
    loop {
        news.mark_unchanged();
        let outcome = replica.receive().await;
        let merged_all = matches!(outcome, Ok(Received::All));
        let waiting = matches!(outcome, Ok(Received::Waiting));
        let mut next = receives.next(replica, pace, outcome.map(|_| Duration::ZERO))?;
        if !pace.receive_only {
            let sent = replica.send(false).await;
            let stored_all = matches!(sent, Ok(true));
            // What is on hold is so for longer than it takes to ask again.
            let wait = |all| if all { Duration::ZERO } else { pace.storage_poll };
            next = next.max(sends.next(replica, pace, sent.map(wait))?);
            if merged_all && stored_all {
                return Ok(());
            }
        } else if merged_all {
            return Ok(());
        }
        sleep_until(next).await;
        if waiting {
            let _ = timeout(pace.storage_poll, news.changed()).await;
        }
    }
}

/// Looks at the store again and again.
async fn receiving(replica: &Replica, pace: &Pace, changed: &Notify) -> Result<(), SyncError> {
    let mut failures = Failures::of("receive");
    let mut last_whole: Option<Instant> = None;
    let mut told_before = BTreeMap::new();
    // Looks in a row that did not show what peers told of.
    let mut in_vain = 0;
    let mut news = replica.schemas.guard.news();
    let mut peers = replica.peers.as_ref().map(|peers| peers.news());
    loop {
        news.mark_unchanged();
        let cadence = replica.cadence(pace.storage_poll);
        let whole = last_whole.is_none_or(|last| last.elapsed() >= cadence.whole);
        let received = if whole {
            replica.receive().await
        } else {
            replica.receive_news(cadence.snapshots).await
        };
        // Later on an instance that the main database cannot judge is no reason to hurry.
        let waiting = matches!(received, Ok(Received::Waiting)) && !replica.is_ready();
        match received {
            // After a failure nothing is known for sure.
            Ok(Received::Gap) | Err(_) => last_whole = None,
            Ok(_) if waiting => last_whole = None,
            Ok(_) if whole => last_whole = Some(Instant::now()),
            Ok(_) => {}
        }
        let outcome = received.map(|received| match received {
            Received::Waiting if waiting => pace.storage_poll,
            Received::All | Received::Waiting => replica.cadence(pace.storage_poll).look,
            Received::Gap if whole => pace.storage_poll,
            Received::More | Received::Gap => Duration::ZERO,
        });
        let failed = outcome.is_err();
        in_vain = if replica.lacks_any_of(&told_before) {
            in_vain + 1
        } else {
            0
        };
        let next = failures.next(replica, pace, outcome)?;
        // What held storing back may be over, or the store may have lost something.
        changed.notify_one();
        if waiting {
            let _ = timeout_at(next, news.changed()).await;
            continue;
        }
        // Contact may be lost meanwhile, or a peer tell of what did not arrive: then the store has it.
        while Instant::now() < next {
            let pause = until_the_next_look(in_vain, pace.storage_poll);
            tokio::select! {
                () = sleep_until(next.min(Instant::now() + pause)) => {}
                () = changes(&mut peers) => {
                    told_before = replica.told_by_peers();
                    sleep_until(next.min(Instant::now() + ON_ITS_WAY)).await;
                }
            }
            let told = replica.told_by_peers();
            let behind = replica.lacks_any_of(&told_before);
            told_before = told;
            let waited_enough = replica.cadence(pace.storage_poll).look <= pace.storage_poll;
            if !failed && (behind || waited_enough) {
                break;
            }
        }
    }
}

/// Until a peer tells of a newer state; for ever without peers.
async fn changes(peers: &mut Option<watch::Receiver<u64>>) {
    if let Some(news) = peers
        && news.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Tells peers of every change as soon as it is in the database, and has PowerDNS forget what it changes here.
async fn telling(replica: &Replica, pace: &Pace, changed: &Notify) -> Infallible {
    let mut watch = None;
    loop {
        if let Err(error) = replica.tell().await {
            replica.status.failed(error.category(), &error);
            tracing::warn!(database = %replica.database(), %error, "cannot tell peers: they find the change in the store");
        }
        if pace.receive_only {
            // Nobody else does who stores nothing.
            Box::pin(replica.let_go_of_old_states(replica.env.last_txn_id())).await;
        }
        changed.notify_one();
        if let Err(error) = replica.witness_own_writes().await {
            replica.status.failed(error.category(), &error);
            tracing::warn!(database = %replica.database(), %error, "cannot tell yet what was written here: PowerDNS' caches may be old");
        }
        // The file may have been replaced; without a watch there is the poll.
        let watching = match &mut watch {
            Some(watching) => Some(watching),
            none => {
                *none = replica.env.watch().ok();
                none.as_mut()
            }
        };
        let poll = tokio::time::sleep(pace.lmdb_poll);
        let lost = match watching {
            Some(watching) => tokio::select! {
                woken = watching.changed() => woken.is_err(),
                () = poll => false,
            },
            None => {
                poll.await;
                false
            }
        };
        if lost {
            watch = None;
            tokio::time::sleep(pace.lmdb_poll).await;
        }
    }
}

/// Stores changes: the first at once, those that follow closely together.
async fn sending(replica: &Replica, pace: &Pace, changed: &Notify) -> Result<(), SyncError> {
    if pace.receive_only {
        return std::future::pending().await;
    }
    let mut failures = Failures::of("send");
    let mut next_force = Instant::now() + pace.force_snapshot;
    loop {
        let started = Instant::now();
        let force = started >= next_force;
        let before = (replica.stored_txn(), replica.stored_time());
        let sent = replica.send(force).await;
        let after = (replica.stored_txn(), replica.stored_time());
        if sent.is_ok() && (force || after.0 != before.0) {
            next_force = Instant::now() + pace.force_snapshot;
        }
        let failed = sent.is_err();
        let pause = match sent {
            Ok(_) if after != before => replica.spacing(pace.lmdb_poll),
            _ => Duration::ZERO,
        };
        let next = failures.next(replica, pace, sent.map(|_| pause))?;
        if failed {
            sleep_until(next).await;
            continue;
        }
        sleep_until(started + pause).await;
        tokio::select! {
            () = changed.notified() => {}
            () = sleep_until(next_force) => {}
        }
    }
}

/// Compares the clock with the others', and does what follows from that: the looks at the store may be far apart.
async fn watching_the_clock(replica: &Replica) -> Infallible {
    loop {
        tokio::time::sleep(CLOCK).await;
        replica.compare_clocks();
        if let Err(error) = replica.contain().await {
            replica.status.failed(error.category(), &error);
            tracing::warn!(database = %replica.database(), %error, "will try again");
        }
    }
}

/// Writes down what is known, so that a restart goes on from there.
async fn remembering(replica: &Replica, store: Option<&str>) -> Infallible {
    let Some(store) = store else {
        return std::future::pending().await;
    };
    let mut before = None;
    loop {
        tokio::time::sleep(MEMORY).await;
        replica.forget_old_losses();
        let progress = replica.progress();
        if before.as_ref() != Some(&progress) {
            replica.remember(store);
            before = Some(progress);
        }
    }
}

async fn store_the_rest(replica: &Replica, pace: &Pace) {
    let deadline = Instant::now() + pace.shutdown;
    while replica.has_changes() && replica.hold().is_none() {
        match timeout_at(deadline, replica.send(false)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.is_final() => break,
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
