//! By what an agent serves.

use serde::Serialize;

/// By what a server is up to date enough to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Nobody answers who is up to date. It has been in sync not long ago, or all within reach who are not up to date either gave
    /// what they had.
    OwnData,
    /// A peer that is up to date has nothing that it lacks.
    Peers,
    /// All that the bucket had at the start is merged.
    Bucket,
}

impl Basis {
    pub const ALL: [Self; 3] = [Self::Bucket, Self::Peers, Self::OwnData];

    /// As the metric has it, and `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Peers => "peers",
            Self::OwnData => "own-data",
        }
    }
}
