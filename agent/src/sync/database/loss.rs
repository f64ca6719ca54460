//! What a comparison of two states finds to be lost. [`super::lost`] puts it back.

use std::collections::BTreeSet;

use crate::content::is_possible;
use crate::lmdb::header::Header;
use crate::lmdb::{Change, Version};
use crate::merge::replaces;
use crate::snapshot::Entry;

/// Most bytes of lost entries that are put back at once; what is beyond comes in the next round.
const MOST_BYTES: usize = 4 << 20;

/// An entry that is gone without a mark.
pub(in crate::sync) struct Gone {
    pub(in crate::sync) dbi: String,
    pub(in crate::sync) key: Vec<u8>,
    pub(in crate::sync) header: Header,
    pub(in crate::sync) value: Vec<u8>,
    /// The merge that has put an older version where it was.
    pub(in crate::sync) under: Option<u64>,
}

/// What a comparison of two states found to be lost.
#[derive(Default)]
pub(in crate::sync) struct Lost {
    pub(in crate::sync) gone: Vec<Gone>,
    bytes: usize,
    /// DBIs with keys that are none.
    pub(in crate::sync) damaged: BTreeSet<String>,
}

impl Lost {
    /// Takes note of a change if it is a loss, and returns whether it is one. `merged`: a merge has put what is there now.
    pub(in crate::sync) fn note(&mut self, change: &Change<'_>, merged: bool) -> bool {
        if !is_possible(change.dbi, change.key) {
            if change.new.is_some() {
                self.damaged.insert(change.dbi.to_owned());
            }
            return true;
        }
        let under = match (change.new, change.old) {
            (None, _) => None,
            // A merge puts nothing over what it would lose against: that was gone before.
            (Some(new), Some(old)) if merged && is_older(&new, &old) => Some(new.header.txn_id),
            _ => return false,
        };
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
                under,
            });
        }
        true
    }
}

/// It says something else and loses against the other one, which is live.
fn is_older(new: &Version<'_>, old: &Version<'_>) -> bool {
    let says_the_same = (new.header.deleted, new.value) == (old.header.deleted, old.value);
    !old.header.deleted && !says_the_same && replaces(&entry(old), &entry(new))
}

fn entry<'v>(version: &Version<'v>) -> Entry<'v> {
    Entry {
        key: &[],
        value: if version.header.deleted {
            &[]
        } else {
            version.value
        },
        timestamp: version.header.timestamp,
        deleted: version.header.deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(old_is_a_mark: bool) -> Lost {
        let header = Header {
            timestamp: 1,
            txn_id: 1,
            deleted: old_is_a_mark,
        };
        let old = Some(Version { header, value: b"" });
        let mut lost = Lost::default();
        let change = Change {
            dbi: "records",
            key: b"key",
            old,
            new: None,
        };
        assert!(lost.note(&change, false));
        lost
    }

    #[test]
    fn a_mark_that_was_swept_is_no_loss_and_a_live_entry_that_is_gone_is_one() {
        assert!(note(true).gone.is_empty());
        assert_eq!(note(false).gone.len(), 1);
    }
}
