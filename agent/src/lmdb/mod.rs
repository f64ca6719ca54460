//! An LMDB file that PowerDNS has open at the same time, through heed on the distribution's liblmdb 0.9.
//!
//! This is the only module with unsafe code: opening a memory map whose file another process writes, and watches on
//! that file and its lock.

mod access;
mod alone;
mod create;
mod error;
pub mod header;
mod kept;
mod order;
mod raw;
mod txn;
mod usage;
mod walk;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use heed::types::Bytes;
use heed::{Database, EnvFlags, EnvInfo, EnvOpenOptions, MdbError, WithoutTls};

pub use create::create_files;
pub use error::{LmdbError, LmdbErrorKind};
pub use kept::KeptReader;
pub use txn::{Reader, Writer};
pub use usage::Usage;
pub use walk::{Change, Changes, Version, scan_since};
pub use watch::Watch;

/// Reader slots that a new lock file gets. LMDB's default of 126 is too few for PowerDNS with many threads, and
/// PowerDNS has no setting for it (its issue 13418).
pub const MAX_READERS: u32 = 1024;

/// How to open an LMDB file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Size of the memory map, bytes; must be PowerDNS' `lmdb-map-size`.
    pub map_size: usize,
    /// Most DBIs the file may have.
    pub max_dbs: u32,
    /// Make the file when it does not exist.
    pub create: bool,
    /// The path is the data file itself, as with PowerDNS, and not a directory.
    pub no_subdir: bool,
}

impl OpenOptions {
    /// One file, as PowerDNS has it, that is made where there is none. It grows with what is in it, not with the map.
    pub(crate) fn of_a_new_file(map_size: usize) -> Self {
        Self {
            map_size,
            max_dbs: 64,
            create: true,
            no_subdir: true,
        }
    }
}

/// An open LMDB file.
pub struct Environment {
    env: heed::Env<WithoutTls>,
    path: PathBuf,
    /// LMDB forbids to open DBIs in two transactions of a process at a time, so there is one at a time.
    one_at_a_time: Mutex<()>,
    /// Written while the memory map moves: what LMDB tells of itself is read from it without a transaction.
    map_moves: RwLock<()>,
}

/// A named DBI.
#[derive(Clone)]
pub struct Dbi {
    pub name: String,
    handle: Database<Bytes, Bytes>,
}

