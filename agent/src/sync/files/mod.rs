//! Small files beside a database, and which database they belong to.

pub(super) mod held_deletions;
pub(super) mod in_sync;
pub(super) mod refill_note;

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::lmdb::Environment;

/// A file that another one is not, even if it has its name and its number.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(in crate::sync) struct FileId {
    device: u64,
    inode: u64,
    /// When it was made, ns since the epoch; `None` where the file system does not say.
    born: Option<u64>,
}

impl FileId {
    /// The file of a database.
    pub(in crate::sync) fn of(env: &Environment) -> io::Result<Self> {
        let path = env.path();
        let data = if path.is_dir() {
            path.join("data.mdb")
        } else {
            path.to_owned()
        };
        Self::of_file(&data)
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let born = metadata.created().ok();
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born.and_then(|born| u64::try_from(born.as_nanos()).ok()),
        })
    }

    /// The same, wherever its volume is attached now: the number of a device is another one after a reboot, or on another node.
    pub(in crate::sync) fn is_elsewhere(&self, other: &Self) -> bool {
        (self.inode, self.born) == (other.inode, other.born)
    }
}

/// The file beside a database that has this name.
pub(in crate::sync) fn path_of(env: &Environment, name: &str) -> PathBuf {
    let path = env.path();
    if path.is_dir() {
        path.join(name)
    } else {
        let mut file = path.as_os_str().to_owned();
        file.push(".");
        file.push(name);
        file.into()
    }
}

/// Puts a new file in the place of an old one: there is always one of the two.
pub(in crate::sync) fn replace(env: &Environment, path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(env.folder())?;
    // At once: the writer would pass on each token by itself.
    file.write_all(&serde_json::to_vec(content)?)?;
    file.persist(path)?;
    Ok(())
}
