//! By what an agent serves, or what it waits for.

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

/// Where it is reported to by whoever decides it. Nothing here waits or fails.
pub trait ReportServing: Send + Sync {
    /// It serves from now on, ns since the epoch. A basis is never followed by a weaker one. True if that is news.
    fn serve(&self, basis: Basis, now: u64) -> bool;

    /// It does not serve yet, and why, for people. True if that is news.
    fn wait(&self, why: String) -> bool;

    /// After each look: when all databases were last known to be in sync, with the bucket or with peers, ns since the epoch;
    /// `None`: that is not known of one of them.
    fn in_sync(&self, when: Option<u64>);

    /// By what it serves, as reported last; `None`: it does not yet.
    fn basis(&self) -> Option<Basis>;
}
