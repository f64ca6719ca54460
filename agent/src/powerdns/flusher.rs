//! The task that flushes PowerDNS' caches. Whoever writes, or finds what was written, hands it over and never waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::control::{Command, Control, ControlError};
use super::settle::Settle;
use crate::content::{Plan, Touched, Zones};
use crate::lmdb::Environment;
use crate::status::DatabaseStatus;

/// From a failure to the next try, at first and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// For so long PowerDNS may be silent before somebody should look: it restarts in less.
const WORRY: Duration = Duration::from_secs(60);

/// Time for what is left at the end.
const LAST_WORK: Duration = Duration::from_secs(2);

fn locked(touched: &Mutex<Touched>) -> MutexGuard<'_, Touched> {
    touched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where what was written is handed over; clones are the same one.
#[derive(Clone, Default)]
pub struct Flusher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    touched: Mutex<Touched>,
    wake: Notify,
    zones: Zones,
    anew: AtomicBool,
}

impl Flusher {
    /// Hands over what was written. Never waits, and keeps no more than a bounded part of it.
    pub fn add(&self, touched: Touched) {
        if !touched.is_empty() {
            locked(&self.0.touched).absorb(touched);
            self.0.wake.notify_one();
        }
    }

    /// From now on it is known what is written to a database; before that it may have been anything.
    pub fn begin_anew(&self) {
        self.0.anew.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// A main database: it says which zone has which ID. Without one every change flushes everything.
    pub fn look_up_zones_in(&self, main: Arc<Environment>) {
        self.0.zones.read_from(main);
    }

    /// Flushes until `shutdown` is cancelled, and then what is left.
    pub async fn run(self, control: Control, status: Arc<DatabaseStatus>, shutdown: CancellationToken) {
        let mut worker = Worker {
            shared: self.0,
            control,
            status,
            settle: Settle::new(Instant::now()),
            silence: None,
        };
        worker.begin().await;
        shutdown.run_until_cancelled(worker.work()).await;
        let _ = tokio::time::timeout(LAST_WORK, worker.finish()).await;
    }
}

/// PowerDNS does not answer.
struct Silence {
    since: Instant,
    next_try: Instant,
    wait: Duration,
}

struct Worker {
    shared: Arc<Shared>,
    control: Control,
    status: Arc<DatabaseStatus>,
    settle: Settle,
    silence: Option<Silence>,
}

impl Worker {
    /// What the last agent here merged it may not have flushed. A PowerDNS that is not running has nothing in its caches: it
    /// opens its socket before it reads anything.
    async fn begin(&mut self) {
        let touched = self.take();
        match self.flush_everything().await {
            Err(error) if !error.is_absence() => self.failed(&error),
            Err(_) if !touched.is_empty() => {
                locked(&self.shared.touched).absorb(touched);
                self.shared.wake.notify_one();
            }
            _ => {}
        }
    }

    async fn finish(&mut self) {
        loop {
            let touched = !locked(&self.shared.touched).is_empty();
            let next = self.settle.next();
            if self.silence.is_some() || !touched && next.is_none() {
                break;
            }
            if let Some(next) = next.filter(|_| !touched) {
                tokio::time::sleep_until(next.into()).await;
            }
            if self.flush().await.is_err() {
                break;
            }
        }
    }

