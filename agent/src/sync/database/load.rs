//! From a snapshot object into a database.
//!
//! PowerDNS waits while we hold the write lock, so the lock is taken only for what really changes: entries are
//! compared under a reader, the winners are collected, and a batch of them is written at a time. A database that is empty
//! and that nobody else has open is filled in another way, see [`super::fill`].

mod batch;
mod counted;
mod foresee;
mod merger;
mod new_zone;

use std::collections::BTreeSet;
use std::time::Duration;

use self::merger::Merger;
use super::ahead::Ahead;
use super::dump::TransferError;
use super::quarantine::{Guard, Kept, LeftOut};
use crate::content::Touched;
use crate::lmdb::Environment;
use crate::merge::replaces;
use crate::snapshot::{Entry, Snapshot};
use crate::sync::known::schema::lowers;
pub(in crate::sync) use foresee::foresee;
pub(in crate::sync) use merger::{Done, Pause};
pub(in crate::sync) use new_zone::has_new_zone;

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The transactions of the merge, none if the database already had everything.
    pub txn_ids: Vec<u64>,
    /// Those that gave entries here, against which something lost, their times for good.
    pub(in crate::sync) settled: Vec<u64>,
    /// Entries looked at.
    pub entries: u64,
    /// How many of them were newer than what the database had.
    pub written: u64,
    /// How many of each object that was merged.
    pub(in crate::sync) written_of: Vec<u64>,
    /// The transactions that had written what was here already, in the same version.
    pub(in crate::sync) had_written: BTreeSet<u64>,
    /// The newest time of an entry, ns since the epoch.
    pub newest: u64,
    /// What was too far ahead of the time.
    pub left_out: LeftOut,
    /// There was something of that kind, perhaps known before, or not all of `had_written` is known.
    pub(in crate::sync) is_unsure: bool,
    /// How long LMDB took to put it on disk.
    pub committing: Duration,
}

/// Transactions that are remembered to have written what was here already.
const MOST_REMEMBERED: usize = 10_000;

impl Merged {
    fn had_been_written(&mut self, txn_id: u64) {
        if self.had_written.len() < MOST_REMEMBERED {
            self.had_written.insert(txn_id);
        } else {
            self.is_unsure |= !self.had_written.contains(&txn_id);
        }
    }

    /// The transactions that wrote all that was merged and was not outdone; `None`: some of it is not in the zones, or they are too many.
    pub(in crate::sync) fn all_writes(&self) -> Option<BTreeSet<u64>> {
        let writes = self.txn_ids.iter().chain(&self.had_written).copied();
        (self.left_out == LeftOut::default() && !self.is_unsure).then(|| writes.collect())
    }
}

/// Merges all entries of a snapshot into a database. Marks older than `oldest_mark` (ns since the epoch) that the database
/// does not know are left out: the sweeper has removed them here, and they must not come back. So are keys that are none.
///
/// # Errors
/// Those of LMDB. Batches that were written before stay; merging again is harmless.
pub fn merge(env: &Environment, snapshot: &mut Snapshot, oldest_mark: u64) -> Result<Merged, TransferError> {
    let terms = Terms {
        oldest_mark,
        ahead: &Ahead::alone(),
        confirm: None,
    };
    merge_in_parts(env, snapshot, (&terms, Guard::open()), &|_| {}, None)
        .map_err(|interrupted| *interrupted.error)
}

/// What a merge goes by, besides the entries' times.
pub(in crate::sync) struct Terms<'a> {
    /// Marks older than this that the database does not know are left out, ns since the epoch.
    pub(in crate::sync) oldest_mark: u64,
    pub(in crate::sync) ahead: &'a Ahead,
    /// An entry that is here already, written by a transaction up to this one, is written once more: so it is known that
    /// others have it.
    pub(in crate::sync) confirm: Option<u64>,
}

/// The same in a database that PowerDNS writes to. `touch` is called after each commit with what it touched, so that a merge that
/// fails half-way has told of what is in the database. `pause` is called when others have waited for long enough.
///
/// # Errors
/// Those of [`merge`].
pub(in crate::sync) fn merge_in_parts(
    env: &Environment,
    snapshot: &mut Snapshot,
    (terms, guard): (&Terms<'_>, Guard),
    touch: &dyn Fn(Touched),
    pause: Option<Pause<'_>>,
) -> Result<Merged, Interrupted> {
    let mut merger = Merger::new(env, touch, terms, guard);
    merger.pause_by(pause);
    let taken = merger.take_all_of(snapshot);
    merger.end(taken)
}

/// Merges several objects, and commits together what fits.
///
/// # Errors
/// Those of [`merge`].
pub(in crate::sync) fn merge_together(
    env: &Environment,
    snapshots: &mut [Snapshot],
    (oldest_mark, ahead, guard): (u64, &Ahead, Guard),
    touch: &dyn Fn(Touched),
) -> Result<Merged, Interrupted> {
    let terms = Terms {
        oldest_mark,
        ahead,
        confirm: None,
    };
    let mut merger = Merger::new(env, touch, &terms, guard);
    let mut taken = Ok(());
    for snapshot in snapshots {
        taken = merger.take_all_of(snapshot);
        if taken.is_err() {
            break;
        }
    }
    merger.end(taken)
}

/// Merges entries that were kept until now.
pub(in crate::sync) fn merge_kept(
    env: &Environment,
    kept: &[Kept],
    terms: &Terms<'_>,
    touch: &dyn Fn(Touched),
) -> Result<Merged, Interrupted> {
    let mut merger = Merger::new(env, touch, terms, Guard::open());
    merger.came = kept.iter().map(|kept| (&kept.key[..], kept.since)).collect();
    let mut entries = kept.iter().filter_map(Kept::dbi_and_entry);
    let taken = entries.try_for_each(|(dbi, entry)| merger.take(dbi, &entry));
    merger.end(taken)
}

/// Why a merge ended early, and what it had written until then.
#[derive(Debug)]
pub(in crate::sync) struct Interrupted {
    pub(in crate::sync) error: Box<TransferError>,
    pub(in crate::sync) txn_ids: Vec<u64>,
    pub(in crate::sync) settled: Vec<u64>,
}

impl<E: Into<TransferError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self {
            error: Box::new(error.into()),
            txn_ids: Vec::new(),
            settled: Vec::new(),
        }
    }
}

impl Terms<'_> {
    /// True if what is here, written by this transaction, is to be known as what others have.
    fn confirms(&self, incoming: &Entry<'_>, local: &Entry<'_>, txn_id: u64) -> bool {
        self.confirm.is_some_and(|last| txn_id <= last) && incoming == local
    }
}

/// An entry that comes is put in the place of the one that is here.
fn wins(dbi: &str, incoming: &Entry<'_>, local: &Entry<'_>) -> bool {
    replaces(incoming, local) && !lowers(dbi, incoming, local)
}
