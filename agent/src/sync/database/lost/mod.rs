//! Lost entries come back.
//!
//! PowerDNS leaves a deletion mark for what it deletes, so an entry that is gone without one was not meant to go: a `pdnsutil`
//! without `lmdb-lightning-stream` removes entries, and PowerDNS 4.9.18 writes their keys over with other bytes. What the last
//! state had is put back as it was, before anybody is told of the state without it; where keys are not in order the DBI is
//! written anew. [`recount`] finds what was lost while no agent ran.

mod mend;
pub(in crate::sync) mod recount;
mod report;
mod sort_out;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ahead::Ahead;
use super::collect::{Collected, Synced, collect};
use super::dump::TransferError;
use super::loss::Lost;
use super::settle::{settle, settle_all, settle_since};
use crate::lmdb::{Environment, KeptReader, LmdbError, LmdbErrorKind, scan_since};
use crate::snapshot::{Meta, is_private_dbi};
pub(in crate::sync) use report::{Losses, Mended, name, push};

/// Rounds after which the rest waits for the next change.
const MOST_ROUNDS: usize = 1000;

/// Gives what PowerDNS put over entries of a state its time, and puts back what is lost of it. Returns a later state, in which
/// nothing is lost.
///
/// # Errors
/// Those of LMDB.
pub(in crate::sync) fn follow(
    env: &Arc<Environment>,
    kept: &KeptReader,
    ahead: &mut Ahead,
    mended: &mut Mended,
) -> Result<KeptReader, TransferError> {
    let (mut rounds, mut settled) = (0, false);
    loop {
        let before = mended.settled.len();
        let (to, lost) = settle_since(env, ahead, kept, &mut mended.settled)?;
        let txn_ids = mended.settled.get(before..).unwrap_or_default();
        let is_settled = settled || txn_ids.is_empty();
        ahead.has_settled(txn_ids);
        let before = mended.txn_ids.len();
        if rounds < MOST_ROUNDS {
            mend(env, &lost, Some(kept), ahead, mended)?;
        }
        rounds += 1;
        match mended.txn_ids.get(before..) {
            Some([]) | None if is_settled => return Ok(to),
            // What has its time now is in a later state: in this one it has one that may be of a clock that is ahead, and what a merge
            // puts over that would look as if it were older. PowerDNS goes on writing; that has its turn the next time.
            Some([]) | None => settled = true,
            Some(done) => ahead.has_mended(done),
        }
        if mended.is_incomplete {
            // The state was damaged, too, and has what was removed.
            return Ok(env.keep_newest()?);
        }
    }
}

/// Puts back what is lost. `from`: a state that has it.
fn mend(
    env: &Environment,
    lost: &Lost,
    from: Option<&KeptReader>,
    ahead: &Ahead,
    mended: &mut Mended,
) -> Result<(), LmdbError> {
    for dbi in &lost.damaged {
        mend::rewrite(env, dbi, from, ahead, mended)?;
    }
    if mended.is_incomplete {
        // What looks lost may be what was removed.
        return Ok(());
    }
    mend::put_back(env, &lost.gone, ahead, mended)
}

/// What was written after `from`, collected from a state in which nothing is lost.
pub(in crate::sync) struct Sound {
    pub(in crate::sync) to: Arc<KeptReader>,
    pub(in crate::sync) collected: Collected,
}

/// Collects what was written after `from`, up to the state `to` or to the newest one. What is lost is put back first, and what
/// PowerDNS put over something gets its time. `foreign`: transactions that say nothing new. A state `to` that was looked at before
/// is taken as it is. `meta` is what a delta up to a state says of itself. `mended` tells what was put back, also if it fails later
/// on.
///
/// # Errors
/// Those of LMDB and of the temporary file.
pub(in crate::sync) fn collect_sound(
    env: &Arc<Environment>,
    from: &Synced,
    to: Option<Arc<KeptReader>>,
    mut foreign: BTreeSet<u64>,
    mut ahead: Ahead,
    meta: impl Fn(&KeptReader) -> Meta,
    mended: &mut Mended,
) -> Result<Sound, TransferError> {
    if from.reader.is_none() {
        settle_all(env, &ahead, &mut mended.settled)?;
        ahead.has_settled(&mended.settled);
    }
    // A later state has merged entries that may have been replaced.
    let start = from.reader.as_ref().map(|reader| reader.txn_id());
    if let Some(kept) = ahead.kept.clone().filter(|kept| Some(kept.txn_id()) > start) {
        follow(env, &kept, &mut ahead, mended)?;
        foreign.extend(&mended.txn_ids);
    }
    let known = to.is_some();
    let mut to = match to {
        Some(to) => to,
        None => Arc::new(env.keep_newest()?),
    };
    let (mut rounds, mut settled) = (0, false);
    loop {
        let looked = match look(env, from, &to, (&foreign, &ahead), &meta(&to)) {
            Ok(collected) => Ok(collected),
            Err(TransferError::Lmdb(LmdbError {
                kind: LmdbErrorKind::Disorder { dbi },
                ..
            })) => Err(dbi),
            Err(error) => return Err(error),
        };
        let before = mended.txn_ids.len();
        if rounds < MOST_ROUNDS {
            match &looked {
                Ok(collected) => mend(env, &collected.lost, from.reader.as_deref(), &ahead, mended)?,
                Err(dbi) => mend::rewrite(env, dbi, from.reader.as_deref(), &ahead, mended)?,
            }
        }
        rounds += 1;
        let done = mended.txn_ids.get(before..).unwrap_or_default();
        foreign.extend(done);
        // What is put right is in a later state than a known one.
        let is_over = known || done.is_empty();
        match looked {
            Ok(collected) if is_over => {
                let before = mended.settled.len();
                let stay = settle(env, &ahead, &collected.later, &mut mended.settled)?;
                let txn_ids = mended.settled.get(before..).unwrap_or_default();
                let is_settled = known || settled || txn_ids.is_empty();
                ahead.has_settled(txn_ids);
                // What has its time now, or was written meanwhile, is in a later state.
                if is_settled && stay.is_empty() {
                    return Ok(Sound { to, collected });
                }
                // Left out, and nothing is to be done about it: it has to be told as it is.
                ahead.let_stay(stay);
                if is_settled {
                    continue;
                }
                // PowerDNS goes on writing; that has its turn the next time.
                settled = true;
            }
            Err(dbi) if is_over => return Err(env.fail(LmdbErrorKind::Disorder { dbi }).into()),
            _ => {}
        }
        to = Arc::new(env.keep_newest()?);
    }
}

fn look(
    env: &Environment,
    from: &Synced,
    to: &KeptReader,
    (foreign, ahead): (&BTreeSet<u64>, &Ahead),
    meta: &Meta,
) -> Result<Collected, TransferError> {
    if from.time != 0 {
        return collect(env, from, to, (foreign, ahead), meta);
    }
    // Everything goes into a snapshot.
    let mut collected = Collected::nothing(env, meta)?;
    env.read::<_, LmdbError>(|reader| {
        scan_since(reader, 0, |change| {
            if !is_private_dbi(change.dbi) {
                collected.lost.note(&change, false);
            }
            Ok(())
        })
    })?;
    Ok(collected)
}

#[cfg(test)]
mod tests;
