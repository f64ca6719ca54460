//! The cold start: everything from the bucket into an empty database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_agent::lmdb::{Environment, OpenOptions};
use zonetide_agent::snapshot::Snapshot;
use zonetide_agent::store::{ClientSettings, S3Options, Store, open_s3, spool};
use zonetide_agent::sync::merge;
use zonetide_testbed::agent::PREFIX;
use zonetide_testbed::garage::Bucket;

use crate::answers::says;
use crate::figures::{Cold, Parts};
use crate::node::{MAP_SIZE_MB, Node};
use crate::records::Records;
use crate::watch::Memory;

/// Starts the agent with an empty database, then PowerDNS, as in a pod.
pub(crate) async fn start(node: &mut Node, records: &Records, bucket: &Bucket) -> Cold {
    let started = Instant::now();
    node.launch_agent();
    let memory = Memory::watch(node.pid());
    node.agent().ready().await;
    let merged = started.elapsed();
    let memory = memory.finish();
    node.dns.start().await;
    let (client, (last, address)) = (node.dns.dns(), records.last());
    while !says(&client, &last.name, address).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answered = started.elapsed();
    let parts = if cfg!(debug_assertions) {
        None
    } else {
        Some(Parts::measure(bucket).await)
    };
    Cold {
        merged: merged.as_secs_f64(),
        answered: answered.as_secs_f64(),
        memory,
        parts,
    }
}

/// The same work once more, in this process and part by part.
impl Parts {
    async fn measure(bucket: &Bucket) -> Self {
        let seconds = Duration::from_secs;
        let options = S3Options {
            bucket: bucket.name.clone(),
            endpoint_url: bucket.endpoint.clone(),
            region: bucket.region.into(),
            access_key: bucket.access_key.clone(),
            secret_key: bucket.secret_key.clone(),
            global_prefix: PREFIX.into(),
            client: ClientSettings {
                idle_conn_timeout: seconds(90),
                max_idle_conns: 100,
                connect_timeout: seconds(10),
                dial_keep_alive: seconds(10),
                client_timeout: seconds(900),
                content_md5: true,
                ..ClientSettings::default()
            },
            ..S3Options::default()
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = open_s3(&options).unwrap();
        let mut parts = Self::default();
        let mut newest = BTreeMap::new();
        for database in ["main", "shard"] {
            let mut listed = store.list(&format!("{database}__a__")).await.unwrap();
            listed.sort_by(|a, b| a.name.cmp(&b.name));
            newest.insert(database, listed.pop().unwrap().name);
        }
        for name in newest.values() {
            parts.add(store.as_ref(), name).await;
        }
        parts
    }

    async fn add(&mut self, store: &dyn Store, name: &str) {
        let dir = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let mut object = store.get(name, spool(dir.path())).await.unwrap().unwrap();
        self.download += started.elapsed().as_secs_f64();
        self.snapshot += std::io::Seek::seek(&mut object, std::io::SeekFrom::End(0)).unwrap();
        std::io::Seek::rewind(&mut object).unwrap();

        // It is decoded twice: to prove that it is whole, and to merge it.
        let started = Instant::now();
        let mut snapshot = Snapshot::open(object).unwrap();
        let proved = started.elapsed();
        let started = Instant::now();
        snapshot
            .for_each_entry(|_, _| Ok::<(), zonetide_agent::snapshot::DecodeError>(()))
            .unwrap();
        let again = started.elapsed();
        self.decode += (proved + again).as_secs_f64();

        let options = OpenOptions {
            map_size: (MAP_SIZE_MB as usize) << 20,
            max_dbs: 64,
            create: true,
            no_subdir: true,
        };
        let env = Arc::new(Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap());
        let started = Instant::now();
        merge(&env, &mut snapshot, 0).unwrap();
        self.append += started.elapsed().saturating_sub(again).as_secs_f64();
    }
}
