//! What a running PowerDNS writes is found by the walk over changed pages, and the kernel tells of it.

use std::path::Path;
use std::sync::Arc;

use zonetide_agent::lmdb::{Change, Environment, KeptReader, LmdbError, OpenOptions, Watch, scan_since};
use zonetide_testbed::{PowerDns, Version};

use crate::node::ZONE;

type Entries = Vec<(String, Vec<u8>, bool)>;

/// One of PowerDNS' two files, and the state of it that was looked at last.
struct Watched {
    env: Arc<Environment>,
    kept: KeptReader,
    watch: Watch,
}

impl Watched {
    fn open(path: &Path) -> Self {
        let options = OpenOptions {
            map_size: 1 << 30,
            max_dbs: 64,
            create: true,
            no_subdir: true,
        };
        let env = Arc::new(Environment::open(path, &options).unwrap());
        let (kept, watch) = (env.keep_reader().unwrap(), env.watch().unwrap());
        Self { env, kept, watch }
    }

    /// The entries put since the last call, when there are any. The walk and the full read agree on them.
    async fn changes(&mut self) -> Entries {
        self.watch.changed().await.unwrap();
        let new = self.env.keep_reader().unwrap();
        let note = |entries: &mut Entries, change: Change<'_>| {
            let deleted = change.new.unwrap().header.deleted;
            entries.push((change.dbi.to_owned(), change.key.to_vec(), deleted));
            Ok(())
        };
        let (mut walked, mut scanned) = (Vec::new(), Vec::new());
        let changes = new.changes_since::<LmdbError>(&self.kept, |change| note(&mut walked, change));
        assert_eq!(changes.unwrap().entries, walked.len() as u64);
        let reader = self.env.begin_read().unwrap();
        assert_eq!(
            reader.txn_id(),
            new.txn_id(),
            "PowerDNS wrote after it had answered"
        );
        let old = self.kept.txn_id();
        scan_since::<LmdbError>(&reader, old, |change| note(&mut scanned, change)).unwrap();
        reader.finish().unwrap();
        assert_eq!(walked, scanned);
        assert!(!walked.is_empty(), "woken, but nothing has changed");
        self.kept = new;
        walked
    }
}

/// The end of the key of an A record of a name in the zone.
fn a_record(label: &str) -> Vec<u8> {
    [label.as_bytes(), &[0, 0, 0, 1]].concat()
}

on_both_versions!(what_powerdns_writes_is_found_as_a_full_read_finds_it,);

async fn what_powerdns_writes_is_found_as_a_full_read_finds_it(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("pdns.lmdb");
    let mut dns = PowerDns::new("pdns", &database);
    dns.change_version(version);
    dns.start().await;
    let api = dns.api();
    let mut main = Watched::open(&database);
    let mut shard = Watched::open(&dir.path().join("pdns.lmdb-0"));

    api.create_zone(ZONE).await.unwrap();
    let dbis: Vec<_> = main.changes().await.into_iter().map(|(dbi, ..)| dbi).collect();
    assert!(dbis.contains(&"domains_v5".to_owned()), "{dbis:?}");
    assert!(shard.changes().await.iter().all(|(dbi, ..)| dbi == "records_v5"));

    for number in 0..40 {
        let name = format!("host{number}.{ZONE}");
        api.replace(ZONE, &name, "A", &["192.0.2.1"]).await.unwrap();
    }
    shard.changes().await;
    api.replace(ZONE, &format!("host7.{ZONE}"), "A", &["192.0.2.2"])
        .await
        .unwrap();
    let changed = shard.changes().await;
    // The record, and the serial number of the zone.
    assert!(changed.len() <= 2, "{changed:?}");
    assert!(
        changed
            .iter()
            .any(|(_, key, deleted)| key.ends_with(&a_record("host7")) && !deleted),
        "{changed:?}"
    );

    api.delete(ZONE, &format!("host7.{ZONE}"), "A").await.unwrap();
    let changed = shard.changes().await;
    assert!(
        changed
            .iter()
            .any(|(_, key, deleted)| key.ends_with(&a_record("host7")) && *deleted),
        "{changed:?}"
    );

    api.enable_dnssec(ZONE).await.unwrap();
    assert!(main.changes().await.iter().any(|(dbi, ..)| dbi == "keydata_v5"));
    if shard.env.last_txn_id() > shard.kept.txn_id() {
        shard.changes().await;
    }

    api.delete_zone(ZONE).await.unwrap();
    assert!(
        main.changes()
            .await
            .iter()
            .any(|(dbi, _, deleted)| dbi == "domains_v5" && *deleted)
    );
    let marks = shard
        .changes()
        .await
        .into_iter()
        .filter(|(.., deleted)| *deleted)
        .count();
    assert!(marks >= 39, "{marks} deletion marks");
    dns.stop();
}
