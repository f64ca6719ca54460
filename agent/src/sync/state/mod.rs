//! What a replica knows of its database and of the store: pure, and changed under one lock.

mod keep;
mod losses;
mod memory;
mod others;
mod reach;
pub(super) mod replica;
mod time;
mod unstored;
mod vectors;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use self::reach::Reach;
use crate::lmdb::KeptReader;
use crate::snapshot::{DeltaName, Had, SnapshotName};
use crate::store::Skew;
use crate::sync::database::collect::Synced;
use crate::sync::database::lost::Losses;
use crate::sync::database::quarantine::Summary;
use crate::sync::files::refill_note::Refill;
use crate::sync::known::deltas::Deltas;
use crate::sync::known::heard::Heard;
use crate::sync::known::namesake::Namesake;
use crate::sync::known::plan::{Knowledge, Listing};
use crate::sync::known::time_known::TimeKnown;
use crate::sync::known::vectors::Vectors;
use crate::sync::limits::Limits;

/// How far ahead of the own clock a name's time may be for the sake of order, ns. Clocks that differ by more are seen later, not
/// never: whole listings show everything.
const MOST_LIFTED: u64 = 60_000_000_000;
/// Time after which an instance that stored nothing counts as gone, ns: twice the interval at which all store something.
const SILENT: u64 = 2 * 4 * 3_600_000_000_000;
/// How long before a snapshot others may have deleted something that its instance had not heard of yet, ns.
const LATE: u64 = 24 * 3_600_000_000_000;
/// Deltas since the last snapshot, in bytes, may become this much of its size.
const SHARE: u64 = 2;

/// What the store has since the last own snapshot.
#[derive(Debug, Default)]
pub(in crate::sync) struct SinceSnapshot {
    /// Size of the snapshot, bytes.
    pub(in crate::sync) size: u64,
    pub(in crate::sync) deltas: u64,
    pub(in crate::sync) delta_bytes: u64,
}

