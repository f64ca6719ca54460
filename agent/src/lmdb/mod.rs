//! An LMDB file that PowerDNS has open at the same time, through heed on the distribution's liblmdb 0.9.
//!
//! This is the only module with unsafe code: opening a memory map whose file another process writes.

mod create;
mod error;
pub mod header;
mod usage;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heed::types::Bytes;
use heed::{Database, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};

pub use create::create_files;
use error::show_key;
pub use error::{LmdbError, LmdbErrorKind};
use header::Header;
pub use usage::Usage;

/// Reader slots that a new lock file gets. LMDB's default of 126 is too few for PowerDNS with many threads, and
/// PowerDNS has no setting for it (its issue 13418).
pub const MAX_READERS: u32 = 1024;
/// Length of the record by which LMDB's main DBI describes a named one, bytes.
const DBI_RECORD_LEN: usize = 48;

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

/// An open LMDB file.
pub struct Environment {
    env: heed::Env<WithoutTls>,
    path: PathBuf,
    /// LMDB forbids to open DBIs in two transactions of a process at a time, so there is one at a time.
    one_at_a_time: Mutex<()>,
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
        let fail = |kind: LmdbErrorKind| kind.at(path);
        let version = heed::lmdb_version();
        if (version.major, version.minor) != (0, 9) {
            return Err(fail(LmdbErrorKind::Library(version.string.to_owned())));
        }
        if !options.create && !path.exists() {
            return Err(fail(LmdbErrorKind::Missing));
        }
        if options.create {
            let parent = if options.no_subdir {
                path.parent()
            } else {
                Some(path)
            };
            if let Some(parent) = parent {
                std::fs::create_dir_all(parent).map_err(|error| fail(heed::Error::Io(error).into()))?;
            }
        }
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
        self.env.info().last_txn_id as u64
    }

    /// Size of the reader table that all processes share.
    pub fn max_readers(&self) -> u32 {
        self.env.info().maximum_number_of_readers
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

    fn fail(&self, kind: LmdbErrorKind) -> LmdbError {
        kind.at(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read one unchanging state of the file; waits for another transaction of this process to end.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn begin_read(&self) -> Result<Reader<'_>, LmdbError> {
        let one = self.lock();
        let txn = self.env.read_txn().map_err(|error| self.fail(error.into()))?;
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
        let txn = self.env.write_txn().map_err(|error| self.fail(error.into()))?;
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

/// A read transaction.
pub struct Reader<'e> {
    txn: RoTxn<'e, WithoutTls>,
    env: &'e Environment,
    _one: MutexGuard<'e, ()>,
}

impl Reader<'_> {
    /// Ends the transaction and keeps the handles of the DBIs that were opened in it, which dropping would not.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn finish(self) -> Result<(), LmdbError> {
        let env = self.env;
        self.txn.commit().map_err(|error| env.fail(error.into()))
    }

    /// Opens a DBI, `None` when it does not exist.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn dbi(&self, name: &str) -> Result<Option<Dbi>, LmdbError> {
        let opened = self.env.env.open_database::<Bytes, Bytes>(&self.txn, Some(name));
        let opened = opened.map_err(|error| self.env.fail(error.into()))?;
        Ok(opened.map(|handle| Dbi {
            name: name.to_owned(),
            handle,
        }))
    }

    /// The header and value of an entry.
    ///
    /// # Errors
    /// Those of LMDB, and [`LmdbErrorKind::Header`] for a value without a header.
    pub fn get(&self, dbi: &Dbi, key: &[u8]) -> Result<Option<(Header, &[u8])>, LmdbError> {
        get(self.env, &self.txn, dbi, key)
    }

    /// The transaction whose result this reader sees.
    pub fn txn_id(&self) -> u64 {
        self.txn.id() as u64
    }

    /// All named DBIs, sorted by name.
    ///
    /// # Errors
    /// Those of LMDB, and [`LmdbErrorKind::DbiFlags`] for a DBI that no native database has.
    pub fn dbis(&self) -> Result<Vec<Dbi>, LmdbError> {
        self.list_dbis().map_err(|kind| self.env.fail(kind))
    }

    fn list_dbis(&self) -> Result<Vec<Dbi>, LmdbErrorKind> {
        let Some(main) = self.env.env.open_database::<Bytes, Bytes>(&self.txn, None)? else {
            return Ok(Vec::new());
        };
        let mut dbis = Vec::new();
        for item in main.iter(&self.txn)? {
            let (name, record) = item?;
            // A DBI is a record of 48 bytes with LMDB's flags at 4..6; anything else in here is plain data.
            let (Ok(name), DBI_RECORD_LEN) = (std::str::from_utf8(name), record.len()) else {
                continue;
            };
            if name.contains('\0') {
                continue;
            }
            let handle = match self.env.env.open_database::<Bytes, Bytes>(&self.txn, Some(name)) {
                Ok(Some(handle)) => handle,
                Ok(None) | Err(heed::Error::Mdb(MdbError::Incompatible)) => continue,
                Err(error) => return Err(error.into()),
            };
            let flags = u16::from_ne_bytes([record[4], record[5]]);
            if flags != 0 {
                return Err(LmdbErrorKind::DbiFlags {
                    dbi: name.to_owned(),
                    flags,
                });
            }
            dbis.push(Dbi {
                name: name.to_owned(),
                handle,
            });
        }
        Ok(dbis)
    }

    /// Calls `visit` with the key, header and value of every entry of a DBI, in LMDB's order.
    ///
    /// # Errors
    /// Those of `visit`, of LMDB, and [`LmdbErrorKind::Header`] for a value without a header.
    pub fn for_each<E: From<LmdbError>>(
        &self,
        dbi: &Dbi,
        visit: impl FnMut(&[u8], Header, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_after(dbi, &[], visit)
    }

    /// The same for the keys after `from`, which itself is left out; every key comes after the empty one.
    ///
    /// # Errors
    /// As [`Reader::for_each`].
    pub fn for_each_after<E: From<LmdbError>>(
        &self,
        dbi: &Dbi,
        from: &[u8],
        mut visit: impl FnMut(&[u8], Header, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let lmdb = |error: heed::Error| self.env.fail(error.into());
        let range = (
            if from.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Excluded(from)
            },
            Bound::Unbounded,
        );
        for item in dbi.handle.range(&self.txn, &range).map_err(lmdb)? {
            let (key, stored) = item.map_err(lmdb)?;
            let (header, value) = split(self.env, &dbi.name, key, stored)?;
            visit(key, header, value)?;
        }
        Ok(())
    }
}

