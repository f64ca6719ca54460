//! What history costs, by a simulated clock: one server takes a change a second, and its deltas become history before they are removed. Then
//! one zone's last week is read. `make bench-history`, with `HISTORY_RECORDS=1000000` and `HISTORY_DAYS=30`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::SpooledTempFile;
use zonetide_agent::content::keys::presented;
use zonetide_agent::history::{Catalog, DAY, Past, Scope, archive, compact, replay};
use zonetide_agent::snapshot::{
    BaseName, DbiHeader, DeltaName, DeltaWriter, Entry, Had, Meta, SegmentName, SnapshotWriter, entry_len,
};
use zonetide_agent::store::{Listed, ObjectBackend, Store, StoreError, spool};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_795_510_850 * SECOND / DAY * DAY;
/// What a cleaner is called, and how long deltas stay, by default.
const CLEANING: u64 = 5 * 60;
const RECORDS_OF_A_ZONE: u32 = 100;
const RECORDS: &str = "records_v5";
const INDEX: &str = "domains_v5_0";

/// A store that counts.
struct Counted {
    inner: ObjectBackend,
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    put_bytes: AtomicU64,
}

#[async_trait]
impl Store for Counted {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.inner.list(prefix).await?;
        self.lists
            .fetch_add(listed.len() as u64 / 1000 + 1, Ordering::Relaxed);
        Ok(listed)
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(name, object).await
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        use std::io::Seek as _;
        self.puts.fetch_add(1, Ordering::Relaxed);
        let len = object.seek(std::io::SeekFrom::End(0)).unwrap();
        self.put_bytes.fetch_add(len, Ordering::Relaxed);
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
}

fn key(record: u32) -> Vec<u8> {
    let zone = record / RECORDS_OF_A_ZONE + 1;
    [
        &zone.to_be_bytes()[..],
        format!("host{record}\0\0").as_bytes(),
        &[0, 1],
    ]
    .concat()
}

fn value(address: u32) -> Vec<u8> {
    [&[4, 0][..], &address.to_be_bytes(), &[60, 0, 0, 0, 1, 0, 1]].concat()
}

fn index(zone: u32) -> Vec<u8> {
    let name = format!("example\0zone{zone}\0");
    let len = u16::try_from(name.len()).unwrap();
    [&len.to_be_bytes()[..], name.as_bytes(), &zone.to_be_bytes()].concat()
}

