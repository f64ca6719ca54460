//! What a replica knows of its database and of the store: pure, and changed under one lock.

mod differences;
pub(super) mod followed;
mod keep;
mod kept_out;
pub(super) mod log;
mod losses;
mod memory;
mod others;
pub(super) mod replica;
mod time;
mod unstored;
mod vectors;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use self::kept_out::KeptOut;
use self::log::Log;
use crate::snapshot::{DeltaName, SnapshotName};
use crate::store::Skew;
use crate::sync::database::differences::Differences;
use crate::sync::database::lost::Losses;
use crate::sync::files::refill_note::Refill;
use crate::sync::known::deltas::Deltas;
use crate::sync::known::departed::Departed;
use crate::sync::known::heard::Heard;
use crate::sync::known::namesake::Namesake;
use crate::sync::known::plan::{Knowledge, Listing};
use crate::sync::known::time_known::TimeKnown;
use crate::sync::known::vectors::Vectors;

/// Time after which an instance that stored nothing counts as gone, ns: twice the interval at which all store something.
const SILENT: u64 = 2 * 4 * 3_600_000_000_000;
/// How long before a snapshot others may have deleted something that its instance had not heard of yet, ns.
const LATE: u64 = 24 * 3_600_000_000_000;

#[derive(Default)]
// Each says a thing of its own; none excludes another.
#[allow(clippy::struct_excessive_bools)]
pub(in crate::sync) struct State {
    /// Which of the own states the store and the peers have.
    pub(in crate::sync) log: Log,
    pub(in crate::sync) known: Knowledge,
    /// What the last look at the store showed.
    pub(in crate::sync) listing: Listing,
    pub(in crate::sync) deltas: Deltas,
    /// By name, when the objects in it were stored, by the store's clock in ns since the epoch.
    pub(in crate::sync) stored_at: BTreeMap<String, u64>,
    /// What was known of the time when all entries were looked at for times that no right clock has.
    pub(in crate::sync) recalled: Option<TimeKnown>,
    pub(in crate::sync) namesake: Namesake<SnapshotName>,
    pub(in crate::sync) delta_namesake: Namesake<DeltaName>,
    /// The states of the instances seen at the first listing, until all are merged.
    pub(in crate::sync) awaited: Option<BTreeMap<String, u64>>,
    pub(in crate::sync) ready: bool,
    /// Own objects in the store are merged, so a new one hides nothing.
    pub(in crate::sync) own_merged: bool,
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
    /// By instance, the version of our rules that it follows; one that is not known may be of the last release.
    pub(in crate::sync) versions: BTreeMap<String, u64>,
    /// Instances whose snapshots are Lightning Stream's own: they read no deltas.
    pub(in crate::sync) lightning_stream: BTreeSet<String>,
    /// What peers told of and the store may lack, whether or not all that came before is merged.
    pub(in crate::sync) heard: Heard,
    /// What the snapshots in the store have of other instances.
    pub(in crate::sync) vectors: Vectors,
    /// Instances whose objects go or are gone.
    pub(in crate::sync) departed: Departed,
    /// What is kept out of the zones for now.
    pub(in crate::sync) kept_out: KeptOut,
    pub(in crate::sync) looks: Looks,
    pub(in crate::sync) warned: Warned,
    /// By peer whose database was found equal: when, ns since the epoch.
    pub(in crate::sync) compared: BTreeMap<String, u64>,
    /// What differed from peers.
    pub(in crate::sync) differences: Differences,
    /// Where the objects are, as the memory of the next run has it.
    pub(in crate::sync) place: Option<String>,
    /// Merges that wait for their next turn: half of what their objects say may be here.
    pub(in crate::sync) paused: usize,
    /// Entries are being removed here, so that there may be fewer than there were.
    pub(in crate::sync) removing: bool,
}

/// How the looks at the store went.
#[derive(Default)]
pub(in crate::sync) struct Looks {
    /// Since when no look at the store has ended well, by the first that failed; `None`: it answers.
    pub(in crate::sync) silent_since: Option<Instant>,
    /// When a look at the store last showed nothing that is missing here, ns since the epoch.
    pub(in crate::sync) saw_all: Option<u64>,
    /// When a look at the store last ended with nothing missing here of what peers had told, ns since the epoch by the own clock.
    pub(in crate::sync) heard_all: Option<u64>,
    /// By instance with a gap: the state before it, and since when it is known, ns since the epoch.
    pub(in crate::sync) gaps: BTreeMap<String, (u64, u64)>,
}

/// Trouble that was warned of and is not over.
#[derive(Default)]
pub(in crate::sync) struct Warned {
    /// The difference from the store's clock that was warned of, while it lasts.
    pub(in crate::sync) skew: Option<Skew>,
    /// The time of a merged entry that was warned of, ns since the epoch, until it has come.
    pub(in crate::sync) future: Option<u64>,
    /// What was lost, until an hour after the last loss, and when that was, ns since the epoch.
    pub(in crate::sync) losses: Option<(u64, Losses)>,
}

impl State {
    /// Half of what an object says may be here.
    pub(in crate::sync) fn has_paused(&self) -> bool {
        self.paused > 0
    }

    /// What is merged is not known any more: all that the store has is compared, the own objects first, and nothing is stored
    /// before that.
    pub(in crate::sync) fn compare_everything(&mut self) {
        self.known.forget_all();
        self.own_merged = false;
    }

    /// An own snapshot is to be stored now.
    pub(in crate::sync) fn snapshot_is_due(&self, own: &str, changed: bool, now: u64) -> bool {
        self.log.snapshot_is_due(changed)
            || !self.departed.taken_in().is_empty()
            || self.is_unseen(own)
            || (changed || self.log.has_deltas()) && self.has_lightning_stream(own, now)
    }

    /// All that the store has is here, and nothing of this instance is there: nobody can see it, and its first change would cost
    /// a whole snapshot.
    pub(in crate::sync) fn is_unseen(&self, own: &str) -> bool {
        self.ready && self.own_merged && !self.log.has_stored() && self.last_sign(own) == 0
    }

    /// The store is to have a snapshot though it has all changes: it lost something, or has nothing of this instance.
    pub(in crate::sync) fn wants_snapshot(&self, own: &str) -> bool {
        self.log.needs_snapshot() || !self.departed.taken_in().is_empty() || self.is_unseen(own)
    }

    /// An object of an instance has this version of our rules.
    pub(in crate::sync) fn is_of_version(&mut self, instance: &str, version: u64) {
        self.versions.insert(instance.to_owned(), version);
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
}

#[cfg(test)]
mod tests;