#[derive(Default)]
// Each says a thing of its own; none excludes another.
#[allow(clippy::struct_excessive_bools)]
pub(in crate::sync) struct State {
    pub(in crate::sync) limits: Limits,
    pub(in crate::sync) known: Knowledge,
    /// What the last look at the store showed.
    pub(in crate::sync) listing: Listing,
    pub(in crate::sync) deltas: Deltas,
    /// By name, when the objects in it were stored, by the store's clock in ns since the epoch.
    pub(in crate::sync) stored_at: BTreeMap<String, u64>,
    /// The transaction up to which the store has everything that was written here; 0 when that is not known.
    pub(in crate::sync) synced_txn: u64,
    /// The transaction that the last stored snapshot shows.
    pub(in crate::sync) stored_txn: u64,
    /// Transactions of ours that wrote what the store has from others, or that removed old marks.
    pub(in crate::sync) foreign: BTreeSet<u64>,
    /// Transactions of ours that gave what PowerDNS wrote other times.
    pub(in crate::sync) settled: BTreeSet<u64>,
    /// What was known of the time when all entries were looked at for times that no right clock has.
    pub(in crate::sync) recalled: Option<TimeKnown>,
    /// The state that the store has, by a snapshot and deltas in a row.
    pub(in crate::sync) stored: Synced,
    /// The transaction up to which the last run had stored all, and the time of that state, ns since the epoch.
    pub(in crate::sync) stored_before: (u64, u64),
    /// The state that the peers were told of.
    pub(in crate::sync) told: Synced,
    /// The one that they were told of before they were told nothing any more, until the next snapshot is stored.
    pub(in crate::sync) told_last: Synced,
    /// A state like these where neither is kept: what was put over its entries is seen.
    pub(in crate::sync) watched: Option<Arc<KeptReader>>,
    /// Keeping one has failed, and is not tried before.
    pub(in crate::sync) keeping_rests_until: Option<Instant>,
    /// How many reasons for a snapshot there were when `told` began; `None`: nothing was known of the own objects then.
    pub(in crate::sync) told_since: Option<u64>,
    pub(in crate::sync) reach: Reach,
    pub(in crate::sync) since_snapshot: SinceSnapshot,
    /// A snapshot is to be stored even if nothing changed, and deltas are to begin anew from it.
    pub(in crate::sync) snapshot_wanted: bool,
    /// How often there was a reason for that.
    pub(in crate::sync) reasons: u64,
    /// A snapshot was not stored, and may have left a torn object, which others wait to see replaced.
    pub(in crate::sync) snapshot_owed: bool,
    pub(in crate::sync) namesake: Namesake<SnapshotName>,
    pub(in crate::sync) delta_namesake: Namesake<DeltaName>,
    /// The time of the newest own name, so that a clock set back cannot make a newer state look older.
    pub(in crate::sync) last_own_time: u64,
    /// The newest time of any instance's delta, but for those of clocks that are far off.
    pub(in crate::sync) newest_seen: u64,
    /// The states of the instances seen at the first listing, until all are merged.
    pub(in crate::sync) awaited: Option<BTreeMap<String, u64>>,
    pub(in crate::sync) ready: bool,
    /// Own objects in the store are merged, so a new one hides nothing.
    pub(in crate::sync) own_merged: bool,
    /// Since when no look at the store has ended well, by the first that failed; `None`: it answers.
    pub(in crate::sync) silent_since: Option<Instant>,
    /// When a look at the store last showed nothing that is missing here, ns since the epoch.
    pub(in crate::sync) saw_all: Option<u64>,
    /// When a look at the store last ended with nothing missing here of what peers had told, ns since the epoch by the own clock.
    pub(in crate::sync) heard_all: Option<u64>,
    /// The server may be asked, though not all that the store has is merged.
    pub(in crate::sync) serves: bool,
    /// Peers gave what the store may lack: with the next look at it an own snapshot is due.
    pub(in crate::sync) given: bool,
    /// The newest own state that is here because a peer gave it back, ns since the epoch.
    pub(in crate::sync) given_back: u64,
    /// What was known before the last start is not compared with the store yet.
    pub(in crate::sync) resumed: bool,
    /// The database was away for so long that others may have removed marks which it has never seen.
    pub(in crate::sync) refill: Option<Refill>,
    /// The difference from the store's clock that was warned of, while it lasts.
    pub(in crate::sync) skew_told: Option<Skew>,
    /// What is kept because its time is yet to come; `None`: it was not looked at yet.
    pub(in crate::sync) quarantine: Option<Summary>,
    /// By instance, the newest time of what there was no room for, ns since the epoch.
    pub(in crate::sync) no_room: BTreeMap<String, u64>,
    /// The time of a merged entry that was warned of, ns since the epoch, until it has come.
    pub(in crate::sync) future: Option<u64>,
    /// By instance, the version of our rules that it follows; one that is not known may be of the last release.
    pub(in crate::sync) versions: BTreeMap<String, u64>,
    /// By instance whose objects go, what the store has of it in an own snapshot, and since when, ns since the epoch.
    pub(in crate::sync) vouched: BTreeMap<String, (Had, u64)>,
    /// Instances whose snapshots are Lightning Stream's own: they read no deltas.
    pub(in crate::sync) lightning_stream: BTreeSet<String>,
    /// What peers told of and the store may lack, whether or not all that came before is merged.
    pub(in crate::sync) heard: Heard,
    /// What the snapshots in the store have of other instances.
    pub(in crate::sync) vectors: Vectors,
    /// By instance whose snapshot is gone from the store: since when that is known, ns since the epoch.
    pub(in crate::sync) vanished: BTreeMap<String, u64>,
    /// By instance whose objects were gone when another one's snapshot had its changes: the state of it that is here, ns since the epoch.
    pub(in crate::sync) gone: BTreeMap<String, u64>,
    /// By instance: the newest sign of it that the store had, ns since the epoch.
    pub(in crate::sync) signs: BTreeMap<String, u64>,
    /// Instances whose changes the next own snapshot is to have, so that their objects can be removed.
    pub(in crate::sync) taken_in: BTreeSet<String>,
    /// By instance with a gap: the state before it, and since when it is known, ns since the epoch.
    pub(in crate::sync) gaps: BTreeMap<String, (u64, u64)>,
    /// What was lost, until an hour after the last loss, and when that was, ns since the epoch.
    pub(in crate::sync) losses: Option<(u64, Losses)>,
    /// Where the objects are, as the memory of the next run has it.
    pub(in crate::sync) place: Option<String>,
    /// Entries are being removed here, so that there may be fewer than there were.
    pub(in crate::sync) removing: bool,
}

