//! Reading a snapshot object.
//!
//! An object is read twice: the first pass proves that all of it is sound (framing, versions, lengths, gzip's
//! checksum) and collects what may stand anywhere in it; only then are entries handed out. So a torn object
//! changes nothing, and the order of fields, which protobuf leaves open, does not matter.

use std::io::{self, BufRead, BufReader, Seek as _};

use flate2::bufread::MultiGzDecoder;
use tempfile::SpooledTempFile;

use super::vector::{read_had, read_states};
use super::wire::{BYTES, FIXED64, VARINT, WireReader};
use super::{
    ADOPTED_FIELD, DbiHeader, Entry, FLAG_DELETED, MAX_COMPAT_VERSION, MAX_DBIS, MAX_ENTRY_LEN, MAX_KEY_LEN,
    Meta, SCHEMA_FIELD, VECTOR_FIELD, ZONETIDE_FIELD,
};

/// Longest Meta message that is taken, in bytes.
const MAX_META_LEN: u64 = 1 << 20;
/// Longest name of a DBI, which is a key of LMDB, and of a transform.
const MAX_NAME_LEN: u64 = MAX_KEY_LEN as u64;

/// Why an object is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the object ends too early: it is incomplete")]
    Truncated,
    #[error("cannot read the temporary file: {0}")]
    Spool(#[source] io::Error),
    #[error("cannot decompress: {0}")]
    Gzip(#[source] io::Error),
    #[error("malformed number at byte {offset}")]
    Varint { offset: u64 },
    #[error("unknown wire type {wire_type} at byte {offset}")]
    WireType { wire_type: u8, offset: u64 },
    #[error("field {field} of {message} has wire type {wire_type}")]
    FieldType {
        message: &'static str,
        field: u64,
        wire_type: u8,
    },
    #[error("{what} of {len} bytes at byte {offset}: at most {max} are taken")]
    TooLong {
        what: &'static str,
        len: u64,
        max: u64,
        offset: u64,
    },
    #[error("a nested message runs over its end at byte {offset}")]
    Overrun { offset: u64 },
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    #[error("no format version: not a snapshot")]
    NoVersion,
    #[error("needs a reader of version {0}, this one is of version {MAX_COMPAT_VERSION}: upgrade this agent")]
    TooNew(u64),
    #[error("is history of format {0}, which is newer than this agent: upgrade this agent")]
    NewerHistory(u64),
    #[error("DBI {0:?} uses the transform {1:?}, which is not supported")]
    Transform(String, String),
    #[error("DBI {0:?} has LMDB flags {1:#x}, which native databases never have")]
    DbiFlags(String, u64),
    #[error("{0:?} is no name of a DBI")]
    DbiName(String),
    #[error("more than {MAX_DBIS} DBIs, which no PowerDNS has")]
    DbiCount,
    #[error("DBI number {0} has an entry with an empty key")]
    EmptyKey(usize),
}

impl DecodeError {
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            // Errors of gzip itself have no number; those of the system are no fault of the object.
            _ if error.raw_os_error().is_some() => Self::Spool(error),
            _ => Self::Gzip(error),
        }
    }
}

/// All of a snapshot but its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    pub format_version: u64,
    pub compat_version: u64,
    pub meta: Meta,
    pub dbis: Vec<DbiOutline>,
    /// Length of the decompressed message, bytes.
    pub raw_len: u64,
}

/// A DBI as the first pass saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DbiOutline {
    pub header: DbiHeader,
    pub entries: u64,
}

/// An entry as it stands in the message, before the format version says what it means.
pub(super) struct RawEntry<'a> {
    key: &'a [u8],
    value: &'a [u8],
    timestamp: u64,
    flags: u64,
}

impl<'a> RawEntry<'a> {
    /// What it means. Format 1 had no flags: there an empty value is a deletion.
    pub(super) fn entry(&self, empty_is_deleted: bool) -> Entry<'a> {
        let deleted = self.flags & u64::from(FLAG_DELETED) != 0 || empty_is_deleted && self.value.is_empty();
        Entry {
            key: self.key,
            value: if deleted { &[] } else { self.value },
            timestamp: self.timestamp,
            deleted,
        }
    }
}

/// A snapshot object whose soundness has been proved.
pub struct Snapshot {
    object: SpooledTempFile,
    outline: Outline,
}

