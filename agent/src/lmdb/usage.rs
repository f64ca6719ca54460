//! How full a database is, from what LMDB counts itself.

use super::{Environment, LmdbError};

/// The size of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that the file may grow to.
    pub map_size: u64,
    /// Bytes of the file up to its last page ever used; pages that are free again are among them.
    pub used: u64,
    pub last_txn_id: u64,
    /// Reader slots that were ever used at once, of how many.
    pub readers: u32,
    pub max_readers: u32,
    /// Entries by DBI, deletion marks included.
    pub entries: Vec<(String, u64)>,
}

impl Environment {
    /// The size of the database; it does not read the entries.
    ///
    /// # Errors
    /// Those of LMDB.
    pub fn usage(&self) -> Result<Usage, LmdbError> {
        let (page_size, entries) = self.read(|reader| {
            let (mut page_size, mut entries) = (0, Vec::new());
            for dbi in reader.dbis()? {
                let stat = dbi.handle.stat(&reader.txn);
                let stat = stat.map_err(|error| self.fail(error.into()))?;
                page_size = u64::from(stat.page_size);
                entries.push((dbi.name, stat.entries as u64));
            }
            Ok::<_, LmdbError>((page_size, entries))
        })?;
        let info = self.info();
        Ok(Usage {
            map_size: info.map_size as u64,
            used: (info.last_page_number as u64 + 1) * page_size,
            last_txn_id: info.last_txn_id as u64,
            readers: info.number_of_readers,
            max_readers: info.maximum_number_of_readers,
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lmdb::OpenOptions;

    #[test]
    fn entries_are_counted_by_dbi_and_pages_by_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(1 << 20);
        let env = Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap();
        assert_eq!(env.usage().unwrap().entries, []);
        env.write(|writer| {
            let dbi = writer.dbi("records")?;
            writer.put(&dbi, b"a", 1, false, b"1")?;
            writer.put(&dbi, b"b", 1, true, b"")
        })
        .unwrap();
        let usage = env.usage().unwrap();
        assert_eq!(usage.entries, [("records".to_owned(), 2)]);
        assert_eq!((usage.map_size, usage.last_txn_id), (1 << 20, 1));
        assert!(usage.used >= 3 * 4096 && usage.used <= 1 << 20, "{}", usage.used);
    }
}
