//! Between a database and a snapshot object: one way a whole database, the other way a merge.

use std::collections::HashMap;

use bytes::Bytes;

use crate::lmdb::{Environment, LmdbError};
use crate::merge::replaces;
use crate::snapshot::{
    DbiHeader, DecodeError, EncodeError, Entry, GENERATION, Meta, Snapshot, SnapshotWriter, entry_len,
    is_private_dbi,
};

/// Why a database and a snapshot cannot be brought together.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Lmdb(#[from] LmdbError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A database as a snapshot object.
pub struct Dump {
    pub object: Bytes,
    /// The transaction of the database that the object shows.
    pub txn_id: u64,
    pub entries: u64,
}

/// Who takes a snapshot, and when.
#[derive(Debug, Clone)]
pub struct Origin {
    pub database: String,
    pub instance: String,
    pub hostname: String,
}

/// Writes the state of a whole database as one snapshot object taken at `timestamp` (ns since the epoch).
///
/// # Errors
/// Those of LMDB; a value without a header among them.
pub fn dump(env: &Environment, origin: &Origin, timestamp: u64) -> Result<Dump, TransferError> {
    env.read(|reader| {
        let txn_id = reader.txn_id();
        let meta = Meta {
            generation: GENERATION.to_owned(),
            instance: origin.instance.clone(),
            hostname: origin.hostname.clone(),
            lmdb_txn_id: i64::try_from(txn_id).unwrap_or(i64::MAX),
            timestamp,
            database: origin.database.clone(),
            from_lmdb_txn_id: 0,
        };
        let mut writer = SnapshotWriter::new(Vec::new(), &meta)?;
        let mut entries = 0;
        for dbi in reader.dbis()?.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
            // Protobuf wants the length first; inside one read transaction both passes see the same entries.
            let mut len = 0;
            reader.for_each(dbi, |key, header, value| {
                len += entry_len(&to_entry(key, header, value));
                Ok::<(), TransferError>(())
            })?;
            writer.begin_dbi(
                &DbiHeader {
                    name: dbi.name.clone(),
                    ..DbiHeader::default()
                },
                len,
            )?;
            reader.for_each(dbi, |key, header, value| {
                entries += 1;
                writer
                    .entry(&to_entry(key, header, value))
                    .map_err(TransferError::from)
            })?;
        }
        Ok(Dump {
            object: writer.finish()?.into(),
            txn_id,
            entries,
        })
    })
}

fn to_entry<'a>(key: &'a [u8], header: crate::lmdb::header::Header, value: &'a [u8]) -> Entry<'a> {
    let value = if header.deleted { &[] } else { value };
    Entry {
        key,
        value,
        timestamp: header.timestamp,
        deleted: header.deleted,
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The transaction of the merge, `None` if the database already had everything.
    pub txn_id: Option<u64>,
    pub entries: u64,
    /// How many of them were newer than what the database had.
    pub written: u64,
}

/// Merges all entries of a snapshot into a database, in one transaction.
///
/// # Errors
/// Those of LMDB; the database is unchanged then.
pub fn merge(env: &Environment, snapshot: &Snapshot) -> Result<Merged, TransferError> {
    env.write(|writer| {
        let mut dbis = HashMap::new();
        for outline in &snapshot.outline().dbis {
            let name = &outline.header.name;
            if !is_private_dbi(name) && !dbis.contains_key(name) {
                dbis.insert(name.clone(), writer.dbi(name)?);
            }
        }
        let (mut entries, mut written) = (0, 0);
        snapshot.for_each_entry(|outline, incoming| {
            let Some(dbi) = dbis.get(&outline.header.name) else {
                return Ok(());
            };
            entries += 1;
            let wins = match writer.get(dbi, incoming.key)? {
                Some((header, value)) => replaces(&incoming, &to_entry(incoming.key, header, value)),
                None => true,
            };
            if wins {
                writer.put(
                    dbi,
                    incoming.key,
                    incoming.timestamp,
                    incoming.deleted,
                    incoming.value,
                )?;
                written += 1;
            }
            Ok::<(), TransferError>(())
        })?;
        Ok(Merged {
            txn_id: writer.is_dirty().then(|| writer.txn_id()),
            entries,
            written,
        })
    })
}
