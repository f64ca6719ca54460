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

/// How a load is put on.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the begin of one to the begin of the next.
    pub every: Duration,
    /// How long each may take.
    pub patience: Duration,
    /// How many may be under way: the next one waits while there are as many, so that what is slow is not buried.
    pub at_once: usize,
}

pub struct Load {
    pace: Pace,
    stop: watch::Sender<bool>,
    count: Arc<AtomicUsize>,
    task: JoinHandle<Report>,
}

impl Load {
    /// Begins `act` again and again, also while earlier ones are under way. It is told its number.
    pub fn start<F, Acting>(pace: Pace, act: F) -> Self
    where
        F: Fn(usize) -> Acting + Send + 'static,
        Acting: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let count = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(drive(pace, act, stopped, count.clone()));
        Self {
            pace,
            stop,
            count,
            task,
        }
    }

    /// Waits until it was begun so many more times.
    pub async fn goes_on(&self, times: u32) -> Result<()> {
        let enough = self.begun() + times as usize;
        let deadline = self.pace.every * times * 3 + Duration::from_secs(10);
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
    pace: Pace,
    act: F,
    mut stopped: watch::Receiver<bool>,
    count: Arc<AtomicUsize>,
) -> Report
where
    F: Fn(usize) -> Acting,
    Acting: Future<Output = Result<(), String>> + Send + 'static,
{
    let start = Instant::now();
    let mut ticks = tokio::time::interval(pace.every);
    // A machine that was busy must not be made busier by what it has missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut acting, mut tries) = (JoinSet::new(), Vec::new());
    while start.elapsed() < LONGEST {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(done) = acting.join_next(), if !acting.is_empty() => tries.extend(done),
            _ = ticks.tick(), if acting.len() < pace.at_once => {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let act = act(number);
                let patience = pace.patience;
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

    const PACE: Pace = Pace {
        every: Duration::from_millis(10),
        patience: Duration::from_millis(300),
        at_once: 100,
    };

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_from_being_begun() {
        let load = Load::start(PACE, async |number| {
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

    #[tokio::test]
    async fn no_more_are_under_way_than_the_pace_allows() {
        let pace = Pace { at_once: 3, ..PACE };
        let load = Load::start(pace, async |_| {
            std::future::pending::<()>().await;
            Ok(())
        });
        load.goes_on(7).await.unwrap();
        let report = load.finish().await.unwrap();
        let at_once = |moment: Duration| {
            let under_way = |one: &&Try| one.began <= moment && moment < one.ended;
            report.tries.iter().filter(under_way).count()
        };
        let most = report.tries.iter().map(|one| at_once(one.began)).max();
        assert_eq!(most, Some(3), "{report:?}");
    }
}
