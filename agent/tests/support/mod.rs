//! What the tests of the agent share: golden files, and databases as plain maps.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part of it.

use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::SpooledTempFile;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_agent::snapshot::{DecodeError, Snapshot, is_private_dbi};
use zonetide_agent::store::spool;
use zonetide_agent::sync::{Cleanup, Pace, Retention};

/// An entry less what differs between instances: time, mark, value.
pub type Version = (u64, bool, Vec<u8>);
/// A database by DBI and key.
pub type Content = BTreeMap<String, BTreeMap<Vec<u8>, Version>>;

pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The names of all golden snapshots of a database.
pub fn golden_names(database: &str) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(golden_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&format!("{database}__")) && name.ends_with(".pb.gz"))
        .collect();
    names.sort();
    assert!(
        !names.is_empty(),
        "no golden snapshots of {database} in {}",
        golden_dir().display()
    );
    names
}

pub fn golden_object(name: &str) -> Vec<u8> {
    std::fs::read(golden_dir().join(name)).unwrap()
}

/// Bytes as the decoder and the store take them.
pub fn spooled(content: &[u8]) -> SpooledTempFile {
    let mut object = spool(&std::env::temp_dir());
    object.write_all(content).unwrap();
    object.rewind().unwrap();
    object
}

pub fn golden_snapshot(name: &str) -> Snapshot {
    Snapshot::open(spooled(&golden_object(name))).unwrap()
}

pub fn snapshot_content(snapshot: &mut Snapshot) -> Content {
    let mut content: Content = snapshot
        .outline()
        .dbis
        .iter()
        .map(|dbi| (dbi.header.name.clone(), BTreeMap::new()))
        .collect();
    snapshot
        .for_each_entry(|dbi, entry| {
            let version = (entry.timestamp, entry.deleted, entry.value.to_vec());
            let old = content
                .get_mut(&dbi.header.name)
                .unwrap()
                .insert(entry.key.to_vec(), version);
            assert!(old.is_none(), "an entry comes twice");
            Ok::<(), DecodeError>(())
        })
        .unwrap();
    content
}

pub fn options() -> OpenOptions {
    OpenOptions {
        map_size: 16 << 20,
        max_dbs: 64,
        create: true,
        no_subdir: true,
    }
}

pub fn open(path: &Path) -> Arc<Environment> {
    Arc::new(Environment::open(path, &options()).unwrap())
}

pub fn database_content(env: &Environment) -> Content {
    env.read(|reader| {
        let mut content = Content::new();
        for dbi in reader.dbis()?.iter().filter(|dbi| !is_private_dbi(&dbi.name)) {
            let entries = content.entry(dbi.name.clone()).or_default();
            reader.for_each(dbi, |key, header, value| {
                entries.insert(key.to_vec(), (header.timestamp, header.deleted, value.to_vec()));
                Ok::<(), LmdbError>(())
            })?;
        }
        Ok::<Content, LmdbError>(content)
    })
    .unwrap()
}

/// Hours between two looks of any kind, and nothing is stored.
pub fn unhurried() -> Pace {
    let hours = Duration::from_secs(4 * 3600);
    Pace {
        lmdb_poll: hours,
        storage_poll: hours,
        retry: hours,
        retry_limit: None,
        force_snapshot: hours,
        receive_only: true,
        cleanup: Cleanup {
            interval: hours,
            retention: Retention {
                must_keep: hours,
                remove_old_instances: hours,
            },
            snapshots: false,
            history: None,
            retired: None,
        },
        once: false,
        sweep: None,
        shutdown: Duration::ZERO,
    }
}
