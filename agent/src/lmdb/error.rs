//! What can go wrong with an LMDB file, with the remedy.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use heed::MdbError;

use super::access::explain_denial;
use super::header::HeaderError;

/// An error of one LMDB file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct LmdbError {
    /// The file.
    pub path: PathBuf,
    pub kind: LmdbErrorKind,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum LmdbErrorKind {
    #[error("the file does not exist: start PowerDNS first, or set options.create")]
    Missing,
    #[error("cannot be made: there is no such folder")]
    NoFolder,
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
        "another process made the memory map larger: set options.map_size to PowerDNS' lmdb-map-size, and restart the \
         agent"
    )]
    MapResized,
    #[error(
        "all reader slots are taken: start the agent before PowerDNS, it makes a table of {}",
        super::MAX_READERS
    )]
    ReadersFull,
    #[error("there are more DBIs than options.max_dbs allows: raise it")]
    DbsFull,
    /// With what stands in the way, as far as that could be found out.
    #[error(
        "permission denied{0}: the agent and PowerDNS must run as the same user, and it must own the files"
    )]
    Permission(String),
    #[error("the volume is read-only: mount it writable, LMDB writes its lock file even to read")]
    ReadOnly,
    #[error("the disk is full: make room, nothing was changed")]
    DiskFull,
    #[error("the file may not grow any more: raise the limit of file sizes (ulimit -f), nothing was changed")]
    FileLimit,
    /// LMDB also says this of a write that was cut short.
    #[error(
        "input/output error: the disk is full, or the limit of file sizes (ulimit -f) is reached, or the disk fails; \
         nothing was changed"
    )]
    Io,
    #[error("an earlier write of the file's head failed, and LMDB wants it opened again: restart the agent")]
    Broken,
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
    #[error(
        "the keys of DBI {dbi:?} are not in order, so that PowerDNS does not find what it has there: it is written anew"
    )]
    Disorder { dbi: String },
    #[error("page {pgno} is not as LMDB 0.9 writes it ({what}): a full read of the database does without it")]
    Page { pgno: u64, what: &'static str },
    #[error("{0}")]
    Other(heed::Error),
}

impl LmdbErrorKind {
    /// Somebody may put it right while the agent waits. Of the rest, only another start or another program is the cure.
    pub fn can_pass(&self) -> bool {
        !matches!(self, Self::Library(_) | Self::Broken | Self::DbsFull) && !self.is_second_opening()
    }

    fn is_second_opening(&self) -> bool {
        matches!(self, Self::Other(heed::Error::EnvAlreadyOpened))
    }

    /// An error of the file system, with more words about rights.
    pub(super) fn of(error: impl Into<Self>, files: &[PathBuf; 2]) -> Self {
        match error.into() {
            Self::Permission(_) => Self::Permission(explain_denial(files)),
            kind => kind,
        }
    }

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
            heed::Error::Mdb(error @ (MdbError::PageNotFound | MdbError::Corrupted | MdbError::Invalid)) => {
                Self::Damaged(error)
            }
            heed::Error::Mdb(MdbError::Panic) => Self::Broken,
            heed::Error::Io(error) => error.into(),
            error => Self::Other(error),
        }
    }
}

impl From<std::io::Error> for LmdbErrorKind {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Permission(String::new()),
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
            ErrorKind::FileTooLarge => Self::FileLimit,
            _ if error.raw_os_error() == Some(nix::libc::EIO) => Self::Io,
            _ => Self::Other(heed::Error::Io(error)),
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
