//! That a database is being compared with all others, in a small file beside it: a restart goes on with that.

use serde::{Deserialize, Serialize};

use super::{FileId, path_of, replace};
use crate::lmdb::Environment;

const NAME: &str = "zonetide-refill.json";
/// The layout of the file; another one is not read.
const VERSION: u32 = 1;

/// What is known of a database that was away for too long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::sync) struct Refill {
    /// The transaction up to which the store had everything that was written here.
    pub(in crate::sync) checkpoint: u64,
    /// The last transaction when it came back.
    pub(in crate::sync) newest: u64,
    /// When it was last in sync, ns since the epoch; 0: a version that did not write it down.
    #[serde(default)]
    pub(in crate::sync) in_sync: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    file: FileId,
    refill: Refill,
}

/// What was under way when the agent ended, if that is told of this database.
pub(in crate::sync) fn read(env: &Environment) -> Option<Refill> {
    let text = std::fs::read(path_of(env, NAME)).ok()?;
    let note: Note = serde_json::from_slice(&text).ok()?;
    let file = FileId::of(env).ok()?;
    let fits = note.version == VERSION && note.file.is_elsewhere(&file);
    (fits && note.refill.newest <= env.last_txn_id()).then_some(note.refill)
}

/// Writes down that it is under way, or over.
pub(in crate::sync) fn write(env: &Environment, refill: Option<Refill>) {
    let path = path_of(env, NAME);
    let written = match refill {
        Some(refill) => FileId::of(env).and_then(|file| {
            let version = VERSION;
            replace(
                env,
                &path,
                &Note {
                    version,
                    file,
                    refill,
                },
            )
        }),
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "cannot write down that the database is compared with all others");
    }
}
