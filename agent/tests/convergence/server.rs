//! A server: PowerDNS' databases, the agents beside them, and the clocks of both.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Mutex;
use zonetide_agent::lmdb::Environment;
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::sync::{
    Cleaner, Limits, MAX_AHEAD, Origin, Received, Replica, Retention, SchemaGuard, Schemas, Sweep, SyncError,
};

use super::clock::Clock;
use super::model::{Entries, Writes};
use super::steps::Clocks;
use super::store::{Bucket, Gate, LANES, Line};
use super::support::open;
use super::wire::{Phone, Wire};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const DAY: u64 = 86_400 * SECOND;
/// Where the objects are, as a memory says it.
pub(crate) const STORE: &str = "here";
const START: u64 = 1_795_510_850 * SECOND;

/// What sweepers and cleaners keep. Between two long times (`calm.rs`) at most 40 h pass, and clocks differ by some
/// minutes: both together are far below the two days between the ages from which a mark is not taken and from which it
/// is removed.
pub(crate) const SWEEP: Sweep = Sweep {
    retention: Duration::from_secs(100 * 86_400),
    load_cutoff: Duration::from_secs(98 * 86_400),
    lock: Duration::from_millis(50),
    release: Duration::ZERO,
};
pub(crate) const RETENTION: Retention = Retention {
    must_keep: Duration::from_secs(600),
    remove_old_instances: Duration::from_secs(1800),
};

/// What an agent may do next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Receive,
    ReceiveNews,
    Send,
    /// As after `storage_force_snapshot_interval`.
    ForcedSend,
    Tell,
    Clean,
    /// As without a cleaner.
    CleanOwn,
    Sweep,
}

impl Op {
    /// Steps of the same lane follow each other, as they do in the agent; others are under way at a time.
    pub(crate) fn lane(self) -> usize {
        match self {
            Self::Receive | Self::ReceiveNews => 0,
            Self::Send | Self::ForcedSend => 1,
            Self::Clean | Self::CleanOwn | Self::Sweep => 2,
            Self::Tell => 3,
        }
    }

    fn is_for_readers(self) -> bool {
        matches!(self, Self::Receive | Self::ReceiveNews | Self::Sweep)
    }
}

pub(crate) type Outcome = Result<bool, SyncError>;

/// The parts of an agent that the steps of one database need.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) replica: Arc<Replica>,
    pub(crate) cleaner: Arc<Mutex<Cleaner>>,
}

impl Agent {
    pub(crate) async fn run(self, op: Op, clock: u64, monotonic: Instant) -> Outcome {
        let Self { replica, cleaner } = self;
        match op {
            Op::Receive => Ok(replica.receive().await? == Received::All),
            Op::ReceiveNews => Ok(replica.receive_news(true).await? == Received::All),
            Op::Send => replica.send(false).await,
            Op::ForcedSend => replica.send(true).await,
            Op::Tell => replica.tell().await.map(|()| true),
            Op::Clean => {
                let mut cleaner = cleaner.lock().await;
                let outcome = cleaner.clean(&replica, RETENTION, monotonic, clock).await;
                outcome.map(|_| true)
            }
            Op::CleanOwn => {
                let mut cleaner = cleaner.lock().await;
                let must_keep = RETENTION.must_keep;
                let outcome = cleaner.clean_own_deltas(&replica, must_keep, monotonic).await;
                outcome.map(|_| true)
            }
            Op::Sweep => replica.sweep().await.map(|_| true),
        }
    }
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It waits at the gate, or there was nothing to do.
    None,
    /// It succeeded: for a send whether all is stored, for a receive whether all is merged.
    Done(bool),
    /// The store failed it.
    Failed,
}

/// Objects as an agent stores or tells them.
pub(crate) type Said = Arc<std::sync::Mutex<Vec<Vec<u8>>>>;

/// A step under way.
pub(crate) struct Job {
    pub(crate) op: Op,
    pub(crate) future: Pin<Box<dyn Future<Output = Outcome>>>,
    /// What the database had of its own PowerDNS when the step began, and how many uploads had succeeded.
    pub(crate) own: Writes,
    pub(crate) stored: u64,
}

pub(crate) enum Process {
    Down,
    Running(Agent, Box<[Option<Job>; LANES]>),
}

pub(crate) struct Database {
    pub(crate) name: &'static str,
    pub(crate) env: Arc<Environment>,
    pub(crate) process: Process,
    pub(crate) gates: Arc<[Gate; LANES]>,
    pub(crate) lane: Arc<AtomicUsize>,
    pub(crate) stored: Arc<AtomicU64>,
    /// What its agent showed others, and nobody looked at yet.
    pub(crate) said: Said,
    /// What was there when somebody looked last.
    pub(crate) seen: Entries,
    dir: TempDir,
}

impl Database {
    /// A step of this lane is under way.
    pub(crate) fn is_busy(&self, lane: usize) -> bool {
        matches!(&self.process, Process::Running(_, jobs) if jobs[lane].is_some())
    }

    /// The state that its agents wrote down to be in the store, ns since the epoch, if it is of this database and not of one that was
    /// in its place.
    pub(crate) fn memory_is_of(&self) -> Option<u64> {
        let text = std::fs::read(self.memory()).ok()?;
        let memory: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let file = std::fs::metadata(self.env.path()).unwrap();
        memory["time"]
            .as_u64()
            .filter(|_| memory["file"]["inode"] == file.ino())
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("lmdb.zonetide-state.json")
    }

    pub(crate) fn new(name: &'static str) -> Self {
        // Memory, where there is a folder for it: the test is not about disks, and each commit would wait for one.
        let memory = std::path::Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory)
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        Self {
            name,
            env: open(&dir.path().join("lmdb")),
            process: Process::Down,
            gates: Arc::default(),
            lane: Arc::default(),
            stored: Arc::default(),
            said: Said::default(),
            seen: Entries::new(),
            dir,
        }
    }
}

