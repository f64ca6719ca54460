//! What can go wrong with an LMDB file, with the remedy.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use heed::MdbError;

use super::header::HeaderError;

/// An error of one LMDB file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct LmdbError {
    /// The file.
    pub path: PathBuf,
    #[source]
    pub kind: LmdbErrorKind,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum LmdbErrorKind {
    #[error("the file does not exist: start PowerDNS first, or set options.create")]
    Missing,
    #[error(
        "linked with LMDB {0}, but PowerDNS uses 0.9, whose lock file is another: build against liblmdb 0.9"
    )]
    Library(String),
    #[error(
        "its lock file was made by another version of LMDB: end the program that has the file open, \
         or remove the -lock file when none has"
    )]
    LockVersion,
    #[error(
        "the memory map is full: raise lmdb-map-size of PowerDNS and options.map_size of the agent, \
         both to the same size, and restart both"
    )]
    MapFull,
    #[error(
        "another process made the memory map larger: options.map_size must equal lmdb-map-size of PowerDNS"
    )]
    MapResized,
    #[error("all reader slots are taken: start the agent before PowerDNS, it makes a table of 1024")]
    ReadersFull,
    #[error("there are more DBIs than options.max_dbs allows: raise it")]
    DbsFull,
    #[error(
        "permission denied: the agent and PowerDNS must run as the same user, and the volume be writable"
    )]
    Permission,
    #[error("the disk is full: make room, nothing was changed")]
    DiskFull,
    #[error("the file is damaged ({0}): move it away, and it is loaded again from the bucket")]
    Damaged(MdbError),
    #[error("DBI {dbi:?}, key {key}: {error}; was the database written by PowerDNS 4.8 or later?")]
    Header {
        dbi: String,
        key: String,
        error: HeaderError,
    },
    #[error("DBI {dbi:?} has LMDB flags {flags:#x}, which native databases never have")]
    DbiFlags { dbi: String, flags: u16 },
    #[error("{0}")]
    Other(heed::Error),
}

impl LmdbErrorKind {
    pub(super) fn at(self, path: &Path) -> LmdbError {
        LmdbError {
            path: path.to_owned(),
            kind: self,
        }
    }
}

impl From<heed::Error> for LmdbErrorKind {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(MdbError::VersionMismatch) => Self::LockVersion,
            heed::Error::Mdb(MdbError::MapFull) => Self::MapFull,
            heed::Error::Mdb(MdbError::MapResized) => Self::MapResized,
            heed::Error::Mdb(MdbError::ReadersFull) => Self::ReadersFull,
            heed::Error::Mdb(MdbError::DbsFull) => Self::DbsFull,
            heed::Error::Mdb(
                error @ (MdbError::PageNotFound | MdbError::Corrupted | MdbError::Panic | MdbError::Invalid),
            ) => Self::Damaged(error),
            heed::Error::Io(error) => match error.kind() {
                ErrorKind::NotFound => Self::Missing,
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Permission,
                ErrorKind::StorageFull => Self::DiskFull,
                _ => Self::Other(heed::Error::Io(error)),
            },
            error => Self::Other(error),
        }
    }
}

/// A key as an error message shows it: hex, and not more than a line of it.
pub(super) fn show_key(key: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in key.iter().take(48) {
        let _ = write!(text, "{byte:02x}");
    }
    if key.len() > 48 {
        text.push('…');
    }
    text
}
