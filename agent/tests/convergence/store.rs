//! A bucket that keeps the promises of [`Store`] and no others, and the requests of one agent to it, one at a time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tempfile::SpooledTempFile;
use tokio::sync::{Notify, Semaphore};
use zonetide_agent::snapshot::{DeltaName, Snapshot, SnapshotName};
use zonetide_agent::store::{Listed, Skew, Store, StoreError, StoreErrorReason};

use super::clock::Clock;
use super::server::Said;
use super::support::spooled;

/// What goes wrong with the next upload. The agent is told of a failure each time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PutFault {
    Lost,
    Taken,
    /// So many quarters of the object are taken.
    Torn(u8),
    /// The object is there later, or never: see [`Bucket::land`] and [`Bucket::lose`].
    Slow,
}

#[derive(Default)]
pub(crate) struct Bucket(Mutex<State>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    slow: Vec<(String, Object)>,
    fault: Option<PutFault>,
    requests: u64,
}

struct Object {
    content: Vec<u8>,
    /// The number of the request that brought it.
    request: u64,
    /// ns since the epoch.
    stored: u64,
}

impl Bucket {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap();
        state.requests += 1;
        work(&mut state)
    }

    pub(crate) fn set_fault(&self, fault: Option<PutFault>) {
        self.with(|state| state.fault = fault);
    }

    /// One of the slow uploads arrives; which, says the number.
    ///
    /// An upload outlives the agent that began it, but not so long that the next agent of that name has stored an object
    /// with no newer time in its name meanwhile (its clock was set back): that is not promised to go well.
    pub(crate) fn land(&self, number: usize) {
        self.with(|state| {
            if state.slow.is_empty() {
                return;
            }
            let (name, object) = state.slow.swap_remove(number % state.slow.len());
            let of_instance = name.rsplit_once("__2").map_or("", |(start, _)| start);
            let hides_a_later_one = state.objects.iter().any(|(other, later)| {
                other.starts_with(of_instance) && *other <= name && later.request > object.request
            });
            if !hides_a_later_one {
                state.objects.insert(name, object);
            }
        });
    }

    /// One of the slow uploads fails for good.
    pub(crate) fn lose(&self, number: usize) {
        self.with(|state| {
            if !state.slow.is_empty() {
                state.slow.swap_remove(number % state.slow.len());
            }
        });
    }

    /// All faults end.
    pub(crate) fn calm(&self) {
        self.set_fault(None);
        while self.with(|state| !state.slow.is_empty()) {
            self.land(0);
        }
    }

    pub(crate) fn empty(&self) {
        self.with(|state| state.objects.clear());
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|state| state.objects.keys().cloned().collect())
    }

    /// True if an instance has deltas of a database, and no snapshot.
    pub(crate) fn has_deltas_alone(&self, database: &str, instance: &str) -> bool {
        let has_delta = self.with(|state| {
            let of = |name: &String| {
                DeltaName::parse(database, name).is_ok_and(|name| name.instance() == instance)
            };
            state.objects.keys().any(of)
        });
        has_delta && !self.has_readable(database, instance)
    }

    /// A state of an instance is in the bucket, as a snapshot or by a delta: an agent that remembers another one compares everything.
    pub(crate) fn has_state(&self, database: &str, instance: &str, time: u64) -> bool {
        self.names().iter().any(|name| {
            let snapshot = SnapshotName::parse(name).ok();
            let snapshot = snapshot.filter(|name| name.database() == database && name.instance() == instance);
            let delta = DeltaName::parse(database, name).ok();
            let delta = delta.filter(|name| name.instance() == instance);
            snapshot.is_some_and(|name| name.timestamp() == time)
                || delta.is_some_and(|name| name.time() == time)
        })
    }

    /// True if an instance has a sound snapshot of a database.
    pub(crate) fn has_readable(&self, database: &str, instance: &str) -> bool {
        self.with(|state| {
            state.objects.iter().any(|(name, object)| {
                SnapshotName::parse(name)
                    .is_ok_and(|name| name.database() == database && name.instance() == instance)
                    && Snapshot::open(spooled(&object.content)).is_ok()
            })
        })
    }
}

