//! Why history cannot be written or read.

use crate::lmdb::LmdbError;
use crate::snapshot::{DecodeError, EncodeError, NameError, SegmentName};
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot put history together: {0}")]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0} is damaged: {1}")]
    Damaged(SegmentName, #[source] DecodeError),
    #[error("cannot name an object of history: {0}")]
    Name(#[from] NameError),
    #[error("cannot keep what was fetched: {0}; is there room for temporary files?")]
    Stash(#[source] std::io::Error),
    #[error(
        "the volume of {} is nearly full, and what is fetched for this needs room: ask for a shorter time, or set TMPDIR to a directory with room",
        .0.display()
    )]
    NoRoom(std::path::PathBuf),
    #[error("cannot make a state in a temporary database: {0}")]
    Lmdb(#[from] LmdbError),
    #[error("agents put objects away faster than they can be fetched: try again")]
    Moving,
    #[error("{0} failed unexpectedly")]
    Crashed(&'static str),
    #[error(
        "there is no history of {0:?} in the store: agents keep it from the time on when they are run with history.keep above 0"
    )]
    None(String),
}

impl From<std::io::Error> for HistoryError {
    fn from(error: std::io::Error) -> Self {
        Self::Encode(EncodeError::Io(error))
    }
}
