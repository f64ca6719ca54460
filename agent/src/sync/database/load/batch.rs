//! What one transaction of a merge writes.

use crate::snapshot::Entry;

/// Most entries and bytes that are written in one transaction: a few milliseconds of the write lock. What fits is seen
/// by readers all at once.
const BATCH_ENTRIES: usize = 10_000;
const BATCH_BYTES: usize = 2 << 20;

/// Entries that won, out of the snapshot's buffers and in few allocations.
#[derive(Default)]
pub(super) struct Batch {
    dbis: Vec<String>,
    items: Vec<Item>,
    bytes: Vec<u8>,
    /// The number of the object that entries come from.
    object: usize,
}

struct Item {
    object: usize,
    dbi: usize,
    key: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
    timestamp: u64,
    deleted: bool,
}

impl Batch {
    /// What comes from now on is of the object of this number.
    pub(super) fn begin_object(&mut self, object: usize) {
        self.object = object;
    }

    pub(super) fn push(&mut self, dbi: &str, entry: &Entry<'_>) {
        // Entries come DBI by DBI.
        if self.dbis.last().is_none_or(|last| last != dbi) {
            self.dbis.push(dbi.to_owned());
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(entry.value);
        self.items.push(Item {
            object: self.object,
            dbi: self.dbis.len() - 1,
            key: start..middle,
            value: middle..self.bytes.len(),
            timestamp: entry.timestamp,
            deleted: entry.deleted,
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= BATCH_ENTRIES || self.bytes.len() >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn has(&self, dbi: &str) -> bool {
        self.dbis.iter().any(|name| name == dbi)
    }

    /// With the numbers of the objects that they are of.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &str, Entry<'_>)> {
        self.items.iter().map(|item| {
            let entry = Entry {
                key: &self.bytes[item.key.clone()],
                value: &self.bytes[item.value.clone()],
                timestamp: item.timestamp,
                deleted: item.deleted,
            };
            (item.object, self.dbis[item.dbi].as_str(), entry)
        })
    }

    pub(super) fn last(&self) -> Option<(&str, Entry<'_>)> {
        self.iter().next_back().map(|(_, dbi, entry)| (dbi, entry))
    }

    /// The same without its entries, so that its memory is used again.
    pub(super) fn emptied(mut self) -> Self {
        self.dbis.clear();
        self.items.clear();
        self.bytes.clear();
        self
    }
}
