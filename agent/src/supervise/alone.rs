//! Never two agents on one database, also when a supervisor was killed and its agent takes a while to die.
//!
//! An agent holds a lock on the directory of PowerDNS' control socket, of which each PowerDNS has its own: as its standard
//! input, so that the lock lasts as long as the agent and whatever it starts, whoever else ends. Locking a directory takes no
//! room on a disk.

use std::fs::{File, TryLockError};
use std::path::Path;

/// What an agent gets with the lock.
pub(super) enum Lock {
    /// It is the only one.
    Held(File),
    /// Another one has it.
    Taken,
    /// There is nothing to lock.
    None(std::io::Error),
}

/// Tries to lock a directory.
pub(super) fn lock(directory: &Path) -> Lock {
    let file = match File::open(directory) {
        Ok(file) => file,
        Err(error) => return Lock::None(error),
    };
    match file.try_lock() {
        Ok(()) => Lock::Held(file),
        Err(TryLockError::WouldBlock) => Lock::Taken,
        Err(TryLockError::Error(error)) => Lock::None(error),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_lock_lasts_as_long_as_the_process_that_has_it_as_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let Lock::Held(file) = lock(dir.path()) else {
            panic!("nobody has it")
        };
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::from(file))
            .spawn()
            .unwrap();
        assert!(matches!(lock(dir.path()), Lock::Taken));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(lock(dir.path()), Lock::Held(_)));
        assert!(matches!(lock(&dir.path().join("gone")), Lock::None(_)));
    }
}
