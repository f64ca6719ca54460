//! Making LMDB's files with the configured rights. heed would make them with 0600, whatever is wanted.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::access::files;
use super::{LmdbError, LmdbErrorKind};

/// Makes the files of a database that does not exist: empty ones, which LMDB takes for new. Existing ones keep their
/// rights.
///
/// # Errors
/// Those of the file system, with the path.
pub fn create_files(path: &Path, no_subdir: bool, dir_mode: u32, file_mode: u32) -> Result<(), LmdbError> {
    let files = files(path, no_subdir);
    let folder = if no_subdir { path.parent() } else { Some(path) };
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(dir_mode).create(folder);
        made.map_err(|error| fail(error, folder, &files))?;
    }
    for file in &files {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(file_mode)
            .open(file);
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(fail(error, file, &files)),
            _ => {}
        }
    }
    Ok(())
}

fn fail(error: Error, path: &Path, files: &[PathBuf; 2]) -> LmdbError {
    match LmdbErrorKind::of(error, files) {
        // There is nothing to wait for: a folder above it can never be made.
        LmdbErrorKind::Missing => LmdbErrorKind::NoFolder,
        kind => kind,
    }
    .at(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::lmdb::{Environment, LmdbError, OpenOptions};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_files_have_the_configured_rights_and_are_a_database() {
        for no_subdir in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("deep/pdns.lmdb");
            for _ in 0..2 {
                create_files(&path, no_subdir, 0o700, 0o600).unwrap();
            }
            assert_eq!(mode(path.parent().unwrap()), 0o700);
            for file in files(&path, no_subdir) {
                assert_eq!(mode(&file), 0o600, "{}", file.display());
            }
            let options = OpenOptions {
                map_size: 1 << 20,
                max_dbs: 4,
                create: true,
                no_subdir,
            };
            let env = Environment::open(&path, &options).unwrap();
            env.write(|writer| {
                let dbi = writer.dbi("records")?;
                writer.put(&dbi, b"key", 1, false, b"value")?;
                Ok::<(), LmdbError>(())
            })
            .unwrap();
            assert_eq!(env.last_txn_id(), 1);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = create_files(Path::new("/proc/nowhere/pdns.lmdb"), true, 0o700, 0o600).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere"), "{error}");
    }
}
