//! What a replica knows is kept in a small file beside the database, so that a restart need not compare everything again.
//!
//! The file is safe to lose, and says nothing when it does not belong to this database or to this store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::collect::Synced;
use super::replica::Replica;
use super::state::State;
use crate::lmdb::Environment;

/// The layout of the file; another one is not read.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Memory {
    version: u32,
    instance: String,
    /// Where the objects are, without secrets.
    store: String,
    /// Which file the database is: a new one knows nothing of what is told here.
    file: FileId,
    /// The transaction up to which the store has everything, and the state that it stands for.
    txn: u64,
    time: u64,
    /// By instance, the state up to which everything is merged.
    have: BTreeMap<String, u64>,
    /// By instance, the states that a peer told of and that the store may lack.
    #[serde(default)]
    heard: BTreeMap<String, BTreeSet<u64>>,
    /// By instance, the newest snapshot that was read.
    read: BTreeMap<String, u64>,
    lightning_stream: BTreeSet<String>,
    /// By instance, the schema of its PowerDNS; of a main database.
    schemas: BTreeMap<String, Option<u32>>,
}

/// A file that another one is not, even if it has its name and its number.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    /// When it was made, ns since the epoch; `None` where the file system does not say.
    born: Option<u64>,
}

/// The file of a database.
fn path_of(env: &Environment) -> PathBuf {
    let path = env.path();
    if path.is_dir() {
        path.join("zonetide-state.json")
    } else {
        let mut name = path.as_os_str().to_owned();
        name.push(".zonetide-state.json");
        name.into()
    }
}

fn identity(path: &Path) -> io::Result<FileId> {
    let data = if path.is_dir() {
        path.join("data.mdb")
    } else {
        path.to_owned()
    };
    let metadata = std::fs::metadata(data)?;
    let born = metadata.created().ok();
    let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok(FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
        born: born.and_then(|born| u64::try_from(born.as_nanos()).ok()),
    })
}

impl Replica {
    /// Goes on from what the last run knew, if that is of this database and of this store. `store` says where the objects are.
    pub fn resume(&self, store: &str) {
        let path = path_of(&self.env);
        let Ok(text) = std::fs::read(&path) else { return };
        let memory: Memory = match serde_json::from_slice(&text) {
            Ok(memory) => memory,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the memory of the last run is not readable: everything is compared");
                return;
            }
        };
        let Ok(file) = identity(self.env.path()) else {
            return;
        };
        let fits = memory.version == VERSION
            && memory.instance == self.own
            && memory.store == store
            && memory.file == file
            && memory.txn <= self.env.last_txn_id()
            && memory.time != 0;
        if !fits {
            tracing::info!(path = %path.display(), "the last run's memory is of another database or store: everything is compared");
            return;
        }
        for (instance, schema) in memory.schemas {
            self.schemas.guard.judge(&instance, schema, true);
        }
        let mut state = self.state();
        state.known.have = memory.have;
        state.known.read = memory.read;
        state.heard = memory.heard;
        state.lightning_stream = memory.lightning_stream;
        state.stored = Synced {
            time: memory.time,
            txn: memory.txn,
            reader: None,
        };
        if self.peers.is_some() {
            state.told = state.stored.clone();
        }
        state.synced_txn = memory.txn;
        state.reach.restart(memory.time);
        state.resumed = true;
    }

    /// Writes down what is known now. What cannot be written is only slower to find again.
    pub fn remember(&self, store: &str) {
        let Some(memory) = self.memory(&self.state(), store) else {
            return;
        };
        let path = path_of(&self.env);
        let write = || -> io::Result<()> {
            let folder = self.env.folder();
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            // At once: the writer would pass on each token by itself.
            file.write_all(&serde_json::to_vec(&memory)?)?;
            file.persist(&path)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(path = %path.display(), %error, "cannot write down what is known");
        }
    }

    fn memory(&self, state: &State, store: &str) -> Option<Memory> {
        // The reason for a snapshot is seen again by what was known before.
        if state.stored.time == 0 || state.resumed || state.snapshot_wanted {
            return None;
        }
        let file = identity(self.env.path()).ok()?;
        Some(Memory {
            version: VERSION,
            instance: self.own.clone(),
            store: store.to_owned(),
            file,
            txn: state.stored.txn,
            time: state.stored.time,
            have: state.known.have.clone(),
            heard: state.heard.clone(),
            read: state.known.read.clone(),
            lightning_stream: state.lightning_stream.clone(),
            schemas: if self.schemas.main {
                self.schemas.guard.judged()
            } else {
                BTreeMap::new()
            },
        })
    }
}