impl Environment {
    /// Opens the file, whether PowerDNS has it open already or opens it later.
    ///
    /// # Errors
    /// See [`LmdbErrorKind`]; the file is named.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, LmdbError> {
        let files = access::files(path, options.no_subdir);
        let fail = |kind: LmdbErrorKind| LmdbErrorKind::of(kind, &files).at(path);
        let version = heed::lmdb_version();
        if (version.major, version.minor) != (0, 9) {
            return Err(fail(LmdbErrorKind::Library(version.string.to_owned())));
        }
        // A path that must not be looked at is not a missing one.
        let exists = path.try_exists().map_err(|error| fail(error.into()))?;
        if !options.create && !exists {
            return Err(fail(LmdbErrorKind::Missing));
        }
        if options.create {
            let parent = if options.no_subdir {
                path.parent()
            } else {
                Some(path)
            };
            if let Some(parent) = parent {
                std::fs::create_dir_all(parent).map_err(|error| fail(error.into()))?;
            }
        }
        access::reserve_lock(&files).map_err(fail)?;
        let mut open = EnvOpenOptions::new().read_txn_without_tls();
        open.map_size(options.map_size)
            .max_dbs(options.max_dbs)
            .max_readers(MAX_READERS);
        if options.no_subdir {
            // SAFETY: the flag only says that the path is a file; the file stays under LMDB's own locks.
            #[allow(unsafe_code)]
            unsafe {
                open.flags(EnvFlags::NO_SUB_DIR);
            }
        }
        // SAFETY: every process that writes the file (PowerDNS and this one) does so through liblmdb 0.9 with its
        // lock file, so pages under a live reader never change; heed refuses a second opening in this process.
        #[allow(unsafe_code)]
        let env = unsafe { open.open(path) }.map_err(|error| fail(error.into()))?;
        Ok(Self {
            env,
            path: path.to_owned(),
            one_at_a_time: Mutex::new(()),
            map_moves: RwLock::new(()),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that the file is in: the volume with room for temporary files.
    pub fn folder(&self) -> &Path {
        if self.path.is_dir() {
            &self.path
        } else {
            self.path.parent().unwrap_or(Path::new("/"))
        }
    }

    /// The ID of the last committed transaction, 0 in a new file.
    pub fn last_txn_id(&self) -> u64 {
        self.info().last_txn_id as u64
    }

    /// Size of the reader table that all processes share.
    pub fn max_readers(&self) -> u32 {
        self.info().maximum_number_of_readers
    }

    /// Frees the reader slots of processes that died.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn clear_stale_readers(&self) -> Result<usize, LmdbError> {
        self.env
            .clear_stale_readers()
            .map_err(|error| self.fail(error.into()))
    }

    pub(crate) fn fail(&self, kind: LmdbErrorKind) -> LmdbError {
        kind.at(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction, once more where what is in its way can be put right here. `one` is the caller's lock, if it has it.
    fn begin<T>(
        &self,
        one: Option<&MutexGuard<'_, ()>>,
        begin: impl Fn() -> heed::Result<T>,
    ) -> Result<T, LmdbError> {
        let begin = || {
            let _stays = self.map_moves.read().unwrap_or_else(PoisonError::into_inner);
            begin()
        };
        let txn = match begin() {
            // Slots of readers that were killed stay taken until somebody looks.
            Err(heed::Error::Mdb(MdbError::ReadersFull)) if self.clear_stale_readers()? > 0 => begin(),
            Err(heed::Error::Mdb(MdbError::MapResized)) => {
                match one {
                    Some(one) => self.adopt_map_size(one)?,
                    None => self.adopt_map_size(&self.lock())?,
                }
                begin()
            }
            txn => txn,
        };
        txn.map_err(|error| self.fail(error.into()))
    }

    /// Makes the memory map as large as another process has made its own.
    fn adopt_map_size(&self, _one: &MutexGuard<'_, ()>) -> Result<(), LmdbError> {
        let moves = self.map_moves.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the map moves, so nothing may point into it. Every transaction that reads or writes entries holds the lock that
        // the caller has; kept readers read the file itself; whoever begins a transaction or asks for `info` holds the other
        // lock. A size of 0 stands for the one that the file says.
        #[allow(unsafe_code)]
        let resized = unsafe { self.env.resize(0) };
        drop(moves);
        resized.map_err(|error| self.fail(error.into()))?;
        tracing::warn!(
            path = %self.path.display(), bytes = self.map_size(),
            "another process has a larger memory map, which is taken over: set options.map_size to PowerDNS' \
             lmdb-map-size"
        );
        Ok(())
    }

    fn info(&self) -> EnvInfo {
        let _stays = self.map_moves.read().unwrap_or_else(PoisonError::into_inner);
        self.env.info()
    }

    /// Bytes that the file may grow to.
    pub fn map_size(&self) -> u64 {
        self.info().map_size as u64
    }

    /// Begins to read one unchanging state of the file; waits for another transaction of this process to end.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn begin_read(&self) -> Result<Reader<'_>, LmdbError> {
        let one = self.lock();
        let txn = self.begin(Some(&one), || self.env.read_txn())?;
        Ok(Reader {
            txn,
            env: self,
            _one: one,
        })
    }

    /// Begins a write transaction; waits for PowerDNS' to end. Dropping it leaves no trace.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn begin_write(&self) -> Result<Writer<'_>, LmdbError> {
        let one = self.lock();
        let txn = self.begin(Some(&one), || self.env.write_txn())?;
        Ok(Writer {
            txn,
            env: self,
            dirty: false,
            _one: one,
        })
    }

    /// Runs `work` on one unchanging state of the file.
    ///
    /// # Errors
    /// Those of `work`, and of LMDB.
    pub fn read<T, E: From<LmdbError>>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let reader = self.begin_read()?;
        let result = work(&reader)?;
        reader.finish()?;
        Ok(result)
    }

    /// Runs `work` in a write transaction. It is committed if `work` wrote something, and otherwise leaves no
    /// trace, not even a transaction ID.
    ///
    /// # Errors
    /// Those of `work`, and of LMDB; nothing is changed then.
    pub fn write<T, E: From<LmdbError>>(
        &self,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.begin_write()?;
        let result = work(&mut writer)?;
        writer.commit()?;
        Ok(result)
    }
}
