//! How much a replica keeps, and where it changes its ways: numbers that tests make small.

use std::time::Duration;

use crate::sync::peer::MOST_TOLD;

/// See the fields.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Transactions after which a state is not kept any more for the comparison: LMDB cannot use its pages again, so the file
    /// grows by some pages with each of them.
    pub kept: u64,
    /// Small deltas before one that reaches back over all of them.
    pub stride: u32,
    /// Deltas since the last snapshot may become half of its size, or this many bytes if that is more.
    pub least: u64,
    /// The same as a number of deltas: a reader without any state lists them all.
    pub deltas: u64,
    /// Transactions of foreign changes that are remembered; what an older one wrote is only stored once more, as it is.
    pub foreign: usize,
    /// Longest object that peers are told of, bytes.
    pub told: u64,
    /// After this time a merge lets others have their turn.
    pub turn: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kept: 1000,
            stride: 32,
            least: 64 << 10,
            deltas: 4096,
            foreign: 100_000,
            told: MOST_TOLD,
            turn: Duration::from_millis(20),
        }
    }
}
