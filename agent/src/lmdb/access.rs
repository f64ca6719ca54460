//! What LMDB itself does not look at before it maps a file: room for the lock file, and who may use which file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, fallocate};
use nix::unistd::{AccessFlags, faccessat};

use super::{LmdbErrorKind, MAX_READERS};

/// A lock file: two cache lines of its own, and one for each reader.
const LOCK_LEN: i64 = 64 * (2 + MAX_READERS as i64);

/// The data file and the lock file of a database.
pub(super) fn files(path: &Path, no_subdir: bool) -> [PathBuf; 2] {
    if no_subdir {
        let mut lock = path.as_os_str().to_owned();
        lock.push("-lock");
        [path.to_owned(), lock.into()]
    } else {
        [path.join("data.mdb"), path.join("lock.mdb")]
    }
}

/// Takes room on the disk for the lock file of a database that exists. LMDB maps it without, and where the disk is full
/// the first touch of it ends the process, be it this one or PowerDNS. Its length stays as it is.
pub(super) fn reserve_lock([data, lock]: &[PathBuf; 2]) -> Result<(), LmdbErrorKind> {
    let data = match std::fs::metadata(data) {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(data.permissions().mode() & 0o777)
        .open(lock)?;
    reserve(&lock)
}

fn reserve(file: &File) -> Result<(), LmdbErrorKind> {
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, LOCK_LEN) {
        // Some file systems cannot; on them all is as LMDB has it.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Which of a database's files or folders this process may not use, and whose it is: ` (… )` or nothing.
pub(super) fn explain_denial(files: &[PathBuf; 2]) -> String {
    let mut folders: Vec<_> = files[0]
        .ancestors()
        .skip(1)
        .map(|folder| (folder, AccessFlags::X_OK))
        .collect();
    folders.reverse();
    if let Some((_, access)) = folders
        .last_mut()
        .filter(|_| files.iter().any(|file| !file.exists()))
    {
        *access |= AccessFlags::W_OK;
    }
    let files = files
        .iter()
        .map(|file| (file.as_path(), AccessFlags::R_OK | AccessFlags::W_OK));
    for (path, access) in folders.into_iter().chain(files) {
        if faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS) == Err(Errno::EACCES) {
            let owner = std::fs::metadata(path)
                .map(|found| owner(&found))
                .unwrap_or_default();
            return format!(" ({}{owner})", path.display());
        }
    }
    String::new()
}

fn owner(found: &Metadata) -> String {
    let rights = found.mode() & 0o7777;
    let (user, group) = (found.uid(), found.gid());
    // The owner of /proc/self is the user that the process runs as.
    let own = std::fs::metadata("/proc/self").map(|own| format!("; this process is user {}", own.uid()));
    format!(
        " is of user {user}, group {group}, rights 0{rights:o}{}",
        own.unwrap_or_default()
    )
}
