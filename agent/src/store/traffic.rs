//! How much of an object has been carried, for those who watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of content bytes, both ways; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<AtomicU64>);

impl Traffic {
    pub(super) fn carried(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes carried since the store was opened. A part that is sent again counts again.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
