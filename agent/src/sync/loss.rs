//! What a comparison of two states finds to be lost. [`super::lost`] puts it back.

use std::collections::BTreeSet;

use crate::lmdb::Change;
use crate::lmdb::header::Header;
use crate::powerdns::is_possible;

/// Most bytes of lost entries that are put back at once; what is beyond comes in the next round.
const MOST_BYTES: usize = 4 << 20;

/// An entry that is gone without a mark.
pub(super) struct Gone {
    pub(super) dbi: String,
    pub(super) key: Vec<u8>,
    pub(super) header: Header,
    pub(super) value: Vec<u8>,
}

/// What a comparison of two states found to be lost.
#[derive(Default)]
pub(super) struct Lost {
    pub(super) gone: Vec<Gone>,
    bytes: usize,
    /// DBIs with keys that are none.
    pub(super) damaged: BTreeSet<String>,
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
