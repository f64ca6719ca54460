//! What the replica of a database reports becomes its state, its metrics and its events.

use std::collections::{BTreeMap, BTreeSet};

use super::DatabaseStatus;
use super::events::{EventKind, shortened};
use super::health::Check;
use super::state::{Condition, DatabaseState, MergedSnapshot, Now, StoredSnapshot};
use crate::human::{count, size, span};
use crate::report::{Level, Quarantined, Report, Way};
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Skew;

/// Corrupt snapshots kept in mind; the oldest names go.
const MOST_CORRUPT: usize = 50;

impl Report for DatabaseStatus {
    fn listed(&self, newest: BTreeMap<String, u64>) {
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

    fn retired(&self, instances: BTreeSet<String>) {
        self.change(|state| state.retired = instances);
    }

    fn loaded(&self) {
        self.report(|state, now| succeeded(state, Check::Load, now));
    }

    fn set_ready(&self) {
        self.report(|state, now| (state.ready, state.ready_since) = (true, now.wall));
        self.metrics.ready.set(1);
    }

    fn merged(&self, name: &SnapshotName, written: u64) {
        self.metrics.merged.inc();
        self.merged_object(name.as_str(), name.instance(), name.timestamp(), written);
        self.change(|state| state.forget_older_corrupt(name));
    }

    fn merged_delta(&self, name: &DeltaName, way: Way, written: u64) {
        match way {
            Way::Store => self.metrics.deltas_merged.inc(),
            Way::Peer => self.metrics.deltas_taken.inc(),
        };
        self.merged_object(name.file(), name.instance(), name.time(), written);
    }

    fn corrupt_delta(&self, name: &DeltaName, reason: &str) {
        self.metrics.corrupt.inc();
        let text = format!("{name}: {reason}");
        self.report(|state, now| state.troubles.push(EventKind::Corrupt, "decode", &text, now.wall));
    }

    fn corrupt(&self, name: &SnapshotName, reason: &str) {
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

    fn local_txn(&self, last: u64, synced: u64, wants_snapshot: bool) {
        let unsynced = last > synced || wants_snapshot;
        self.report(|state, _| {
            (state.last_txn, state.synced_txn, state.unsynced) = (last, synced, unsynced);
            state.sent |= last <= synced;
        });
        self.metrics.unsynced.set(i64::from(unsynced));
    }

    fn stored(&self, name: &SnapshotName, bytes: u64) {
        self.metrics.stored.inc();
        self.stored_object(
            name.as_str(),
            name.instance(),
            name.timestamp(),
            size(bytes).as_str(),
            bytes,
        );
    }

    fn stored_delta(&self, name: &DeltaName, bytes: u64, entries: u64) {
        self.metrics.deltas_stored.inc();
        let text = format!("{} entries, {}", count(entries), size(bytes));
        self.stored_object(name.file(), name.instance(), name.time(), &text, bytes);
    }

    fn failed(&self, step: &'static str, error: &dyn std::fmt::Display) {
        self.metrics.failed(step);
        let error = error.to_string();
        self.report(|state, now| {
            state.troubles.push(EventKind::Failed, step, &error, now.wall);
            if let Some(check) = Check::of_step(step) {
                state.streaks.failed(check, &error, now.steady);
            }
        });
    }

    fn raise(&self, condition: &'static str, level: Level, text: &str) {
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

    fn clear(&self, condition: &'static str) {
        self.metrics.condition(condition, false);
        self.report(|state, now| {
            if let Some(old) = state.conditions.remove(condition) {
                state
                    .troubles
                    .push(EventKind::Cleared, condition, &old.text, now.wall);
            }
        });
    }

    fn mended(&self, restored: u64, overwritten: u64) {
        self.metrics.losses.restored.inc_by(restored);
        self.metrics.losses.mended.inc_by(overwritten);
    }

    fn compared(&self, now: u64) {
        self.metrics.compared(now);
        self.change(|state| state.compared = now);
    }

    fn differed(&self, taken: u64) {
        self.metrics.losses.differed.inc_by(taken);
        self.report(|state, now| {
            let text = format!("{} entries that differed from a peer's", count(taken));
            state.work.push(EventKind::Merged, "merge", &text, now.wall);
        });
    }

    fn swept(&self, removed: u64) {
        self.metrics.marks_swept.inc_by(removed);
        self.report(|state, now| {
            if removed > 0 {
                let text = format!("{} old deletion marks", count(removed));
                state.work.push(EventKind::Swept, "sweep", &text, now.wall);
            }
        });
    }

    fn cleaned(&self, removed: u64) {
        self.metrics.removed.inc_by(removed);
        self.report(|state, now| {
            if removed > 0 {
                let text = format!("{} superseded snapshots", count(removed));
                state.work.push(EventKind::Removed, "remove", &text, now.wall);
            }
        });
    }

    fn quarantined(&self, all: Quarantined, kept: u64, released: u64) {
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

    fn compared_clocks(&self, skew: Skew) {
        self.metrics.compared_clocks(&skew);
        self.change(|state| state.skew = Some(skew));
    }
}

impl DatabaseStatus {
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
