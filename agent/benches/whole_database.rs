//! What a whole database costs: memory, time and PowerDNS' wait for the write lock while it is stored, merged where all
//! is known, compared by its digest, and merged into an empty database. `cargo bench -p zonetide-agent --bench whole_database [RECORDS…]`
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_agent::snapshot::{DecodeError, Snapshot};
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{ObjectBackend, spool};
use zonetide_agent::sync::{Origin, Received, Replica, merge};

const NOW: u64 = 1_795_510_850_000_000_000;
/// The clock has passed all that is written, ns.
const HOUR: u64 = 3_600_000_000_000;

fn open(path: &Path) -> Environment {
    let options = OpenOptions {
        map_size: 1 << 30,
        max_dbs: 64,
        create: true,
        no_subdir: true,
    };
    Environment::open(path, &options).unwrap()
}

/// Records as PowerDNS stores them: zones of 100 names with an address each.
fn fill(env: &Environment, records: u32) {
    for chunk in (0..records).collect::<Vec<_>>().chunks(50_000) {
        env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi("records_v5")?;
            for record in chunk {
                let key = [
                    &(record / 100 + 1).to_be_bytes()[..],
                    format!("host{record}\0\0").as_bytes(),
                    &[0, 1],
                ]
                .concat();
                let value = [&[4, 0][..], &record.to_be_bytes(), &[60, 0, 0, 0, 1, 0, 0, 0]].concat();
                writer.put(&dbi, &key, NOW, false, &value)?;
            }
            Ok(())
        })
        .unwrap();
    }
}

/// Memory that is this process' own, without mapped files, in KiB.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The most memory seen while `work` runs, less what there was before, in KiB, and the time it took.
fn watch(work: impl FnOnce()) -> (u64, Duration) {
    let done = Arc::new(AtomicBool::new(false));
    let before = anonymous_memory();
    let watcher = std::thread::spawn({
        let done = done.clone();
        move || {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(anonymous_memory());
                std::thread::sleep(Duration::from_millis(1));
            }
            most
        }
    });
    let started = Instant::now();
    work();
    let elapsed = started.elapsed();
    done.store(true, Ordering::Relaxed);
    (watcher.join().unwrap().saturating_sub(before), elapsed)
}

/// Another process that takes the write lock again and again, as PowerDNS would, and says how long it waited at most.
struct OtherWriter(Child);

impl OtherWriter {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([Path::new("--writer"), path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut ready)
            .unwrap();
        Self(child)
    }

    fn longest_wait(self) -> String {
        drop(self.0.stdin.as_ref().map(|mut pipe| pipe.write_all(b"\n")));
        let output = self.0.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn write_again_and_again(path: &Path) {
    let env = open(path);
    println!("ready");
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            let _ = std::io::stdin().read_line(&mut String::new());
            stop.store(true, Ordering::Relaxed);
        }
    });
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        drop(env.begin_write().unwrap());
        longest = longest.max(started.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{:.1} ms", longest.as_secs_f64() * 1e3);
}

fn replica(name: &str, env: &Arc<Environment>, store: &Path) -> Replica {
    let files = LocalFileSystem::new_with_prefix(store).unwrap();
    let origin = Origin {
        database: "shard".into(),
        instance: name.into(),
        hostname: "bench".into(),
    };
    let status = Arc::new(DatabaseStatus::new(Metrics::new().database("shard")));
    let backend = Arc::new(ObjectBackend::new(Arc::new(files), ""));
    Replica::new(env.clone(), backend, status, origin, Arc::new(|| NOW + HOUR))
}

fn measure(records: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let row = |what: &str, memory: u64, elapsed: Duration, wait: &str| {
        println!(
            "{records:>9}  {what:<34} {:>8.1} MiB {:>8.3} s   {wait:>10}",
            memory as f64 / 1024.0,
            elapsed.as_secs_f64()
        );
    };
    let env = Arc::new(open(&dir.path().join("a")));
    fill(&env, records);
    let a = replica("a", &env, &store);
    runtime.block_on(a.receive()).unwrap();
    let writer = OtherWriter::start(env.path());
    let (memory, elapsed) = watch(|| assert!(runtime.block_on(a.send(false)).unwrap()));
    row("store", memory, elapsed, &writer.longest_wait());

    let other = Arc::new(open(&dir.path().join("b")));
    fill(&other, records);
    let b = replica("b", &other, &store);
    let writer = OtherWriter::start(other.path());
    let (memory, elapsed) = watch(|| assert_eq!(runtime.block_on(b.receive()).unwrap(), Received::All));
    row("merge, everything known", memory, elapsed, &writer.longest_wait());
    assert!(runtime.block_on(b.send(false)).unwrap());
    let digest = || {
        let digest = runtime.block_on(b.digest()).unwrap();
        assert!(digest.is_some(), "something is on its way");
    };
    let (memory, elapsed) = watch(digest);
    row("digest of all entries", memory, elapsed, "");
    fill(&other, 1);
    assert!(runtime.block_on(b.send(false)).unwrap());
    let (memory, elapsed) = watch(digest);
    row("digest after one change", memory, elapsed, "");

    let empty = Arc::new(open(&dir.path().join("c")));
    let c = replica("c", &empty, &store);
    let writer = OtherWriter::start(empty.path());
    let (memory, elapsed) = watch(|| assert_eq!(runtime.block_on(c.receive()).unwrap(), Received::All));
    row(
        "merge into an empty database",
        memory,
        elapsed,
        &writer.longest_wait(),
    );

    // Nobody else has the file open, as before PowerDNS starts.
    let empty = Arc::new(open(&dir.path().join("d")));
    let d = replica("d", &empty, &store);
    let (memory, elapsed) = watch(|| assert_eq!(runtime.block_on(d.receive()).unwrap(), Received::All));
    row("cold start, before PowerDNS", memory, elapsed, "");
    shares(records, &store, &open(&dir.path().join("e")));
}

/// Where the time of a cold start goes.
fn shares(records: u32, store: &Path, env: &Environment) {
    let object = std::fs::read_dir(store).unwrap().next().unwrap().unwrap().path();
    let mut since = Instant::now();
    let mut lap = || std::mem::replace(&mut since, Instant::now()).elapsed();
    let mut spooled = spool(store);
    std::io::copy(&mut std::fs::File::open(object).unwrap(), &mut spooled).unwrap();
    let read = lap();
    let mut snapshot = Snapshot::open(spooled).unwrap();
    let proved = lap();
    snapshot
        .for_each_entry::<DecodeError>(|_, entry| {
            std::hint::black_box(entry.key);
            Ok(())
        })
        .unwrap();
    let decoded = lap();
    let merged = merge(env, &mut snapshot, 0).unwrap();
    // Merging decodes once more.
    let appended = lap().saturating_sub(merged.committing + decoded);
    for (what, time) in [
        ("  read the object", read),
        ("  prove it sound", proved),
        ("  decode the entries", decoded),
        ("  append them", appended),
        ("  commit", merged.committing),
    ] {
        println!(
            "{records:>9}  {what:<34} {:>12} {:>8.3} s",
            "",
            time.as_secs_f64()
        );
    }
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, path] = &args[..]
        && flag == "--writer"
    {
        return write_again_and_again(&PathBuf::from(path));
    }
    let sizes: Vec<u32> = args.iter().map(|arg| arg.parse().unwrap()).collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine: {}", load.trim());
    println!(
        "{:>9}  {:<34} {:>12} {:>10}   {:>10}",
        "records", "", "memory", "time", "lock wait"
    );
    for records in if sizes.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        sizes
    } {
        measure(records);
    }
}
