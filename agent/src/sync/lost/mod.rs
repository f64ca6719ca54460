//! Lost entries come back.
//!
//! PowerDNS leaves a deletion mark for what it deletes, so an entry that is gone without one was not meant to go: a `pdnsutil`
//! without `lmdb-lightning-stream` removes entries, and PowerDNS 4.9.18 writes their keys over with other bytes. What the last
//! state had is put back as it was, before anybody is told of the state without it; where keys are not in order the DBI is
//! written anew. [`recount`] finds what was lost while no agent ran.

mod mend;
pub(super) mod recount;
mod report;
mod sort_out;
mod tell;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ahead::Ahead;
use super::collect::{Collected, Synced, collect};
use super::dump::TransferError;
use super::send::newest_state;
use super::settle::{Settled, settle, settle_all, settle_since};
use crate::lmdb::header::Header;
use crate::lmdb::{Change, Environment, KeptReader, LmdbError, LmdbErrorKind, scan_since};
use crate::powerdns::is_possible;
use crate::snapshot::{Meta, is_private_dbi};
pub(super) use report::{Losses, Mended};

/// Most bytes of lost entries that are put back at once; what is beyond comes in the next round.
const MOST_BYTES: usize = 4 << 20;
/// Rounds after which the rest waits for the next change.
const MOST_ROUNDS: usize = 1000;

/// An entry that is gone without a mark.
pub(super) struct Gone {
    dbi: String,
    key: Vec<u8>,
    header: Header,
    value: Vec<u8>,
}

/// What a comparison of two states found to be lost.
#[derive(Default)]
pub(super) struct Lost {
    gone: Vec<Gone>,
    bytes: usize,
    /// DBIs with keys that are none.
    damaged: BTreeSet<String>,
}

impl Lost {
    /// Takes note of a change if it is a loss, and returns whether it is one.
    pub(super) fn note(&mut self, change: &Change<'_>) -> bool {
        if !is_possible(change.dbi, change.key) {
            if change.new.is_some() {
                self.damaged.insert(change.dbi.to_owned());
            }
            return true;
        }
        if change.new.is_some() {
            return false;
        }
        // A mark that is gone was swept.
        if let Some(old) = change.old.filter(|old| !old.header.deleted)
            && self.bytes < MOST_BYTES
        {
            self.bytes += change.key.len() + old.value.len();
            self.gone.push(Gone {
                dbi: change.dbi.to_owned(),
                key: change.key.to_vec(),
                header: old.header,
                value: old.value.to_vec(),
            });
        }
        true
    }
}

/// What was written after `from`, collected from a state in which nothing is lost.
pub(super) struct Sound {
    pub(super) to: Arc<KeptReader>,
    pub(super) collected: Collected,
}

/// Collects what was written after `from`, up to the state `to` or to the newest one. What is lost is put back first, and what
/// PowerDNS put over something gets its time. `foreign`: transactions that say nothing new. A state `to` that was looked at before
/// is taken as it is. `meta` is what a delta up to a state says of itself. `mended` tells what was put back, also if it fails later
/// on.
///
/// # Errors
/// Those of LMDB and of the temporary file.
pub(super) fn collect_sound(
    env: &Arc<Environment>,
    from: &Synced,
    to: Option<Arc<KeptReader>>,
    mut foreign: BTreeSet<u64>,
    mut ahead: Ahead,
    meta: impl Fn(&KeptReader) -> Meta,
    mended: &mut Mended,
) -> Result<Sound, TransferError> {
    if from.reader.is_none() {
        mended.settled.extend(settle_all(env, &ahead)?);
        ahead.has_settled(&mended.settled);
    }
    // A later state has merged entries that may have been replaced.
    let start = from.reader.as_ref().map(|reader| reader.txn_id());
    if let Some(kept) = ahead.kept.clone().filter(|kept| Some(kept.txn_id()) > start) {
        mended.settled.extend(settle_since(env, &ahead, &kept)?.1);
        ahead.has_settled(&mended.settled);
    }
    let known = to.is_some();
    let mut to = match to {
        Some(to) => to,
        None => Arc::new(newest_state(env)?),
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
                Ok(collected) => {
                    for dbi in &collected.lost.damaged {
                        mend::rewrite(env, dbi, from.reader.as_deref(), &ahead, mended)?;
                    }
                    mend::put_back(env, &collected.lost.gone, &ahead, mended)?;
                }
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
                let Settled { txn_ids, stay } = settle(env, &ahead, &collected.later)?;
                let is_settled = known || settled || txn_ids.is_empty();
                ahead.has_settled(&txn_ids);
                mended.settled.extend(txn_ids);
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
        to = Arc::new(newest_state(env)?);
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
                collected.lost.note(&change);
            }
            Ok(())
        })
    })?;
    Ok(collected)
}

#[cfg(test)]
mod tests;
