//! Processes seen from outside: processor time, memory, and how long the write lock is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use zonetide_agent::lmdb::Environment;

/// Processor time that a process has used, those of its threads that have ended included.
pub(crate) fn cpu(pid: u32) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// A field of /proc/PID/status in bytes.
fn status(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, field)
}

fn kilobytes(text: &str, field: &str) -> u64 {
    let lines = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(field)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    lines.sum::<u64>() << 10
}

/// Memory of mapped files that are no databases: the program and its libraries.
fn program(pid: u32) -> u64 {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut counts = false;
    let mut total = 0;
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            let path = line.find('/').map_or("", |at| &line[at..]);
            counts = !path.is_empty() && !path.contains("pdns.lmdb");
        } else if counts && first == "Rss:" {
            total += kilobytes(line, "Rss");
        }
    }
    total
}

/// A thread that looks again and again until it is asked for what it has seen.
struct Watcher<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Watcher<T> {
    fn start(watch: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || watch(&stop)
        });
        Self { stop, thread }
    }

    fn finish(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The most memory that a process has had since the start of this, without the mapped databases.
pub(crate) struct Memory {
    pid: u32,
    most: Arc<AtomicU64>,
    watcher: Watcher<()>,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = most.clone();
        let watcher = Watcher::start(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(status(pid, "RssAnon"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { pid, most, watcher }
    }

    /// Bytes; begins anew.
    pub(crate) fn most(&self) -> u64 {
        self.most.swap(0, Ordering::Relaxed) + program(self.pid)
    }

    pub(crate) fn finish(self) -> u64 {
        let most = self.most();
        self.watcher.finish();
        most
    }
}

/// Takes a database's write lock once a millisecond, as PowerDNS would at any time, and notes the longest wait for it.
pub(crate) struct OtherWriter(Watcher<Duration>);

impl OtherWriter {
    pub(crate) fn start(env: Arc<Environment>) -> Self {
        Self(Watcher::start(move |stop| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                drop(env.begin_write().unwrap());
                longest = longest.max(started.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            longest
        }))
    }

    pub(crate) fn longest_wait(self) -> Duration {
        self.0.finish()
    }
}

/// The load of the machine.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
