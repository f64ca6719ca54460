//! What `restore -o json` prints: a JSON object a line, with one of these as its only field.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// Something is missing in the history.
    Note(String),
    /// A line of the difference, as people read it.
    Change(String),
    /// That was all of it. What comes next is written, unless it is only to be shown.
    Plan(Plan),
    /// It has ended.
    Result(Done),
    /// It could not be done.
    Failed(Failure),
}

/// How much is to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Zones of which something changes.
    pub zones: u64,
    /// RRsets that change, come or go.
    pub rrsets: u64,
    /// Entries of the databases, with keys, metadata and indexes.
    pub entries: u64,
}

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    pub written: u64,
    /// Entries that somebody else wrote meanwhile, and that stay.
    pub left: u64,
}

/// Why it could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub reason: Reason,
    pub message: String,
}

/// What programs go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The time is yet to come.
    NotPast,
    /// There is no such zone and there was none then.
    UnknownZone,
    /// The history begins later.
    BeforeHistory,
    /// There is no history.
    NoHistory,
    /// Something is missing in it.
    Gaps,
    /// The store does not answer, or not as it should.
    Store,
    /// It took longer than it may.
    Slow,
    /// Nobody asked for it any more before anything was written.
    Abandoned,
    /// The command ended without saying why.
    Ended,
    /// Anything else.
    Other,
}