impl State {
    /// A time for the next own object: later than every own one, and than those of others as far as it can be.
    pub(in crate::sync) fn next_time(&mut self, now: u64) -> u64 {
        let lifted = self.newest_seen.saturating_add(1);
        let lifted = lifted.min(now.saturating_add(MOST_LIFTED));
        self.last_own_time = now.max(self.last_own_time.saturating_add(1)).max(lifted);
        self.last_own_time
    }

    /// Deltas of these times are there, at `now`. One that is far ahead of it must not hide what all the others store.
    pub(in crate::sync) fn saw(&mut self, times: impl IntoIterator<Item = u64>, now: u64) {
        let most = now.saturating_add(MOST_LIFTED);
        let newest = times.into_iter().filter(|time| *time <= most).max();
        self.newest_seen = self.newest_seen.max(newest.unwrap_or(0));
    }

    /// Transactions of ours that say nothing new.
    pub(in crate::sync) fn absorb(&mut self, txn_ids: &[u64]) {
        self.foreign.extend(txn_ids);
        self.advance(0);
    }

    /// Something of an instance is not merged before its time comes: its objects may be all that have it.
    pub(in crate::sync) fn is_kept_from(&self, instance: &str) -> bool {
        let kept = self.quarantine.as_ref();
        // Until it was looked at, something may be.
        self.no_room.contains_key(instance) || kept.is_none_or(|kept| kept.senders.contains_key(instance))
    }

    /// What is merged is not known any more: all that the store has is compared, the own objects first, and nothing is stored
    /// before that.
    pub(in crate::sync) fn compare_everything(&mut self) {
        self.known.have.clear();
        self.known.read.clear();
        self.own_merged = false;
    }

    /// The store has everything up to this transaction, and up to all foreign ones that follow it.
    pub(in crate::sync) fn advance(&mut self, txn: u64) {
        self.synced_txn = self.synced_txn.max(txn);
        while self.foreign.contains(&(self.synced_txn + 1)) {
            self.synced_txn += 1;
        }
        // Only what is compared with a state from before is asked for them.
        let basis = match (self.stored.time, self.told.time) {
            (0, _) => self.synced_txn,
            (_, 0) => self.stored.txn,
            _ => self.stored.txn.min(self.told.txn),
        };
        let watched = self.watched.as_ref().map_or(u64::MAX, |watched| watched.txn_id());
        let basis = basis.min(watched);
        self.foreign = self.foreign.split_off(&(basis + 1));
        self.settled = self.settled.split_off(&(basis + 1));
        while self.foreign.len() > self.limits.foreign {
            self.foreign.pop_first();
        }
    }

    /// The transaction of the oldest state that is kept for comparisons. A mark that is newer must stay, or what it deletes would
    /// look as if it were lost.
    pub(in crate::sync) fn oldest_kept(&self) -> u64 {
        let kept = [&self.stored, &self.told, &self.told_last].into_iter();
        let kept = kept.filter(|synced| synced.time != 0 && synced.reader.is_some());
        let kept = kept.map(|synced| synced.txn);
        let watched = self.watched.as_ref().map(|watched| watched.txn_id());
        kept.chain(watched).min().unwrap_or(u64::MAX)
    }

    /// True if somebody else wrote after `txn`, up to `last`.
    pub(in crate::sync) fn has_changes_after(&self, txn: u64, last: u64) -> bool {
        last > txn && (self.foreign.range(txn + 1..=last).count() as u64) < last - txn
    }

    /// An own snapshot is to be stored now.
    pub(in crate::sync) fn snapshot_is_due(&self, own: &str, changed: bool, now: u64) -> bool {
        let since = &self.since_snapshot;
        let outgrown = since.delta_bytes > (since.size / SHARE).max(self.limits.least)
            || since.deltas >= self.limits.deltas;
        self.snapshot_wanted
            || self.snapshot_owed
            || !self.taken_in.is_empty()
            || self.is_unseen(own)
            || changed && (self.stored.time == 0 || outgrown)
            || (changed || since.deltas > 0) && self.has_lightning_stream(own, now)
    }

    /// All that the store has is here, and nothing of this instance is there: nobody can see it, and its first change would cost
    /// a whole snapshot.
    pub(in crate::sync) fn is_unseen(&self, own: &str) -> bool {
        self.ready && self.own_merged && self.stored.time == 0 && self.last_sign(own) == 0
    }

    /// An object of an instance has this version of our rules.
    pub(in crate::sync) fn is_of_version(&mut self, instance: &str, version: u64) {
        self.versions.insert(instance.to_owned(), version);
    }

