//! Transactions on an LMDB file: reading DBIs and entries, and writing entries.

use std::ops::Bound;
use std::sync::MutexGuard;

use heed::types::Bytes;
use heed::{MdbError, PutFlags, RoTxn, RwTxn, WithoutTls};

use super::error::show_key;
use super::header::Header;
use super::{Dbi, Environment, LmdbError, LmdbErrorKind};

/// Length of the record by which LMDB's main DBI describes a named one, bytes.
const DBI_RECORD_LEN: usize = 48;

/// A read transaction.
pub struct Reader<'e> {
    pub(super) txn: RoTxn<'e, WithoutTls>,
    pub(super) env: &'e Environment,
    pub(super) _one: MutexGuard<'e, ()>,
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
        open(self.env, &self.txn, name)
    }

    /// True for a DBI without entries.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn is_empty(&self, dbi: &Dbi) -> Result<bool, LmdbError> {
        let empty = dbi.handle.is_empty(&self.txn);
        empty.map_err(|error| self.env.fail(error.into()))
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
        for entry in range_after(self.env, &self.txn, dbi, from)? {
            let (key, header, value) = entry?;
            visit(key, header, value)?;
        }
        Ok(())
    }

    /// The first keys after `from`, which itself is left out, with a header that is wanted; `most` of them.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn find_after(
        &self,
        dbi: &Dbi,
        from: &[u8],
        most: usize,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Vec<(Vec<u8>, Header)>, LmdbError> {
        let mut found = Vec::new();
        for entry in range_after(self.env, &self.txn, dbi, from)? {
            let (key, header, _) = entry?;
            if wanted(&header) {
                found.push((key.to_vec(), header));
            }
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }
}

/// A write transaction.
pub struct Writer<'e> {
    pub(super) txn: RwTxn<'e>,
    pub(super) env: &'e Environment,
    pub(super) dirty: bool,
    pub(super) _one: MutexGuard<'e, ()>,
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

    /// Opens a DBI, `None` when it does not exist.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn existing_dbi(&self, name: &str) -> Result<Option<Dbi>, LmdbError> {
        open(self.env, &self.txn, name)
    }

    /// The header and value of an entry.
    ///
    /// # Errors
    /// Those of LMDB, and [`LmdbErrorKind::Header`] for a value without a header.
    pub fn get(&self, dbi: &Dbi, key: &[u8]) -> Result<Option<(Header, &[u8])>, LmdbError> {
        get(self.env, &self.txn, dbi, key)
    }

    /// The keys after `from`, which itself is left out, and their headers; `most` of them.
    ///
    /// # Errors
    /// As [`Writer::get`].
    pub fn keys_after(
        &self,
        dbi: &Dbi,
        from: &[u8],
        most: usize,
    ) -> Result<Vec<(Vec<u8>, Header)>, LmdbError> {
        let mut keys = Vec::new();
        for entry in range_after(self.env, &self.txn, dbi, from)?.take(most) {
            let (key, header, _) = entry?;
            keys.push((key.to_vec(), header));
        }
        Ok(keys)
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
        let txn_id = self.txn_id();
        let header = Header {
            timestamp,
            txn_id,
            deleted,
        };
        self.put_under(dbi, key, header, value)
    }

    /// Writes a value under the header of an entry that another transaction wrote.
    ///
    /// # Errors
    /// As [`Writer::put`].
    pub fn put_under(
        &mut self,
        dbi: &Dbi,
        key: &[u8],
        header: Header,
        value: &[u8],
    ) -> Result<(), LmdbError> {
        let header = header.to_bytes();
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

impl Writer<'_> {
    /// True for a DBI without entries.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn is_empty(&self, dbi: &Dbi) -> Result<bool, LmdbError> {
        let empty = dbi.handle.is_empty(&self.txn);
        empty.map_err(|error| self.env.fail(error.into()))
    }

    /// Writes an entry after all others of its DBI, which takes no search and fills pages to the end. False, and nothing
    /// is written, when the key does not come after the last.
    ///
    /// # Errors
    /// As [`Writer::put`].
    pub fn append(
        &mut self,
        dbi: &Dbi,
        key: &[u8],
        timestamp: u64,
        deleted: bool,
        value: &[u8],
    ) -> Result<bool, LmdbError> {
        let header = Header {
            timestamp,
            txn_id: self.txn_id(),
            deleted,
        }
        .to_bytes();
        let stored = [&header, value].concat();
        match dbi
            .handle
            .put_with_flags(&mut self.txn, PutFlags::APPEND, key, &stored)
        {
            Ok(()) => {
                self.dirty = true;
                Ok(true)
            }
            Err(heed::Error::Mdb(MdbError::KeyExist)) => Ok(false),
            Err(error) => Err(self.env.fail(error.into())),
        }
    }
}

fn open(env: &Environment, txn: &RoTxn<'_>, name: &str) -> Result<Option<Dbi>, LmdbError> {
    let opened = env.env.open_database::<Bytes, Bytes>(txn, Some(name));
    let opened = opened.map_err(|error| env.fail(error.into()))?;
    Ok(opened.map(|handle| Dbi {
        name: name.to_owned(),
        handle,
    }))
}

/// A key, and the header and value under it.
type Item<'t> = (&'t [u8], Header, &'t [u8]);

/// The entries after a key; every key comes after the empty one.
fn range_after<'t>(
    env: &'t Environment,
    txn: &'t RoTxn<'_>,
    dbi: &'t Dbi,
    from: &[u8],
) -> Result<impl Iterator<Item = Result<Item<'t>, LmdbError>>, LmdbError> {
    let lmdb = |error: heed::Error| env.fail(error.into());
    let start = match from {
        [] => Bound::Unbounded,
        from => Bound::Excluded(from),
    };
    let range = dbi.handle.range(txn, &(start, Bound::Unbounded)).map_err(lmdb)?;
    Ok(range.map(move |item| {
        let (key, stored) = item.map_err(lmdb)?;
        let (header, value) = split(env, &dbi.name, key, stored)?;
        Ok((key, header, value))
    }))
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
