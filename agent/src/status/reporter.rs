//! What is known of one database, and where it is reported to: every report changes the state, the metrics and the events. Those of its
//! replica are in [`super::replica`].

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::DatabaseMetrics;
use super::events::{EventKind, shortened};
use super::health::Check;
use super::state::{Clock, Condition, Content, DatabaseState, FileState, Now};
use crate::report::Level;

/// The step, and the condition, of flushing PowerDNS' caches.
const POWERDNS: &str = "powerdns";

/// Where all that concerns one database is reported to.
pub struct DatabaseStatus {
    state: Mutex<DatabaseState>,
    /// When the replica last gave a sign of life.
    last_sign: Mutex<Instant>,
    pub(super) metrics: DatabaseMetrics,
    clock: Clock,
    pub(super) started: Now,
}

impl DatabaseStatus {
    pub fn new(metrics: DatabaseMetrics) -> Self {
        Self::with_clock(metrics, Arc::new(Now::read))
    }

    /// The same with another clock, for tests.
    pub fn with_clock(metrics: DatabaseMetrics, clock: Clock) -> Self {
        let started = clock();
        Self {
            state: Mutex::default(),
            last_sign: Mutex::new(started.steady),
            metrics,
            clock,
            started,
        }
    }

    /// A copy of the state.
    pub fn state(&self) -> DatabaseState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the replica last reported anything.
    pub fn last_sign(&self) -> Instant {
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut DatabaseState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A change that the replica reports: it is alive.
    pub(super) fn report(&self, change: impl FnOnce(&mut DatabaseState, Now)) {
        let now = (self.clock)();
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner) = now.steady;
        self.change(|state| change(state, now));
    }

    /// There will be nothing to store: the agent only receives.
    pub fn set_receive_only(&self) {
        self.change(|state| state.sent = true);
    }

    /// PowerDNS has carried out a command that flushes caches. No sign of the replica's life, nor are the next two.
    pub fn flushed(&self) {
        self.metrics.cache_flushes.inc();
    }

    /// A command to PowerDNS failed; `worrying` when that has lasted.
    pub fn powerdns_silent(&self, error: &dyn std::fmt::Display, worrying: bool) {
        self.metrics.failed(POWERDNS);
        let (now, error) = ((self.clock)().wall, error.to_string());
        if worrying {
            self.metrics.condition(POWERDNS, true);
        }
        self.change(|state| {
            state.troubles.push(EventKind::Failed, POWERDNS, &error, now);
            if worrying {
                let text = shortened(&format!("its caches may hold old answers: {error}"));
                let level = Level::Warning;
                let since = state.conditions.get(POWERDNS).map_or(now, |old| old.since);
                state
                    .conditions
                    .insert(POWERDNS, Condition { level, text, since });
            }
        });
    }

    /// PowerDNS answers again, and all its caches are flushed.
    pub fn powerdns_answers(&self) {
        self.metrics.condition(POWERDNS, false);
        let now = (self.clock)().wall;
        self.change(|state| {
            let text = "PowerDNS answers again: all its caches are flushed";
            state.troubles.push(EventKind::Recovered, POWERDNS, text, now);
            state.conditions.remove(POWERDNS);
        });
    }

    /// The size of the file, and its limit. No sign of the replica's life.
    pub fn measured(&self, path: &Path, bytes: u64, map_bytes: u64) {
        self.metrics.measured(bytes, map_bytes);
        let path = path.to_owned();
        self.change(|state| {
            state.file = Some(FileState {
                path,
                bytes,
                map_bytes,
            });
        });
    }

    /// What is in the file. No sign of the replica's life.
    pub fn counted(&self, entries: u64, marks: u64) {
        self.metrics.counted(entries, marks);
        let counted = (self.clock)().wall;
        self.change(|state| {
            state.content = Some(Content {
                entries,
                marks,
                counted,
            });
        });
    }

    /// Brings those metrics up to date that grow with time alone.
    pub(super) fn refresh_metrics(&self, now: Now) {
        self.change(|state| {
            for check in Check::ALL {
                let lasting = state
                    .streaks
                    .of(check)
                    .map(|streak| now.steady.saturating_duration_since(streak.since));
                self.metrics.failing(check.name(), lasting.unwrap_or_default());
            }
        });
    }
}
