//! Whether another process has the file open.
//!
//! Every process that has an LMDB file open holds a shared lock on the first byte of its lock file. Asking for an exclusive
//! one, without taking it, tells whether somebody else does. Locks of files belong to a process, and closing any
//! descriptor of the file would give up LMDB's own, so the question goes through LMDB's descriptor.

use std::os::fd::{BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Environment;

impl Environment {
    /// True when no other process has the file open. One may open it a moment later; that it cannot be known counts as
    /// not alone.
    pub fn is_alone(&self) -> bool {
        let Some(descriptor) = descriptor_of(&self.lock_file()) else {
            return false;
        };
        // SAFETY: the descriptor is LMDB's own, which is open as long as the environment that `self` has.
        #[allow(unsafe_code)]
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let mut lock = libc::flock {
            l_type: kind(libc::F_WRLCK),
            l_whence: kind(libc::SEEK_SET),
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(descriptor, FcntlArg::F_GETLK(&mut lock)).is_ok() && lock.l_type == kind(libc::F_UNLCK)
    }

    fn lock_file(&self) -> PathBuf {
        if self.path.is_dir() {
            return self.path.join("lock.mdb");
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push("-lock");
        name.into()
    }
}

/// The constants are wider than the fields that take them.
fn kind(constant: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(constant).unwrap_or_default()
}

/// A descriptor of this process for a file.
fn descriptor_of(file: &Path) -> Option<RawFd> {
    let file = file.canonicalize().ok()?;
    let descriptors = std::fs::read_dir("/proc/self/fd").ok()?;
    descriptors
        .filter_map(Result::ok)
        .find(|descriptor| std::fs::read_link(descriptor.path()).is_ok_and(|target| target == file))
        .and_then(|descriptor| descriptor.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use crate::lmdb::{Environment, OpenOptions};

    #[test]
    fn a_process_is_alone_with_what_it_opened_and_asking_gives_no_lock_up() {
        let dir = tempfile::tempdir().unwrap();
        for no_subdir in [true, false] {
            let options = OpenOptions {
                map_size: 1 << 20,
                max_dbs: 4,
                create: true,
                no_subdir,
            };
            let path = dir.path().join(format!("database-{no_subdir}"));
            let env = Environment::open(&path, &options).unwrap();
            assert!(env.is_alone());
            let inode = std::os::unix::fs::MetadataExt::ino(&env.lock_file().metadata().unwrap());
            let is_held = || {
                let locks = std::fs::read_to_string("/proc/locks").unwrap();
                locks.lines().any(|lock| lock.contains(&format!(":{inode} ")))
            };
            // The kernel gives the list in pieces, and misses locks in it while others come and go.
            assert!((0..100).any(|_| is_held()), "no lock of inode {inode}");
        }
    }
}
