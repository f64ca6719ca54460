//! What serving needs of the other agents; how they are reached is another layer's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tempfile::SpooledTempFile;

use crate::report::Basis;
use crate::sync::known::sums::{Digest, Parts, Wanted};
use crate::sync::known::word::Word;

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Says {
    /// By what it serves, if it does.
    pub basis: Option<Basis>,
    /// It gives its databases to others. Not so one that only receives: what was written there stays there.
    pub gives: bool,
    pub databases: BTreeMap<String, Word>,
}

/// Another server that answered.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// As object names show it.
    pub instance: String,
    /// Another one than before means that it has started again.
    pub boot: String,
    pub address: String,
    pub says: Says,
}

/// Why a database could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// It is giving to somebody else.
    Busy,
    Failed(String),
}

/// What a server asks another one about a database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The digest of whoever asks: what is that of the other one?
    Digest(Digest),
    /// The sums of the parts of some DBIs.
    Parts(Wanted),
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Digest(Digest),
    Parts(Parts),
}

/// The other servers of the cluster.
#[async_trait]
pub trait Neighbours: Send + Sync {
    /// Asks all at a time, in seconds. Who does not answer is not among them.
    async fn ask(&self) -> Vec<Neighbour>;
    /// Has one of them hand a database over, of at most `most` bytes, with what it has at least.
    async fn take(
        &self,
        from: &Neighbour,
        database: &str,
        into: SpooledTempFile,
        most: u64,
    ) -> Result<(Word, SpooledTempFile), NotTaken>;
    /// Those that answer and may be asked, as object names show them, with their addresses.
    fn reached(&self) -> BTreeMap<String, String>;
    /// Asks the one at an address about a database; `None`: it has no answer now, or is too old to know the question.
    async fn question(&self, address: &str, database: &str, question: &Question) -> Option<Reply>;
    /// Has it give some entries of a database, at most `most` bytes.
    async fn entries(
        &self,
        address: &str,
        database: &str,
        wanted: &Wanted,
        into: SpooledTempFile,
        most: u64,
    ) -> Result<SpooledTempFile, NotTaken>;
}
