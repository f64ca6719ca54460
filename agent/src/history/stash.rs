//! Temporary files of those who read history. They may be beside the database, so they leave room for it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use tempfile::{SpooledTempFile, TempDir};

use super::HistoryError;
use crate::store::spool;

/// What must stay free of a volume: this part of it, or so many bytes if that is less.
const FREE: (u64, u64) = (10, 1 << 30);
/// How directories of these files begin; the ID of their process follows.
const PREFIX: &str = ".zonetide-past-";

/// Where an object lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: u64,
    len: u64,
}

/// Objects that were fetched, in one file: there may be thousands.
pub(super) struct Stash {
    file: File,
    folder: PathBuf,
}

impl Stash {
    /// An empty one, whose file is in `folder` and has no name.
    pub(super) fn new(folder: &Path) -> Result<Self, HistoryError> {
        Ok(Self {
            file: tempfile::tempfile_in(folder).map_err(HistoryError::Stash)?,
            folder: folder.to_owned(),
        })
    }

    pub(super) fn put(&mut self, object: SpooledTempFile) -> Result<Place, HistoryError> {
        leave_room(&self.folder)?;
        self.append(object).map_err(HistoryError::Stash)
    }

    fn append(&mut self, mut object: SpooledTempFile) -> io::Result<Place> {
        let at = self.file.seek(SeekFrom::End(0))?;
        object.rewind()?;
        let len = io::copy(&mut object, &mut self.file)?;
        Ok(Place { at, len })
    }

    pub(super) fn get(&mut self, place: Place) -> io::Result<SpooledTempFile> {
        self.file.seek(SeekFrom::Start(place.at))?;
        let mut object = spool(&self.folder);
        io::copy(&mut (&self.file).take(place.len), &mut object)?;
        object.rewind()?;
        Ok(object)
    }
}

/// # Errors
/// That the volume is nearly full.
pub(crate) fn leave_room(folder: &Path) -> Result<(), HistoryError> {
    let fail = |error: nix::Error| HistoryError::Stash(error.into());
    let volume = statvfs(folder).map_err(fail)?;
    let free = (volume.blocks() / FREE.0).min(FREE.1 / volume.fragment_size().max(1));
    if volume.blocks_available() < free {
        return Err(HistoryError::NoRoom(folder.to_owned()));
    }
    Ok(())
}

/// A directory for a temporary database. Those of processes that were killed are removed.
pub(crate) fn directory(folder: &Path) -> io::Result<TempDir> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(folder)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn objects_come_back_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut stash = Stash::new(dir.path()).unwrap();
        let places: Vec<_> = [&b"one"[..], b"", b"three"]
            .into_iter()
            .map(|content| {
                let mut object = spool(dir.path());
                object.write_all(content).unwrap();
                stash.append(object).unwrap()
            })
            .collect();
        let mut read = |place| {
            let mut content = String::new();
            stash.get(place).unwrap().read_to_string(&mut content).unwrap();
            content
        };
        assert_eq!(read(places[2]), "three");
        assert_eq!(read(places[0]), "one");
        assert_eq!(read(places[1]), "");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let dir = tempfile::tempdir().unwrap();
        // No process has an ID above the kernel's limit.
        let dead = dir.path().join(format!("{PREFIX}4194305-x"));
        std::fs::create_dir(&dead).unwrap();
        let own = directory(dir.path()).unwrap();
        assert!(!dead.exists());
        let second = directory(dir.path()).unwrap();
        assert!(own.path().exists() && second.path().exists());
    }
}
