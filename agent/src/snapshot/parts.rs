//! Writing an object whose entries are not known beforehand, as those of a delta.

use std::io::Write;

use super::encode::write_entry;
use super::{DbiHeader, EncodeError, Entry, Meta, SnapshotWriter};

/// A DBI message says its length first, so a DBI is written as several messages. The first is at least this long, bytes; each
/// one that follows is twice as long as the one before, up to the longest, so that there are few of them. A
/// reader takes them for one DBI: ours, and for that reason no object of this kind is where Lightning Stream looks.
const FIRST_PART: usize = 64 << 10;
const LONGEST_PART: usize = 4 << 20;

/// Writes an object entry by entry, with one part of a DBI in memory.
pub struct DeltaWriter<W: Write> {
    snapshot: SnapshotWriter<W>,
    dbi: String,
    part: Vec<u8>,
    part_len: usize,
    entries: u64,
}

impl<W: Write> DeltaWriter<W> {
    /// Begins an object with versions and meta.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, meta: &Meta) -> Result<Self, EncodeError> {
        Ok(Self {
            snapshot: SnapshotWriter::new(out, meta)?,
            dbi: String::new(),
            part: Vec::new(),
            part_len: FIRST_PART,
            entries: 0,
        })
    }

    /// Adds an entry of a DBI. Entries come DBI by DBI, those of one in LMDB's order.
    ///
    /// # Errors
    /// Those of the output.
    pub fn entry(&mut self, dbi: &str, entry: &Entry<'_>) -> Result<(), EncodeError> {
        if self.dbi != dbi {
            self.end_part()?;
            dbi.clone_into(&mut self.dbi);
        }
        write_entry(&mut self.part, entry)?;
        self.entries += 1;
        if self.part.len() >= self.part_len {
            self.part_len = (self.part_len * 2).min(LONGEST_PART);
            self.end_part()?;
        }
        Ok(())
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn end_part(&mut self) -> Result<(), EncodeError> {
        if self.part.is_empty() {
            return Ok(());
        }
        let header = DbiHeader {
            name: self.dbi.clone(),
            ..DbiHeader::default()
        };
        self.snapshot.begin_dbi(&header, self.part.len() as u64)?;
        self.snapshot.written_entries(&self.part)?;
        self.part.clear();
        Ok(())
    }

    /// Ends the object and gives the output back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.end_part()?;
        self.snapshot.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{DecodeError, Snapshot, ZONETIDE_VERSION};
    use crate::store::spool;

    #[test]
    fn what_is_written_in_parts_is_read_back_in_order() {
        let meta = Meta {
            instance: "a".into(),
            zonetide: ZONETIDE_VERSION,
            schema: 5,
            ..Meta::default()
        };
        let mut writer = DeltaWriter::new(spool(&std::env::temp_dir()), &meta).unwrap();
        let value = vec![7; 1000];
        let keys: Vec<_> = (0..200_u32).map(u32::to_be_bytes).collect();
        for dbi in ["one", "two"] {
            for (number, key) in keys.iter().enumerate() {
                let deleted = number % 3 == 0;
                let entry = Entry {
                    key,
                    value: if deleted { &[] } else { &value },
                    timestamp: 1 + number as u64,
                    deleted,
                };
                writer.entry(dbi, &entry).unwrap();
            }
        }
        assert_eq!(writer.entries(), 400);
        let mut read = Snapshot::open(writer.finish().unwrap()).unwrap();
        assert_eq!(read.outline().meta, meta);
        assert!(read.outline().dbis.len() > 2);
        let mut seen = Vec::new();
        read.for_each_entry(|dbi, entry| {
            assert_eq!(entry.value.is_empty(), entry.deleted);
            seen.push((dbi.header.name.clone(), entry.key.to_vec(), entry.timestamp));
            Ok::<(), DecodeError>(())
        })
        .unwrap();
        let expected = ["one", "two"].into_iter().flat_map(|dbi| {
            let keys = keys.iter().enumerate();
            keys.map(move |(number, key)| (dbi.to_owned(), key.to_vec(), 1 + number as u64))
        });
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}