    async fn work(&mut self) {
        loop {
            self.wait().await;
            if self.silence.is_none() && self.shared.anew.swap(false, Ordering::Relaxed) {
                self.begin().await;
                continue;
            }
            let result = match &self.silence {
                Some(_) => self.flush_everything().await,
                None => self.flush().await,
            };
            match result {
                Ok(()) => {
                    if let Some(silence) = self.silence.take() {
                        self.status.powerdns_answers();
                        tracing::info!(silent = ?silence.since.elapsed(), "PowerDNS answers again: all its caches are flushed");
                    }
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Until there is something to do.
    async fn wait(&self) {
        let (silence, next) = match &self.silence {
            Some(silence) => (true, Some(silence.next_try)),
            None => (false, self.settle.next()),
        };
        let sleep = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = self.shared.wake.notified(), if !silence => {}
        }
    }

    fn take(&self) -> Touched {
        std::mem::take(&mut *self.shared.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn flush(&mut self) -> Result<(), ControlError> {
        let touched = self.take();
        let plan = if touched.is_empty() {
            Plan::default()
        } else {
            let shared = self.shared.clone();
            let planned = spawn_blocking(move || shared.zones.plan(touched)).await;
            planned.unwrap_or_else(|_| Plan {
                everything: true,
                ..Plan::default()
            })
        };
        for command in self.settle.orders(plan, Instant::now()).commands() {
            self.send(&command).await?;
        }
        Ok(())
    }

    /// After a silence: whatever was to be flushed, and what a lost command should have.
    async fn flush_everything(&mut self) -> Result<(), ControlError> {
        self.take();
        self.send(&Command::Rediscover).await?;
        self.send(&Command::PurgeAll).await?;
        self.settle.emptied(Instant::now());
        Ok(())
    }

    async fn send(&mut self, command: &Command) -> Result<(), ControlError> {
        let started = Instant::now();
        self.control.send(command).await?;
        let took = started.elapsed();
        if *command == Command::Rediscover {
            self.settle.rediscovered(Instant::now(), took);
        }
        self.status.flushed();
        tracing::debug!(?command, ?took, "flushed caches of PowerDNS");
        Ok(())
    }

    fn failed(&mut self, error: &ControlError) {
        let now = Instant::now();
        // Where the agent starts first, PowerDNS comes when everything is merged.
        let expected = self.status.state().ready || !error.is_absence();
        let silence = self.silence.get_or_insert_with(|| {
            if expected {
                tracing::warn!(%error, "cannot flush the caches of PowerDNS, will try again");
            }
            Silence {
                since: now,
                next_try: now,
                wait: FIRST_RETRY,
            }
        });
        if !self.status.state().ready {
            silence.since = now;
        }
        silence.next_try = now + silence.wait;
        silence.wait = (silence.wait * 2).min(LAST_RETRY);
        let worrying = now.duration_since(silence.since) >= WORRY;
        self.status.powerdns_silent(error, worrying);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::super::control::tests::powerdns;
    use super::*;
    use crate::content::Change;
    use crate::report::Report as _;
    use crate::status::Metrics;

    fn new_zone() -> Touched {
        let mut touched = Touched::default();
        touched.note(&Change {
            dbi: "domains_v5_0",
            key: &[&[0, 5][..], b"zone\0", &[0, 0, 0, 7]].concat(),
            old: None,
            new: Some(b""),
        });
        touched
    }

    async fn told(powerdns: &mut UnboundedReceiver<String>, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(powerdns.recv().await.unwrap());
        }
        lines
    }

    struct Bench {
        flusher: Flusher,
        status: Arc<DatabaseStatus>,
        metrics: Metrics,
        shutdown: CancellationToken,
        socket: std::path::PathBuf,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let metrics = Metrics::new();
            Self {
                flusher: Flusher::default(),
                status: Arc::new(DatabaseStatus::new(metrics.database("main"))),
                metrics,
                shutdown: CancellationToken::new(),
                socket: dir.path().join("pdns.controlsocket"),
                _dir: dir,
            }
        }

        fn start(&self) -> tokio::task::JoinHandle<()> {
            let control = Control::new(self.socket.clone());
            let running = self.flusher.clone();
            tokio::spawn(running.run(control, self.status.clone(), self.shutdown.clone()))
        }

        fn powerdns(&self) -> UnboundedReceiver<String> {
            powerdns(UnixListener::bind(&self.socket).unwrap(), |line| match line {
                "REDISCOVER" => "Ok".into(),
                _ => "0".into(),
            })
        }

        fn failures(&self) -> bool {
            self.metrics
                .encode()
                .contains(r#"failures_total{database="main",step="powerdns"}"#)
        }
    }

    #[tokio::test]
    async fn what_an_earlier_agent_may_have_left_is_flushed_first_and_what_is_left_at_the_end() {
        let bench = Bench::new();
        let mut powerdns = bench.powerdns();
        let running = bench.start();
        assert_eq!(told(&mut powerdns, 2).await, ["REDISCOVER", "PURGE"]);
        bench.flusher.add(new_zone());
        bench.shutdown.cancel();
        running.await.unwrap();
        let mut rest = Vec::new();
        while let Ok(line) = powerdns.try_recv() {
            rest.push(line);
        }
        let list = rest.iter().position(|line| line == "REDISCOVER").unwrap();
        let purged = |line: &String| ["PURGE zone.$", "PURGE"].contains(&line.as_str());
        assert!(rest[list..].iter().any(purged), "{rest:?}");
    }

    #[tokio::test]
    async fn a_powerdns_that_was_silent_is_flushed_as_a_whole_once_it_answers() {
        let bench = Bench::new();
        let running = bench.start();
        // Before its first look it takes PowerDNS for one that comes later.
        while !bench.failures() {
            bench.flusher.add(new_zone());
            tokio::task::yield_now().await;
        }
        bench.flusher.add(new_zone());
        let mut powerdns = bench.powerdns();
        assert_eq!(told(&mut powerdns, 3).await, ["REDISCOVER", "PURGE", "PURGE"]);
        bench.shutdown.cancel();
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_silence_is_a_warning_until_it_ends_but_not_before_everything_is_merged() {
        let bench = Bench::new();
        let raised = || bench.status.state().conditions.contains_key("powerdns");
        let mut worker = Worker {
            shared: Arc::default(),
            control: Control::new(bench.socket.clone()),
            status: bench.status.clone(),
            settle: Settle::new(Instant::now()),
            silence: None,
        };
        let error = worker.control.send(&Command::PurgeAll).await.unwrap_err();
        let lasting = |worker: &mut Worker| {
            worker.failed(&error);
            let silence = worker.silence.as_mut().unwrap();
            silence.since = silence.since.checked_sub(WORRY).unwrap();
            worker.failed(&error);
        };
        lasting(&mut worker);
        assert!(!raised());
        bench.status.set_ready();
        lasting(&mut worker);
        assert!(raised());
        bench.status.powerdns_answers();
        assert!(!raised());
    }
}