/// A write transaction.
pub struct Writer<'e> {
    txn: RwTxn<'e>,
    env: &'e Environment,
    dirty: bool,
    _one: MutexGuard<'e, ()>,
}

impl Writer<'_> {
    /// Commits what was written and returns the transaction's ID; `None`, and no trace, if nothing was.
    ///
    /// # Errors
    /// Those of LMDB; nothing is changed then.
    pub fn commit(self) -> Result<Option<u64>, LmdbError> {
        if !self.dirty {
            return Ok(None);
        }
        let (txn_id, env) = (self.txn_id(), self.env);
        self.txn.commit().map_err(|error| env.fail(error.into()))?;
        Ok(Some(txn_id))
    }

    /// The ID that this transaction gets if it is committed.
    pub fn txn_id(&self) -> u64 {
        self.txn.id() as u64
    }

    /// Opens a DBI, and makes it when it does not exist.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn dbi(&mut self, name: &str) -> Result<Dbi, LmdbError> {
        self.open_dbi(name).map_err(|kind| self.env.fail(kind))
    }

    fn open_dbi(&mut self, name: &str) -> Result<Dbi, LmdbErrorKind> {
        let existing = self
            .env
            .env
            .open_database::<Bytes, Bytes>(&self.txn, Some(name))?;
        let handle = if let Some(handle) = existing {
            handle
        } else {
            self.dirty = true;
            self.env.env.create_database(&mut self.txn, Some(name))?
        };
        Ok(Dbi {
            name: name.to_owned(),
            handle,
        })
    }

    /// The header and value of an entry.
    ///
    /// # Errors
    /// Those of LMDB, and [`LmdbErrorKind::Header`] for a value without a header.
    pub fn get(&self, dbi: &Dbi, key: &[u8]) -> Result<Option<(Header, &[u8])>, LmdbError> {
        let stored = dbi
            .handle
            .get(&self.txn, key)
            .map_err(|error| self.env.fail(error.into()))?;
        stored
            .map(|stored| split(self.env, &dbi.name, key, stored))
            .transpose()
    }

    /// Removes an entry, mark and all.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn delete(&mut self, dbi: &Dbi, key: &[u8]) -> Result<(), LmdbError> {
        let deleted = dbi
            .handle
            .delete(&mut self.txn, key)
            .map_err(|error| self.env.fail(error.into()))?;
        self.dirty |= deleted;
        Ok(())
    }

    /// Writes an entry with this transaction's ID in its header.
    ///
    /// # Errors
    /// Those of LMDB, [`LmdbErrorKind::MapFull`] above all.
    pub fn put(
        &mut self,
        dbi: &Dbi,
        key: &[u8],
        timestamp: u64,
        deleted: bool,
        value: &[u8],
    ) -> Result<(), LmdbError> {
        let header = Header {
            timestamp,
            txn_id: self.txn_id(),
            deleted,
        }
        .to_bytes();
        self.dirty = true;
        dbi.handle
            .put_reserved(&mut self.txn, key, header.len() + value.len(), |space| {
                use std::io::Write as _;
                space.write_all(&header)?;
                space.write_all(value)
            })
            .map_err(|error| self.env.fail(error.into()))
    }
}

fn get<'t>(
    env: &Environment,
    txn: &'t RoTxn<'_>,
    dbi: &Dbi,
    key: &[u8],
) -> Result<Option<(Header, &'t [u8])>, LmdbError> {
    let stored = dbi.handle.get(txn, key).map_err(|error| env.fail(error.into()))?;
    stored
        .map(|stored| split(env, &dbi.name, key, stored))
        .transpose()
}

fn split<'v>(
    env: &Environment,
    dbi: &str,
    key: &[u8],
    stored: &'v [u8],
) -> Result<(Header, &'v [u8]), LmdbError> {
    Header::split(stored).map_err(|error| {
        env.fail(LmdbErrorKind::Header {
            dbi: dbi.to_owned(),
            key: show_key(key),
            error,
        })
    })
}
