//! How much of the databases' memory maps is in memory, from `/proc/self/smaps`.
//!
//! The kernel walks all pages of the process for it, which takes milliseconds per gigabyte: off unless asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads the maps at every scrape.
#[derive(Debug)]
pub struct Smaps {
    /// Databases by name, with the file that is mapped.
    files: BTreeMap<String, PathBuf>,
}

impl Smaps {
    /// `files` are the databases by name, with the file that is mapped.
    pub fn new(files: BTreeMap<String, PathBuf>) -> Self {
        Self { files }
    }
}

impl Collector for Smaps {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // A scrape without these is better than none.
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let help = "The database's memory map as /proc/self/smaps has it, by its fields in lower case";
        let mut family =
            encoder.encode_descriptor("lmdb_smaps", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for (database, file) in &self.files {
            // The kernel shows the path without symbolic links.
            let file = file.canonicalize().unwrap_or_else(|_| file.clone());
            for (field, bytes) in mapping(&smaps, &file.to_string_lossy()) {
                let labels = [("database", database.as_str()), ("field", field.as_str())];
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                ConstGauge::new(bytes).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// The fields in kB of a file's mappings, added up and in bytes.
fn mapping(smaps: &str, file: &str) -> BTreeMap<String, u64> {
    let mut fields = BTreeMap::new();
    let mut inside = false;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        match first.strip_suffix(':') {
            // `7f…-7f… r--s 00000000 fe:01 1234   /path`
            None => inside = line.find('/').is_some_and(|path| &line[path..] == file),
            Some(name) if inside => {
                if let (Some(Ok(count)), Some("kB")) = (words.next().map(str::parse::<u64>), words.next()) {
                    *fields.entry(name.to_ascii_lowercase()).or_default() += count << 10;
                }
            }
            Some(_) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0040000000 r--s 00000000 fe:01 131 /data/pdns.lmdb
Size:            1048576 kB
Rss:                 412 kB
VmFlags: rd sh mr
7f0040000000-7f0080000000 r--s 00000000 fe:01 132 /data/pdns.lmdb-0
Size:            1048576 kB
Rss:                   8 kB
7f0080000000-7f0080001000 rw-p 00000000 00:00 0
Rss:                   4 kB
";

    #[test]
    fn the_fields_of_one_file_are_found_and_not_those_of_its_neighbours() {
        let main = mapping(SMAPS, "/data/pdns.lmdb");
        assert_eq!((main["size"], main["rss"], main.len()), (1 << 30, 412 << 10, 2));
        assert_eq!(mapping(SMAPS, "/data/pdns.lmdb-0")["rss"], 8 << 10);
        assert!(mapping(SMAPS, "/data/other").is_empty());
    }

    #[test]
    fn an_open_database_shows_up_in_the_metrics() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pdns.lmdb");
        let options = crate::lmdb::OpenOptions {
            map_size: 1 << 20,
            max_dbs: 4,
            create: true,
            no_subdir: true,
        };
        let _env = crate::lmdb::Environment::open(&path, &options).unwrap();
        let mut metrics = crate::status::Metrics::new();
        metrics.collect_from(Box::new(Smaps::new(BTreeMap::from([("main".to_owned(), path)]))));
        let text = metrics.encode();
        let size = r#"zonetide_agent_lmdb_smaps_bytes{database="main",field="size"} 1048576"#;
        assert!(text.contains(size), "{text}");
    }
}
