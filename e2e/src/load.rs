//! Something done again and again at a steady pace, whatever came out of it the last time, while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use zonetide_testbed::poll::within;

use crate::report::{Report, Try};

/// A load that nobody ends does so by itself.
const LONGEST: Duration = Duration::from_mins(15);

pub struct Load {
    every: Duration,
    stop: watch::Sender<bool>,
    count: Arc<AtomicUsize>,
    task: JoinHandle<Report>,
}

impl Load {
    /// Begins `act` every `every`, also while earlier ones are under way, and gives each `patience` to come to an end. It is
    /// told its number.
    pub fn start<F, Acting>(every: Duration, patience: Duration, act: F) -> Self
    where
        F: Fn(usize) -> Acting + Send + 'static,
        Acting: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let count = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(drive(every, patience, act, stopped, count.clone()));
        Self {
            every,
            stop,
            count,
            task,
        }
    }

    /// Waits until it was begun so many more times.
    pub async fn goes_on(&self, times: u32) -> Result<()> {
        let enough = self.begun() + times as usize;
        let deadline = self.every * times * 3 + Duration::from_secs(10);
        let gone_on = within(deadline, async || match self.begun() {
            count if count < enough => Err(format!("{count} of {enough}")),
            _ => Ok(()),
        });
        gone_on.await.context("the load stands still")
    }

    fn begun(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it, and waits for all that was begun.
    pub async fn finish(self) -> Result<Report> {
        // Its receiver is gone when it has ended by itself.
        let _ = self.stop.send(true);
        Ok(self.task.await?)
    }
}

async fn drive<F, Acting>(
    every: Duration,
    patience: Duration,
    act: F,
    mut stopped: watch::Receiver<bool>,
    count: Arc<AtomicUsize>,
) -> Report
where
    F: Fn(usize) -> Acting,
    Acting: Future<Output = Result<(), String>> + Send + 'static,
{
    let start = Instant::now();
    let mut ticks = tokio::time::interval(every);
    // A machine that was busy must not be made busier by what it has missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut acting, mut tries) = (JoinSet::new(), Vec::new());
    while start.elapsed() < LONGEST {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(done) = acting.join_next(), if !acting.is_empty() => tries.extend(done),
            _ = ticks.tick() => {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let act = act(number);
                acting.spawn(async move {
                    let began = start.elapsed();
                    let outcome = tokio::time::timeout(patience, act).await;
                    let failure = outcome.unwrap_or_else(|_| Err(format!("no answer within {patience:?}")));
                    Try { number, began, ended: start.elapsed(), failure: failure.err() }
                });
            }
        }
    }
    // A try that has panicked counts as none, and shows itself.
    while let Some(done) = acting.join_next().await {
        tries.extend(done);
    }
    tries.sort_by_key(|one| one.number);
    Report {
        tries,
        lasted: start.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_from_being_begun() {
        let load = Load::start(EVERY, Duration::from_millis(300), async |number| {
            if number % 2 == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        });
        load.goes_on(20).await.unwrap();
        let report = load.finish().await.unwrap();
        let failed: Vec<_> = report.lost().map(|one| one.number % 2).collect();
        assert!(
            failed.len() >= 10 && failed.iter().all(|odd| *odd == 0),
            "{report:?}"
        );
        assert!(report.tries.len() >= 20, "{report:?}");
    }
}
