//! Giving later writes of PowerDNS' their later times, before others are told of them.

use std::sync::Arc;
use std::time::Duration;

use super::ahead::{Ahead, Stay, after, pending};
use super::dump::{TransferError, to_entry};
use super::loss::Lost;
use crate::lmdb::header::Header;
use crate::lmdb::{Change, Environment, KeptReader, LmdbError, LmdbErrorKind, Reader};
use crate::snapshot::{Entry, is_private_dbi};

/// Most entries that are written in one transaction, for PowerDNS waits for it.
const BATCH: usize = 5_000;
/// Between two of them, so that PowerDNS gets the lock, which is not a fair one.
pub(in crate::sync) const PAUSE: Duration = Duration::from_millis(5);

/// An entry that PowerDNS put over one with a time that is not lower, or wrote by a clock that is wrong.
pub(in crate::sync) struct Later {
    pub(in crate::sync) dbi: String,
    pub(in crate::sync) key: Vec<u8>,
    /// The transaction that wrote it.
    pub(in crate::sync) txn_id: u64,
    /// The time of what it replaced, ns since the epoch.
    pub(in crate::sync) floor: Option<u64>,
}

impl Later {
    pub(in crate::sync) fn of(change: &Change<'_>, new: Header, floor: Option<u64>) -> Self {
        Self {
            dbi: change.dbi.to_owned(),
            key: change.key.to_vec(),
            txn_id: new.txn_id,
            floor,
        }
    }
}

/// Gives these entries times above those of what they replaced, in transactions that have something new for all others. PowerDNS
/// may have written to them once more since they were looked at: that is later still. `txn_ids`: those transactions, also if it fails
/// later on.
///
/// Returns entries that have their times already. What was written in the place of one since it was looked at is not among them: it is
/// in a later state.
///
/// # Errors
/// Those of LMDB.
pub(in crate::sync) fn settle(
    env: &Environment,
    ahead: &Ahead,
    later: &[Later],
    txn_ids: &mut Vec<u64>,
) -> Result<Vec<Stay>, LmdbError> {
    give_times(env, (ahead, false), later, txn_ids)
}

/// The same for entries that something has lost against in a merge: they get times for good, and never lower ones than they counted with.
///
/// # Errors
/// Those of LMDB.
pub(super) fn settle_for_good(
    env: &Environment,
    ahead: &Ahead,
    later: &[Later],
    txn_ids: &mut Vec<u64>,
) -> Result<(), LmdbError> {
    give_times(env, (ahead, true), later, txn_ids).map(drop)
}

fn give_times(
    env: &Environment,
    (ahead, for_good): (&Ahead, bool),
    later: &[Later],
    txn_ids: &mut Vec<u64>,
) -> Result<Vec<Stay>, LmdbError> {
    let mut stay = Vec::new();
    for batch in later.chunks(BATCH) {
        let mut writer = env.begin_write()?;
        let mut notes = ahead.notes(&writer)?;
        for Later {
            dbi,
            key,
            txn_id,
            floor,
        } in batch
        {
            let Some(handle) = writer.existing_dbi(dbi)? else {
                continue;
            };
            let Some((header, value)) = writer.get(&handle, key)? else {
                continue;
            };
            let timestamp = after(notes.time_of(&writer, dbi, key, header)?, *floor);
            let is_known = header.txn_id == *txn_id;
            // One that it has by chance may be corrected later on; one that we wrote is not.
            if timestamp == header.timestamp && !(for_good && is_known) {
                if is_known {
                    stay.push((dbi.clone(), key.clone(), header.txn_id));
                }
                continue;
            }
            let value = value.to_vec();
            let entry = Entry {
                timestamp,
                ..to_entry(key, header, &value)
            };
            notes.put(&mut writer, &handle, &entry)?;
        }
        txn_ids.extend(writer.commit()?);
        if batch.len() == BATCH {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(stay)
}

/// The same for all that is noted or of no clock that is right, for when it is not known what was written since which state. Returns
/// whether there were any of the latter.
///
/// # Errors
/// Those of LMDB.
pub(in crate::sync) fn settle_all(
    env: &Environment,
    ahead: &Ahead,
    txn_ids: &mut Vec<u64>,
) -> Result<bool, LmdbError> {
    let (mut later, mut any_beyond) = (Vec::new(), false);
    env.read(|reader| {
        pending(reader, |dbi, key, txn_id, replaced| {
            later.push(Later {
                dbi: dbi.to_owned(),
                key: key.to_vec(),
                txn_id,
                floor: ahead.floor(Some(replaced)),
            });
        })?;
        if ahead.knows_a_limit() {
            any_beyond = look_for_wrong_times(reader, ahead, &mut later)?;
        }
        Ok::<(), LmdbError>(())
    })?;
    settle(env, ahead, &later, txn_ids)?;
    Ok(any_beyond)
}

fn look_for_wrong_times(
    reader: &Reader<'_>,
    ahead: &Ahead,
    later: &mut Vec<Later>,
) -> Result<bool, LmdbError> {
    let (now, mut any_beyond) = (ahead.now(), false);
    for dbi in reader.dbis()?.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
        reader.for_each(dbi, |key, header, _| {
            any_beyond |= ahead.is_beyond(header);
            if ahead.corrected(header, now) != header.timestamp {
                later.push(Later {
                    dbi: dbi.name.clone(),
                    key: key.to_vec(),
                    txn_id: header.txn_id,
                    floor: None,
                });
            }
            Ok::<(), LmdbError>(())
        })?;
    }
    Ok(any_beyond)
}

/// The same for what was put over entries of a state, or written since by a clock that is wrong. Returns a later state, after which
/// nothing was looked at, and what is to be put back.
///
/// # Errors
/// Those of LMDB.
pub(in crate::sync) fn settle_since(
    env: &Arc<Environment>,
    ahead: &Ahead,
    kept: &KeptReader,
    txn_ids: &mut Vec<u64>,
) -> Result<(KeptReader, Lost), TransferError> {
    let (to, now) = (env.keep_newest()?, ahead.now());
    let (mut later, mut lost) = (Vec::new(), Lost::default());
    let walked = to.changes_since::<TransferError>(kept, |change| {
        let is_ours = change.new.is_some_and(|new| ahead.is_ours(new.header));
        if is_private_dbi(change.dbi) || lost.note(&change, is_ours && ahead.believes(&change)) {
            return Ok(());
        }
        if let Some(new) = change.new.filter(|_| !is_ours) {
            let floor = ahead.floor(change.old.map(|old| old.header));
            if after(ahead.corrected(new.header, now), floor) != new.header.timestamp {
                later.push(Later::of(&change, new.header, floor));
            }
        }
        Ok(())
    });
    match walked {
        Ok(_) => {
            settle(env, ahead, &later, txn_ids)?;
        }
        Err(TransferError::Lmdb(LmdbError {
            kind: LmdbErrorKind::Disorder { dbi },
            ..
        })) => {
            lost.damaged.insert(dbi);
        }
        Err(TransferError::Lmdb(LmdbError {
            kind: kind @ LmdbErrorKind::Page { .. },
            ..
        })) => {
            tracing::warn!(path = %env.path().display(), error = %kind, "cannot compare pages");
        }
        Err(error) => return Err(error),
    }
    Ok((to, lost))
}
