//! Where the replica of one database reports to: every report changes the state, the metrics and the events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::DatabaseMetrics;
use super::events::{EventKind, shortened};
use super::health::Check;
use super::state::{
    Clock, Condition, Content, DatabaseState, FileState, MergedSnapshot, Now, StoredSnapshot,
};
use crate::human::{count, size, span};
use crate::report::{Level, Quarantined, Way};
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Skew;

/// Corrupt snapshots kept in mind; the oldest names go.
const MOST_CORRUPT: usize = 50;
/// The step, and the condition, of flushing PowerDNS' caches.
const POWERDNS: &str = "powerdns";

/// Where the replica of one database reports to.
pub struct DatabaseStatus {
    state: Mutex<DatabaseState>,
    /// When the replica last gave a sign of life.
    last_sign: Mutex<Instant>,
    metrics: DatabaseMetrics,
    clock: Clock,
    started: Now,
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

    fn change(&self, change: impl FnOnce(&mut DatabaseState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A change that the replica reports: it is alive.
    fn report(&self, change: impl FnOnce(&mut DatabaseState, Now)) {
        let now = (self.clock)();
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner) = now.steady;
        self.change(|state| change(state, now));
    }

    /// The store was listed: these instances have snapshots, the newest at these times (ns since the epoch).
    pub fn listed(&self, newest: BTreeMap<String, u64>) {
        self.metrics.listings.inc();
        self.metrics
            .instances
            .set(i64::try_from(newest.len()).unwrap_or(i64::MAX));
        self.report(|state, now| {
            let metrics = &self.metrics;
            state.instances.retain(|instance, _| {
                let stays = newest.contains_key(instance);
                if !stays {
                    metrics.forget_instance(instance);
                }
                stays
            });
            for (instance, newest) in newest {
                metrics.instance_newest(&instance, newest);
                state.instances.entry(instance).or_default().newest = newest;
            }
            succeeded(state, Check::List, now);
        });
    }

    /// These instances never come back.
    pub fn retired(&self, instances: BTreeSet<String>) {
        self.change(|state| state.retired = instances);
    }

    /// A round of loading has ended and nothing failed in it.
    pub fn loaded(&self) {
        self.report(|state, now| succeeded(state, Check::Load, now));
    }

    pub fn set_ready(&self) {
        self.report(|state, now| (state.ready, state.ready_since) = (true, now.wall));
        self.metrics.ready.set(1);
    }

    /// There will be nothing to store: the agent only receives.
    pub fn set_receive_only(&self) {
        self.change(|state| state.sent = true);
    }

    /// A snapshot is merged; so many of its entries were news.
    pub fn merged(&self, name: &SnapshotName, written: u64) {
        self.metrics.merged.inc();
        self.merged_object(name.as_str(), name.instance(), name.timestamp(), written);
        self.change(|state| state.forget_older_corrupt(name));
    }

    /// A delta is merged; so many of its entries were news.
    pub fn merged_delta(&self, name: &DeltaName, way: Way, written: u64) {
        match way {
            Way::Store => self.metrics.deltas_merged.inc(),
            Way::Peer => self.metrics.deltas_taken.inc(),
        };
        self.merged_object(name.file(), name.instance(), name.time(), written);
    }

    fn merged_object(&self, name: &str, instance: &str, taken: u64, written: u64) {
        self.metrics.entries_written.inc_by(written);
        self.metrics.instance_merged(instance, taken);
        self.report(|state, now| {
            let fresh = taken >= self.started.wall;
            let delay = now.wall.saturating_sub(taken);
            if fresh {
                self.metrics.observe_delay(delay);
            }
            let news = if written == 0 {
                "nothing new".to_owned()
            } else {
                format!("{} new", count(written))
            };
            let text = format!("{name}: {news}");
            state.work.push(EventKind::Merged, "merge", &text, now.wall);
            let instance = state.instances.entry(instance.to_owned()).or_default();
            instance.newest = instance.newest.max(taken);
            instance.merged = Some(MergedSnapshot {
                name: name.to_owned(),
                taken,
                merged: now.wall,
                written,
                fresh,
            });
        });
    }

    /// A delta does not decode.
    pub fn corrupt_delta(&self, name: &DeltaName, reason: &str) {
        self.metrics.corrupt.inc();
        let text = format!("{name}: {reason}");
        self.report(|state, now| state.troubles.push(EventKind::Corrupt, "decode", &text, now.wall));
    }

    pub fn corrupt(&self, name: &SnapshotName, reason: &str) {
        self.metrics.corrupt.inc();
        self.report(|state, now| {
            let text = format!("{name}: {reason}");
            state.troubles.push(EventKind::Corrupt, "decode", &text, now.wall);
            state.corrupt.insert(name.to_string(), shortened(reason));
            while state.corrupt.len() > MOST_CORRUPT {
                state.corrupt.pop_first();
            }
        });
    }

    pub fn local_txn(&self, last: u64, synced: u64) {
        self.report(|state, _| {
            (state.last_txn, state.synced_txn) = (last, synced);
            state.sent |= last <= synced;
        });
        self.metrics.unsynced.set(i64::from(last > synced));
    }

    /// A snapshot of this many bytes is stored.
    pub fn stored(&self, name: &SnapshotName, bytes: u64) {
        self.metrics.stored.inc();
        self.stored_object(
            name.as_str(),
            name.instance(),
            name.timestamp(),
            size(bytes).as_str(),
            bytes,
        );
    }

    /// A delta of this many bytes and entries is stored.
    pub fn stored_delta(&self, name: &DeltaName, bytes: u64, entries: u64) {
        self.metrics.deltas_stored.inc();
        let text = format!("{} entries, {}", count(entries), size(bytes));
        self.stored_object(name.file(), name.instance(), name.time(), &text, bytes);
    }

    fn stored_object(&self, name: &str, instance: &str, taken: u64, text: &str, bytes: u64) {
        self.metrics.bytes_stored.inc_by(bytes);
        let seconds = i64::try_from(taken / 1_000_000_000).unwrap_or(i64::MAX);
        self.metrics.last_stored.set(seconds);
        self.metrics.instance_newest(instance, taken);
        self.metrics.instance_merged(instance, taken);
        self.report(|state, now| {
            let text = format!("{name}: {text}");
            state.work.push(EventKind::Stored, "write", &text, now.wall);
            state.sent = true;
            state.stored = Some(StoredSnapshot {
                name: name.to_owned(),
                at: now.wall,
                bytes,
            });
            let own = state.instances.entry(instance.to_owned()).or_default();
            own.newest = own.newest.max(taken);
            own.merged = Some(MergedSnapshot {
                name: name.to_owned(),
                taken,
                merged: now.wall,
                written: 0,
                fresh: false,
            });
            succeeded(state, Check::Store, now);
        });
    }

    /// A step such as `list`, `read`, `write` or `merge` failed.
    pub fn failed(&self, step: &'static str, error: &dyn std::fmt::Display) {
        self.metrics.failed(step);
        let error = error.to_string();
        self.report(|state, now| {
            state.troubles.push(EventKind::Failed, step, &error, now.wall);
            if let Some(check) = Check::of_step(step) {
                state.streaks.failed(check, &error, now.steady);
            }
        });
    }

    /// Something wants attention until it is cleared: it shows in `/healthz`, as a metric and on the page.
    pub fn raise(&self, condition: &'static str, level: Level, text: &str) {
        self.metrics.condition(condition, true);
        self.report(|state, now| {
            let old = state.conditions.get(condition);
            let since = old.map_or(now.wall, |old| old.since);
            if old.is_none_or(|old| old.text != text) {
                state.troubles.push(EventKind::Raised, condition, text, now.wall);
            }
            let text = shortened(text);
            state
                .conditions
                .insert(condition, Condition { level, text, since });
        });
    }

    /// What [`DatabaseStatus::raise`] told is over.
    pub fn clear(&self, condition: &'static str) {
        self.metrics.condition(condition, false);
        self.report(|state, now| {
            if let Some(old) = state.conditions.remove(condition) {
                state
                    .troubles
                    .push(EventKind::Cleared, condition, &old.text, now.wall);
            }
        });
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

    /// Lost entries were put back, and entries whose keys were overwritten got theirs back or are removed.
    pub fn mended(&self, restored: u64, overwritten: u64) {
        self.metrics.losses.restored.inc_by(restored);
        self.metrics.losses.mended.inc_by(overwritten);
    }

    pub fn swept(&self, removed: u64) {
        self.metrics.marks_swept.inc_by(removed);
        self.report(|state, now| {
            if removed > 0 {
                let text = format!("{} old deletion marks", count(removed));
                state.work.push(EventKind::Swept, "sweep", &text, now.wall);
            }
        });
    }

    pub fn cleaned(&self, removed: u64) {
        self.metrics.removed.inc_by(removed);
        self.report(|state, now| {
            if removed > 0 {
                let text = format!("{} superseded snapshots", count(removed));
                state.work.push(EventKind::Removed, "remove", &text, now.wall);
            }
        });
    }

    /// What is kept out of the zones now, and how many entries were put there and merged since the last call.
    pub fn quarantined(&self, all: Quarantined, kept: u64, released: u64) {
        let metrics = &self.metrics.quarantine;
        metrics
            .entries
            .set(i64::try_from(all.entries).unwrap_or(i64::MAX));
        metrics.kept.inc_by(kept);
        metrics.released.inc_by(released);
        self.report(|state, now| {
            if released > 0 {
                let text = format!("{} entries that were too far ahead of the time", count(released));
                state.work.push(EventKind::Merged, "merge", &text, now.wall);
            }
            state.quarantine = all;
        });
    }

    /// How far the own clock is from the store's. No sign of the replica's life.
    pub fn compared_clocks(&self, skew: Skew) {
        self.metrics.compared_clocks(&skew);
        self.change(|state| state.skew = Some(skew));
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

fn succeeded(state: &mut DatabaseState, check: Check, now: Now) {
    if let Some(streak) = state.streaks.succeeded(check) {
        let lasted = span(now.steady.saturating_duration_since(streak.since));
        let text = format!("well again after {} failures in {lasted}", count(streak.failures));
        // Each step that belonged to the row, so that a new failure of it is a new event.
        let steps: &[&'static str] = match check {
            Check::List => &["list"],
            Check::Load => &["open", "read", "merge", "crash"],
            Check::Store => &["write", "dump"],
        };
        for step in steps {
            if state.troubles.is_failing(step) {
                state.troubles.push(EventKind::Recovered, step, &text, now.wall);
            }
        }
    }
}