    /// The state of this time was not stored: what peers are told goes on from the one before, unless they were told more meanwhile.
    pub(in crate::sync) fn take_back(&mut self, time: u64, told: u64) {
        if self.told.time == time {
            self.told.time = told;
        }
    }

    /// Lightning Stream reads the store: it takes snapshots only.
    pub(in crate::sync) fn has_lightning_stream(&self, own: &str, now: u64) -> bool {
        self.lightning_stream
            .iter()
            .any(|instance| instance != own && self.last_sign(instance) > now.saturating_sub(SILENT))
    }

    /// Marks from this time on, ns since the epoch, are needed against what the oldest of the snapshots says that may be read: what
    /// was deleted since is live in it, and some of what was deleted shortly before.
    pub(in crate::sync) fn marks_needed_since(&self) -> u64 {
        if self.awaited.is_none() {
            return 0;
        }
        let newest = |instance: &String| self.known.newest(&self.listing, instance);
        let newest = self.listing.keys().filter_map(newest);
        let oldest = newest.map(SnapshotName::timestamp).min();
        oldest.map_or(u64::MAX, |oldest| oldest.saturating_sub(LATE))
    }

    /// The time of the newest object of an instance in the store, ns since the epoch.
    pub(in crate::sync) fn last_sign(&self, instance: &str) -> u64 {
        let snapshot = self.listing.get(instance).and_then(BTreeSet::last);
        let delta = self.deltas.of(instance).next_back();
        snapshot
            .map_or(0, SnapshotName::timestamp)
            .max(delta.map_or(0, |(name, _)| name.time()))
    }

    /// The other instances that have stored something not long ago.
    pub(in crate::sync) fn living(&self, own: &str, now: u64) -> Vec<&String> {
        let instances: BTreeSet<_> = self.listing.keys().chain(self.deltas.instances()).collect();
        let alive =
            |instance: &&String| *instance != own && self.last_sign(instance) > now.saturating_sub(SILENT);
        instances.into_iter().filter(alive).collect()
    }

    /// All that is known here is to be in the store under this instance's name, for all to read.
    pub(in crate::sync) fn want_snapshot(&mut self) {
        if !self.snapshot_wanted {
            self.snapshot_wanted = true;
            self.reasons += 1;
        }
    }

    /// The same, though one may be wanted already: what is known now is news.
    pub(in crate::sync) fn want_another_snapshot(&mut self) {
        self.snapshot_wanted = true;
        self.reasons += 1;
    }

    /// What was stored may not be seen by readers any more, so it has to be stored again.
    pub(in crate::sync) fn mistrust_the_store(&mut self) {
        self.want_another_snapshot();
        self.stored_txn = 0;
    }

    /// Nothing is known of own objects in the store.
    pub(in crate::sync) fn forget_own(&mut self) {
        self.watched = self.kept();
        self.synced_txn = 0;
        self.stored = Synced::default();
        self.since_snapshot = SinceSnapshot::default();
        // What peers are told from now on must not join to what they know, or they would take the next snapshot for known.
        let told = std::mem::take(&mut self.told);
        if told.time != 0 {
            self.told_last = told;
        }
    }

    /// The same, and no state from before is compared with any more.
    pub(in crate::sync) fn forget_all_states(&mut self) {
        self.forget_own();
        self.let_go_of_all_states();
    }

    /// What is written next is not compared with any state from before, but found by looking at all entries.
    pub(in crate::sync) fn let_go_of_all_states(&mut self) {
        for synced in [&mut self.stored, &mut self.told, &mut self.told_last] {
            synced.reader = None;
        }
        self.watched = None;
    }

    /// Forgets as much for the next snapshot, unless that was done for the same reasons and it could not be stored.
    pub(in crate::sync) fn begin_anew(&mut self) {
        let began = self.told.time != 0 && self.stored.time == 0 && self.told_since == Some(self.reasons);
        if self.snapshot_wanted && !began {
            self.forget_own();
        }
    }

    /// Peers are told from now on of what is written after the state that they were told of last, or after `newest`.
    pub(in crate::sync) fn begin_telling(&mut self, now: u64, newest: Synced) {
        let last = std::mem::take(&mut self.told_last);
        let from = if last.time == 0 { newest } else { last };
        self.told = Synced {
            time: self.next_time(now),
            ..from
        };
        self.told_since = self.own_merged.then_some(self.reasons);
    }
}

#[cfg(test)]
mod tests;