/// Steps of one agent that may be under way at a time.
pub(crate) const LANES: usize = 4;

/// Holds an agent's requests back until they are let through one by one, or all.
pub(crate) struct Gate {
    permits: Semaphore,
    arrived: Notify,
    open: AtomicBool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(0),
            arrived: Notify::new(),
            open: AtomicBool::new(false),
        }
    }
}

impl Gate {
    async fn pass(&self) {
        if !self.open.load(Ordering::Relaxed) {
            self.arrived.notify_one();
            self.permits.acquire().await.unwrap().forget();
        }
    }

    /// Waits until a request stands at the gate.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Lets the waiting request through.
    pub(crate) fn let_one_through(&self) {
        self.permits.add_permits(1);
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }
}

/// How well the store's answers tell the time, ns.
const UNSURE: i64 = 100_000_000;

/// The bucket as one agent reaches it.
pub(crate) struct Line {
    pub(crate) bucket: Arc<Bucket>,
    /// One for each step that may be under way, and whose turn it is.
    pub(crate) gates: Arc<[Gate; LANES]>,
    pub(crate) lane: Arc<AtomicUsize>,
    /// The server is cut off.
    pub(crate) cut: Arc<AtomicBool>,
    /// Uploads that the agent knows to have succeeded.
    pub(crate) stored: Arc<AtomicU64>,
    pub(crate) said: Said,
    /// What the store's answers are compared with.
    pub(crate) clock: Clock,
}

impl Line {
    fn fail(operation: &'static str, name: &str) -> StoreError {
        StoreError {
            operation,
            name: name.to_owned(),
            reason: StoreErrorReason::Other(object_store::Error::Generic {
                store: "test",
                source: "a fault of the test".into(),
            }),
        }
    }

    async fn pass(&self, operation: &'static str, name: &str) -> Result<(), StoreError> {
        self.gates[self.lane.load(Ordering::Relaxed)].pass().await;
        if self.cut.load(Ordering::Relaxed) {
            Err(Self::fail(operation, name))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for Line {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.pass("list", prefix).await?;
        Ok(self.bucket.with(|state| {
            let mut listed: Vec<_> = state
                .objects
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
                .map(|(name, object)| Listed {
                    name: name.clone(),
                    size: object.content.len() as u64,
                    modified: Some(object.stored),
                })
                .collect();
            // Another order each time.
            listed.sort_by_key(|listed| {
                let mut hasher = DefaultHasher::new();
                (&listed.name, state.requests).hash(&mut hasher);
                hasher.finish()
            });
            listed
        }))
    }

    async fn get(&self, name: &str, _: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.pass("read", name).await?;
        Ok(self
            .bucket
            .with(|state| state.objects.get(name).map(|object| spooled(&object.content))))
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        let mut content = Vec::new();
        std::io::Seek::rewind(&mut object).unwrap();
        object.read_to_end(&mut content).unwrap();
        self.said.lock().unwrap().push(content.clone());
        self.pass("write", name).await?;
        let succeeded = self.bucket.with(|state| {
            let fault = state.fault.take();
            if let Some(PutFault::Torn(quarters)) = fault {
                content.truncate(content.len() * usize::from(quarters % 4) / 4);
            }
            let request = state.requests;
            let stored = self.clock.time();
            let object = Object {
                content,
                request,
                stored,
            };
            match fault {
                Some(PutFault::Lost) => {}
                Some(PutFault::Slow) => state.slow.push((name.to_owned(), object)),
                Some(PutFault::Taken | PutFault::Torn(_)) | None => {
                    state.objects.insert(name.to_owned(), object);
                }
            }
            fault.is_none()
        });
        // The agent may end between the two, or be cut off from the answer.
        self.pass("write", name).await?;
        if succeeded {
            self.stored.fetch_add(1, Ordering::Relaxed);
            Ok(())
        } else {
            Err(Self::fail("write", name))
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.pass("remove", name).await?;
        self.bucket.with(|state| state.objects.remove(name));
        Ok(())
    }

    fn skew(&self) -> Option<Skew> {
        let ahead = self.clock.ahead();
        Some(Skew::between(ahead - UNSURE, ahead + UNSURE))
    }
}