/// Keys and values.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// All records, and the index of their zones, as a base snapshot.
fn base(folder: &Path, records: u32, time: u64) -> SpooledTempFile {
    let meta = Meta {
        vector: [(
            "a".to_owned(),
            Had {
                time,
                ..Had::default()
            },
        )]
        .into(),
        ..Meta::default()
    };
    let mut writer = SnapshotWriter::new(spool(folder), &meta).unwrap();
    let tables: [(&str, Entries); 2] = [
        (
            INDEX,
            (1..=records / RECORDS_OF_A_ZONE)
                .map(|zone| (index(zone), Vec::new()))
                .collect(),
        ),
        (
            RECORDS,
            (0..records).map(|record| (key(record), value(record))).collect(),
        ),
    ];
    for (name, mut entries) in tables {
        entries.sort();
        let entry = |(key, value): &(Vec<u8>, Vec<u8>)| entry_len(&of(key, value, START));
        let header = DbiHeader {
            name: name.to_owned(),
            ..DbiHeader::default()
        };
        writer
            .begin_dbi(&header, entries.iter().map(entry).sum())
            .unwrap();
        for (key, value) in &entries {
            writer.entry(&of(key, value, START)).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn of<'a>(key: &'a [u8], value: &'a [u8], timestamp: u64) -> Entry<'a> {
    Entry {
        key,
        value,
        timestamp,
        deleted: false,
    }
}

fn delta(folder: &Path, record: u32, address: u32, time: u64) -> SpooledTempFile {
    let meta = Meta {
        generation: "GX".into(),
        instance: "a".into(),
        hostname: "dns-0".into(),
        database: "main".into(),
        timestamp: time,
        ..Meta::default()
    };
    let mut writer = DeltaWriter::new(spool(folder), &meta).unwrap();
    writer
        .entry(RECORDS, &of(&key(record), &value(address), time - SECOND / 2))
        .unwrap();
    writer.finish().unwrap()
}

fn number(name: &str, default: u32) -> u32 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
    })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The most that this process has for itself while it is measured.
struct Peak {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Peak {
    fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            let (before, mut most) = (anonymous_memory(), 0);
            while !seen.load(Ordering::Relaxed) {
                most = most.max(anonymous_memory().saturating_sub(before));
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        Self { stop, thread }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (records, days) = (number("HISTORY_RECORDS", 1_000_000), number("HISTORY_DAYS", 30));
    let (dir, mut random) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(1));
    let folder = dir.path();
    let store = Counted {
        // On the disk: the memory of what reads it is measured.
        inner: ObjectBackend::new(
            Arc::new(object_store::local::LocalFileSystem::new_with_prefix(folder).unwrap()),
            "store/",
        ),
        puts: AtomicU64::new(0),
        gets: AtomicU64::new(0),
        lists: AtomicU64::new(0),
        put_bytes: AtomicU64::new(0),
    };
    // What is removed at once needs no disk.
    let deltas = ObjectBackend::new(Arc::new(InMemory::new()), "");
    let keep = 30 * DAY;
    let (mut catalog, mut now) = (Catalog::default(), START);
    let (mut delta_bytes, mut base_bytes, mut most_objects) = (0, 0, 0);
    let begin = Instant::now();
    for slot in 0..u64::from(days) * DAY / SECOND / CLEANING {
        if catalog.base_is_due(keep / 2, now) {
            let name = BaseName::new("main", "a", now).unwrap();
            store
                .put(name.as_str(), base(folder, records, now))
                .await
                .unwrap();
            base_bytes = store.inner.list(&BaseName::folder("main")).await.unwrap()[0].size;
            catalog.add_base(name);
        }
        let mut names = Vec::new();
        for _ in 0..CLEANING {
            let name = DeltaName::new("main", "a", now, now + SECOND).unwrap();
            now += SECOND;
            let mut object = delta(folder, random.random_range(0..records), random.random(), now);
            delta_bytes += std::io::Seek::stream_position(&mut object).unwrap();
            deltas.put(name.as_str(), object).await.unwrap();
            names.push(name);
        }
        let through = Through {
            deltas: &deltas,
            store: &store,
        };
        archive(&through, folder, "main", "a", names.clone(), &mut catalog)
            .await
            .unwrap();
        for name in names {
            deltas.delete(name.as_str()).await.unwrap();
        }
        for group in catalog.to_compact("a", &std::collections::BTreeSet::new(), now) {
            compact(&store, folder, "main", &group, &mut catalog)
                .await
                .unwrap();
        }
        let expired = catalog.expired(keep, now);
        for name in &expired.segments {
            store.delete(name.as_str()).await.unwrap();
            catalog.remove_segment(name);
        }
        for name in &expired.bases {
            store.delete(name.as_str()).await.unwrap();
            catalog.remove_base(name);
        }
        let objects = catalog.of("a").count() + catalog.bases().count();
        most_objects = most_objects.max(objects);
        if slot % (DAY / SECOND / CLEANING) == 0 {
            eprintln!(
                "day {} of {days}, {:.0?}",
                slot / (DAY / SECOND / CLEANING),
                begin.elapsed()
            );
        }
    }
    println!("{records} records, {days} days of a change a second");
    print(&store, (delta_bytes, base_bytes), most_objects, u64::from(days)).await;
    read(&store, folder, now, records).await;
}

/// What is kept, and what that took.
async fn print(store: &Counted, (delta_bytes, base_bytes): (u64, u64), most_objects: usize, days: u64) {
    let requests = [&store.puts, &store.gets, &store.lists].map(|count| count.load(Ordering::Relaxed));
    let listed = async |folder: String| store.inner.list(&folder).await.unwrap();
    let (segments, bases) = (
        listed(SegmentName::folder("main")).await,
        listed(BaseName::folder("main")).await,
    );
    let size = |listed: &[Listed]| listed.iter().map(|object| object.size).sum::<u64>();
    println!("| | |\n| --- | --- |");
    println!(
        "| the changes themselves, as deltas | {:.1} MiB |",
        mib(delta_bytes)
    );
    println!(
        "| the same in history | {:.1} MiB in {} segments |",
        mib(size(&segments)),
        segments.len()
    );
    println!(
        "| base snapshots | {:.1} MiB, {} of {:.1} MiB |",
        mib(size(&bases)),
        bases.len(),
        mib(base_bytes)
    );
    let over = (size(&segments) + size(&bases)) as f64 - delta_bytes as f64;
    println!(
        "| kept over the changes themselves (goal: below 3 snapshots) | {:.1} snapshots |",
        over / base_bytes as f64
    );
    println!("| most objects at a time | {most_objects} |");
    let [puts, gets, lists] = requests;
    println!(
        "| requests a day for history: PUT, GET, LIST | {}, {}, {} |",
        puts / days,
        gets / days,
        lists / days
    );
    println!(
        "| bytes that are stored again when segments are put together | {:.1} MiB |",
        mib(store
            .put_bytes
            .load(Ordering::Relaxed)
            .saturating_sub(size(&segments) + size(&bases)))
    );
}

/// The last week of one zone.
async fn read(store: &Counted, folder: &Path, now: u64, records: u32) {
    let (peak, begin) = (Peak::watch(), Instant::now());
    let since = now - (7 * DAY).min(now - START);
    let zone = records / RECORDS_OF_A_ZONE / 2 + 1;
    let name = format!("zone{zone}");
    let mut scope = Scope::of_zones([presented([name.as_bytes(), b"example"])]);
    let mut past = Past::fetch(store, folder, "main", (since, now), |_, _| {})
        .await
        .unwrap();
    let fetched = begin.elapsed();
    past.for_each_key(|dbi, key| scope.learn(dbi, key)).unwrap();
    let mut changes = 0;
    replay(
        &mut past,
        folder,
        now,
        |dbi, key| scope.has(dbi, key),
        |written| {
            changes += u64::from(written.moment > since);
            Ok(())
        },
    )
    .unwrap();
    let took = begin.elapsed();
    assert!(past.notes.is_empty(), "{:?}", past.notes);
    println!(
        "| a zone's last week ({changes} changes; goal: 2 s): time, of it fetching, memory | {took:.2?}, {fetched:.2?}, {:.1} MiB |",
        mib(peak.end())
    );
}

/// Deltas from memory, everything else from the disk; both are counted.
struct Through<'s> {
    deltas: &'s ObjectBackend,
    store: &'s Counted,
}

#[async_trait]
impl Store for Through<'_> {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.store.list(prefix).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        if name.starts_with(&DeltaName::folder("main")) {
            self.store.gets.fetch_add(1, Ordering::Relaxed);
            return self.deltas.get(name, object).await;
        }
        self.store.get(name, object).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.store.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name).await
    }
}