impl Snapshot {
    /// Takes the compressed object and reads it once from end to end.
    ///
    /// # Errors
    /// Anything that makes the object unusable as a whole; see [`DecodeError`].
    pub fn open(mut object: SpooledTempFile) -> Result<Self, DecodeError> {
        let outline = walk(&mut object, &mut |_, _| Ok::<(), DecodeError>(()))?;
        if outline.format_version == 0 {
            return Err(DecodeError::NoVersion);
        }
        if outline.compat_version > u64::from(MAX_COMPAT_VERSION) {
            return Err(DecodeError::TooNew(outline.compat_version));
        }
        for DbiOutline { header, .. } in &outline.dbis {
            if header.name.is_empty() || header.name.contains('\0') {
                return Err(DecodeError::DbiName(header.name.clone()));
            }
            if !header.transform.is_empty() {
                return Err(DecodeError::Transform(
                    header.name.clone(),
                    header.transform.clone(),
                ));
            }
            if header.flags != 0 {
                return Err(DecodeError::DbiFlags(header.name.clone(), header.flags));
            }
        }
        Ok(Self { object, outline })
    }

    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Hands out every entry in the order of the object, with the DBI it belongs to.
    ///
    /// # Errors
    /// The first error of `visit`; the object itself has been found sound already.
    pub fn for_each_entry<E>(
        &mut self,
        mut visit: impl FnMut(&DbiOutline, Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<DecodeError>,
    {
        let empty_is_deleted = self.outline.format_version == 1;
        let dbis = &self.outline.dbis;
        walk(&mut self.object, &mut |dbi, raw| {
            visit(&dbis[dbi], raw.entry(empty_is_deleted))
        })?;
        Ok(())
    }
}

/// What an object says of itself, read from its first bytes: of an object that may be torn, and of one that has its entries first nothing.
///
/// # Errors
/// [`DecodeError::Truncated`] where Meta is not in these bytes, and what else makes an object unusable.
pub fn meta_of_start(start: &[u8]) -> Result<Meta, DecodeError> {
    let mut reader = WireReader::new(BufReader::new(MultiGzDecoder::new(start)));
    let mut buffer = Vec::new();
    while !reader.at_end()? {
        match reader.tag()? {
            (2, BYTES) => {
                reader.limited("meta", MAX_META_LEN, &mut buffer)?;
                return read_meta(&buffer);
            }
            (3, _) => break,
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Err(DecodeError::Truncated)
}

fn walk<E: From<DecodeError>>(
    object: &mut SpooledTempFile,
    on_entry: &mut impl FnMut(usize, RawEntry<'_>) -> Result<(), E>,
) -> Result<Outline, E> {
    object.rewind().map_err(DecodeError::Spool)?;
    let gzip = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, object));
    let mut reader = WireReader::new(BufReader::with_capacity(64 << 10, gzip));
    let mut outline = Outline::default();
    let mut buffer = Vec::new();
    while !reader.at_end()? {
        match reader.tag()? {
            (1, VARINT) => outline.format_version = reader.varint()?,
            (4, VARINT) => outline.compat_version = reader.varint()?,
            (2, BYTES) => {
                reader.limited("meta", MAX_META_LEN, &mut buffer)?;
                outline.meta = read_meta(&buffer)?;
            }
            (3, BYTES) => {
                let index = outline.dbis.len();
                // Checked here and not afterwards: a few compressed bytes are thousands of DBIs.
                if index == MAX_DBIS {
                    return Err(DecodeError::DbiCount.into());
                }
                let dbi = read_dbi(
                    &mut reader,
                    &mut buffer,
                    &mut |_, raw| on_entry(index, raw),
                    index,
                )?;
                outline.dbis.push(dbi);
            }
            (field @ 1..=4, wire_type) => {
                return Err(DecodeError::FieldType {
                    message: "Snapshot",
                    field,
                    wire_type,
                }
                .into());
            }
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    outline.raw_len = reader.offset();
    Ok(outline)
}

/// A DBI message may be longer than 2 GiB and is never held as a whole. What stands before an entry is known of its DBI.
pub(super) fn read_dbi<R: BufRead, E: From<DecodeError>>(
    reader: &mut WireReader<R>,
    buffer: &mut Vec<u8>,
    on_entry: &mut impl FnMut(&DbiHeader, RawEntry<'_>) -> Result<(), E>,
    index: usize,
) -> Result<DbiOutline, E> {
    let len = reader.varint()?;
    let overrun = |offset| DecodeError::Overrun { offset };
    let end = reader
        .offset()
        .checked_add(len)
        .ok_or_else(|| overrun(reader.offset()))?;
    let mut dbi = DbiOutline::default();
    while reader.offset() < end {
        match reader.tag()? {
            (1, BYTES) => dbi.header.name = reader.text("the name of a DBI", MAX_NAME_LEN)?,
            (3, VARINT) => dbi.header.flags = reader.varint()?,
            (4, BYTES) => dbi.header.transform = reader.text("a transform", MAX_NAME_LEN)?,
            (2, BYTES) => {
                reader.limited("an entry", MAX_ENTRY_LEN, buffer)?;
                let entry = read_entry(buffer)?;
                if entry.key.is_empty() {
                    return Err(DecodeError::EmptyKey(index).into());
                }
                on_entry(&dbi.header, entry)?;
                dbi.entries += 1;
            }
            (field @ 1..=4, wire_type) => {
                return Err(DecodeError::FieldType {
                    message: "DBI",
                    field,
                    wire_type,
                }
                .into());
            }
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    if reader.offset() > end {
        return Err(overrun(end).into());
    }
    Ok(dbi)
}

fn read_entry(message: &[u8]) -> Result<RawEntry<'_>, DecodeError> {
    let mut entry = RawEntry {
        key: &[],
        value: &[],
        timestamp: 0,
        flags: 0,
    };
    let mut reader = WireReader::new(message);
    while !reader.at_end()? {
        match reader.tag()? {
            (1, BYTES) => entry.key = slice(message, &mut reader, "a key", MAX_KEY_LEN as u64)?,
            (2, BYTES) => entry.value = slice(message, &mut reader, "a value", MAX_ENTRY_LEN)?,
            (3, FIXED64) => entry.timestamp = reader.fixed64()?,
            (4, VARINT) => entry.flags = reader.varint()?,
            (field @ 1..=4, wire_type) => {
                return Err(DecodeError::FieldType {
                    message: "KV",
                    field,
                    wire_type,
                });
            }
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Ok(entry)
}

/// The bytes of a length-delimited field as a part of the message it stands in.
fn slice<'a>(
    message: &'a [u8],
    reader: &mut WireReader<&'a [u8]>,
    what: &'static str,
    max: u64,
) -> Result<&'a [u8], DecodeError> {
    let len = reader.varint()?;
    let offset = reader.offset();
    if len > max {
        return Err(DecodeError::TooLong {
            what,
            len,
            max,
            offset,
        });
    }
    reader.advance(len)?;
    let start = usize::try_from(offset).map_err(|_| DecodeError::Truncated)?;
    let end = usize::try_from(offset + len).map_err(|_| DecodeError::Truncated)?;
    message.get(start..end).ok_or(DecodeError::Truncated)
}

fn read_meta(message: &[u8]) -> Result<Meta, DecodeError> {
    let mut meta = Meta::default();
    let mut reader = WireReader::new(message);
    let mut part = Vec::new();
    while !reader.at_end()? {
        match reader.tag()? {
            (1, BYTES) => meta.generation = reader.text("the generation", MAX_META_LEN)?,
            (2, BYTES) => meta.instance = reader.text("the instance", MAX_META_LEN)?,
            (3, BYTES) => meta.hostname = reader.text("the host name", MAX_META_LEN)?,
            (4, VARINT) => meta.lmdb_txn_id = reader.varint()?.cast_signed(),
            (5, FIXED64) => meta.timestamp = reader.fixed64()?,
            (7, BYTES) => meta.database = reader.text("the database name", MAX_META_LEN)?,
            (8, VARINT) => meta.from_lmdb_txn_id = reader.varint()?.cast_signed(),
            (ZONETIDE_FIELD, VARINT) => meta.zonetide = reader.varint()?,
            (SCHEMA_FIELD, VARINT) => meta.schema = reader.varint()?,
            (VECTOR_FIELD, BYTES) => {
                reader.limited("a version", MAX_META_LEN, &mut part)?;
                meta.vector.extend([read_had(&part)?]);
            }
            (ADOPTED_FIELD, BYTES) => {
                reader.limited("states of an instance", MAX_META_LEN, &mut part)?;
                meta.adopted.extend([read_states(&part)?]);
            }
            (field @ (1..=5 | 7 | 8), wire_type) => {
                return Err(DecodeError::FieldType {
                    message: "Meta",
                    field,
                    wire_type,
                });
            }
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    Ok(meta)
}