/// Time as it is.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicU64>, Instant);

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START)), Instant::now())
    }
}

impl Time {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, time: u64) {
        self.0.fetch_add(time, Ordering::Relaxed);
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.1 + Duration::from_nanos(self.now() - START)
    }
}

/// How a server is set up for good.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // Each is a setting of its own.
pub(crate) struct Setup {
    pub(crate) receive_only: bool,
    pub(crate) sweeps: bool,
    /// It tells the others and listens to them.
    pub(crate) tells: bool,
    /// It knows after a restart what it wrote down before.
    pub(crate) remembers: bool,
    /// Its cleaners are told that all others never come back.
    pub(crate) retires: bool,
    /// It knows the fleet's time, and goes by it.
    pub(crate) knows_the_time: bool,
}

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) cut: Arc<AtomicBool>,
    /// Nobody hears what it tells.
    pub(crate) hushed: Arc<AtomicBool>,
    /// Its PowerDNS and its agent have the same.
    pub(crate) clock: Clock,
    /// The latest that it showed since the agents started.
    pub(crate) shown: u64,
    /// The time of PowerDNS' last write.
    pub(crate) written: u64,
    /// Databases that it wrote to after its clock was set back, and whose agents have not looked since.
    pub(crate) set_back: BTreeSet<usize>,
    guard: Arc<SchemaGuard>,
    /// None while the server is gone.
    pub(crate) databases: Vec<Database>,
    memories: Vec<Option<Vec<u8>>>,
}

impl Server {
    pub(crate) fn new(
        name: String,
        setup: Setup,
        time: Time,
        clocks: Clocks,
        databases: &[&'static str],
    ) -> Self {
        Self {
            name,
            setup,
            cut: Arc::default(),
            hushed: Arc::default(),
            clock: Clock::new(time, clocks.go_back),
            shown: 0,
            written: 0,
            set_back: BTreeSet::new(),
            guard: Arc::default(),
            databases: databases.iter().copied().map(Database::new).collect(),
            memories: Vec::new(),
        }
    }

    /// The agents start, and know nothing.
    pub(crate) async fn start(
        &mut self,
        bucket: &Arc<Bucket>,
        wire: &Arc<Wire>,
        others: &[String],
        limits: Limits,
    ) {
        self.guard = Arc::default();
        self.shown = self.clock.now();
        for (index, database) in self.databases.iter_mut().enumerate() {
            let origin = Origin {
                database: database.name.into(),
                instance: self.name.clone(),
                hostname: "test".into(),
            };
            let status = Arc::new(DatabaseStatus::new(Metrics::new().database(database.name)));
            database.gates = Arc::default();
            let line = Arc::new(Line {
                bucket: bucket.clone(),
                gates: database.gates.clone(),
                lane: database.lane.clone(),
                cut: self.cut.clone(),
                stored: database.stored.clone(),
                said: database.said.clone(),
                clock: self.clock.clone(),
            });
            let clock = self.clock.clone();
            let clock = Arc::new(move || clock.now());
            let mut replica = Replica::new(database.env.clone(), line, status, origin, clock);
            replica.set_schemas(Schemas {
                guard: self.guard.clone(),
                main: index == 0,
            });
            if self.setup.knows_the_time {
                replica.go_by_the_fleets_time(MAX_AHEAD);
            }
            if self.setup.receive_only {
                replica.only_receive();
            }
            if self.setup.sweeps {
                replica.set_sweep(SWEEP);
            }
            replica.set_limits(limits);
            if self.setup.tells {
                replica.set_peers(Arc::new(Phone {
                    own: self.name.clone(),
                    others: others.to_vec(),
                    wire: wire.clone(),
                    hushed: self.hushed.clone(),
                    said: database.said.clone(),
                }));
            }
            if self.setup.remembers && !self.setup.receive_only {
                replica.resume(STORE);
            }
            let mut cleaner = Cleaner::default();
            // Whoever keeps the list may be wrong: some of them live.
            if self.setup.retires {
                cleaner.retire(others.iter().cloned().collect());
            }
            replica.look_at_the_clock().await;
            let agent = Agent {
                replica: Arc::new(replica),
                cleaner: Arc::new(Mutex::new(cleaner)),
            };
            database.process = Process::Running(agent, Box::default());
        }
    }

    pub(crate) fn does(&self, op: Op) -> bool {
        !self.is_gone() && (!self.setup.receive_only || op.is_for_readers())
    }

    /// The agents write down what they know.
    pub(crate) fn remember(&self) {
        for database in &self.databases {
            if let Process::Running(agent, _) = &database.process
                && self.setup.remembers
                && !self.setup.receive_only
            {
                agent.replica.remember(STORE);
            }
        }
    }

    /// What they wrote down is lost.
    pub(crate) fn forget(&self) {
        for database in &self.databases {
            let _ = std::fs::remove_file(database.memory());
        }
    }

    /// The databases are lost, but not what agents wrote down beside them.
    pub(crate) fn lose_databases(&mut self) {
        self.memories = self
            .databases
            .iter()
            .map(|database| std::fs::read(database.memory()).ok())
            .collect();
        self.databases.clear();
    }

    pub(crate) fn new_databases(&mut self, names: &[&'static str]) {
        self.databases = names.iter().copied().map(Database::new).collect();
        for (database, memory) in self.databases.iter().zip(&self.memories) {
            if let Some(memory) = memory {
                std::fs::write(database.memory(), memory).unwrap();
            }
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.databases.is_empty()
    }
}
