//! Prometheus metrics of an agent; docs/metrics.md explains them.

mod details;
mod losses;
mod quarantine;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::serving::Serving;
use crate::report::Basis;
use crate::store::Skew;
use details::{Checked, Details, Peer, Raised};
use losses::{Losses, LossesFamilies};
use quarantine::{Quarantine, QuarantineFamilies};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Database {
    database: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    database: String,
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    basis: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The registry and its families.
pub struct Metrics {
    registry: Registry,
    ready: Family<Database, Gauge>,
    instances: Family<Database, Gauge>,
    unsynced: Family<Database, Gauge>,
    last_stored: Family<Database, Gauge>,
    listings: Family<Database, Counter>,
    merged: Family<Database, Counter>,
    entries_written: Family<Database, Counter>,
    corrupt: Family<Database, Counter>,
    stored: Family<Database, Counter>,
    deltas_merged: Family<Database, Counter>,
    deltas_taken: Family<Database, Counter>,
    deltas_stored: Family<Database, Counter>,
    bytes_stored: Family<Database, Counter>,
    removed: Family<Database, Counter>,
    marks_swept: Family<Database, Counter>,
    losses: LossesFamilies,
    cache_flushes: Family<Database, Counter>,
    quarantine: QuarantineFamilies,
    failures: Family<Failure, Counter>,
    serving: Family<Served, Gauge>,
    last_in_sync: Seconds,
    details: Details,
}

/// The metrics of one database.
pub struct DatabaseMetrics {
    database: String,
    pub ready: Gauge,
    pub instances: Gauge,
    pub unsynced: Gauge,
    pub last_stored: Gauge,
    pub listings: Counter,
    pub merged: Counter,
    pub entries_written: Counter,
    pub corrupt: Counter,
    pub stored: Counter,
    pub deltas_merged: Counter,
    pub deltas_taken: Counter,
    pub deltas_stored: Counter,
    pub bytes_stored: Counter,
    pub removed: Counter,
    pub marks_swept: Counter,
    pub losses: Losses,
    pub cache_flushes: Counter,
    pub quarantine: Quarantine,
    failures: Family<Failure, Counter>,
    details: Details,
}

impl DatabaseMetrics {
    /// Counts a failure of a step such as `list`, `read`, `write`, `merge`.
    pub fn failed(&self, step: &'static str) {
        self.failures
            .get_or_create(&Failure {
                database: self.database.clone(),
                step,
            })
            .inc();
    }

    /// The database was found equal to a peer's at `nanos`.
    pub fn compared(&self, nanos: u64) {
        self.losses.compared.set(seconds(nanos));
    }

    fn label(&self) -> Database {
        Database {
            database: self.database.clone(),
        }
    }

    fn peer(&self, peer: &str) -> Peer {
        Peer {
            database: self.database.clone(),
            peer: peer.to_owned(),
        }
    }

    /// The newest snapshot of an instance in the store was taken at `nanos`.
    pub fn instance_newest(&self, instance: &str, nanos: u64) {
        let newest = &self.details.newest;
        newest.get_or_create(&self.peer(instance)).set(seconds(nanos));
    }

    /// A snapshot of an instance, taken at `nanos`, is merged.
    pub fn instance_merged(&self, instance: &str, nanos: u64) {
        let merged = &self.details.merged;
        merged.get_or_create(&self.peer(instance)).set(seconds(nanos));
    }

    /// An instance has no snapshots any more.
    pub fn forget_instance(&self, instance: &str) {
        self.details.newest.remove(&self.peer(instance));
        self.details.merged.remove(&self.peer(instance));
    }

    pub fn observe_delay(&self, nanos: u64) {
        self.details
            .delay
            .get_or_create(&self.label())
            .observe(seconds(nanos));
    }

    pub fn failing(&self, check: &'static str, lasting: Duration) {
        let database = self.database.clone();
        let failing = &self.details.failing;
        failing
            .get_or_create(&Checked { database, check })
            .set(lasting.as_secs_f64());
    }

    pub fn condition(&self, condition: &'static str, holds: bool) {
        let database = self.database.clone();
        let conditions = &self.details.conditions;
        conditions
            .get_or_create(&Raised { database, condition })
            .set(holds.into());
    }

    pub fn compared_clocks(&self, skew: &Skew) {
        let signed = |nanos: i64| seconds(nanos.unsigned_abs()).copysign(if nanos < 0 { -1.0 } else { 1.0 });
        let (ahead, uncertainty) = (&self.details.clock_ahead, &self.details.clock_uncertainty);
        ahead.get_or_create(&self.label()).set(signed(skew.ahead()));
        uncertainty
            .get_or_create(&self.label())
            .set(signed(skew.uncertainty()));
    }

    pub fn measured(&self, file_bytes: u64, map_bytes: u64) {
        self.details
            .file_bytes
            .get_or_create(&self.label())
            .set(whole(file_bytes));
        self.details
            .map_bytes
            .get_or_create(&self.label())
            .set(whole(map_bytes));
    }

    pub fn counted(&self, entries: u64, marks: u64) {
        self.details
            .entries
            .get_or_create(&self.label())
            .set(whole(entries));
        self.details.marks.get_or_create(&self.label()).set(whole(marks));
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family under the prefix `zonetide_agent`.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("zonetide_agent");
        let r = &mut registry;
        let gauge = |r: &mut Registry, name: &str, help: &str| {
            let family = Family::<Database, Gauge>::default();
            r.register(name, help, family.clone());
            family
        };
        let counter = |r: &mut Registry, name: &str, help: &str| {
            let family = Family::<Database, Counter>::default();
            r.register(name, help, family.clone());
            family
        };
        let ready = gauge(r, "ready", "1 once all instances seen at the start are merged");
        let instances = gauge(r, "instances", "Instances with snapshots in the store");
        let unsynced = gauge(r, "unsynced", "1 while the store lacks something of the database");
        let listings = counter(r, "listings", "Listings of the store");
        let merged = counter(r, "snapshots_merged", "Snapshots merged into the database");
        let entries_written = counter(
            r,
            "entries_written",
            "Entries that merges wrote into the database",
        );
        let corrupt = counter(r, "snapshots_corrupt", "Snapshots that could not be decoded");
        let stored = counter(r, "snapshots_stored", "Snapshots written to the store");
        let deltas_merged = counter(
            r,
            "deltas_merged",
            "Deltas from the store merged into the database",
        );
        let deltas_taken = counter(r, "deltas_taken", "Deltas from peers merged into the database");
        let deltas_stored = counter(r, "deltas_stored", "Deltas written to the store");
        let removed = counter(
            r,
            "snapshots_removed",
            "Superseded snapshots removed from the store",
        );
        let marks_swept = counter(r, "marks_swept", "Old deletion marks removed from the database");
        let help = "Commands to PowerDNS that flushed its caches";
        let cache_flushes = counter(r, "cache_flushes", help);
        let last_stored = Family::<Database, Gauge>::default();
        let help = "When the last snapshot was stored, seconds since the epoch";
        r.register_with_unit("last_stored_timestamp", help, Unit::Seconds, last_stored.clone());
        let bytes_stored = Family::<Database, Counter>::default();
        r.register_with_unit(
            "stored",
            "Bytes written to the store",
            Unit::Bytes,
            bytes_stored.clone(),
        );
        let failures = Family::<Failure, Counter>::default();
        r.register(
            "failures",
            "Failed steps, all of which are tried again",
            failures.clone(),
        );
        let serving = Family::default();
        let help = "1 for what the server is up to date by, if it may be asked";
        r.register("serving", help, serving.clone());
        let last_in_sync = Seconds::default();
        let help = "When all databases were last known to be in sync, seconds since the epoch, 0 if never";
        r.register_with_unit(
            "last_in_sync_timestamp",
            help,
            Unit::Seconds,
            last_in_sync.clone(),
        );
        let details = Details::register(r);
        let losses = LossesFamilies::register(r);
        let quarantine = QuarantineFamilies::register(r);
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "What is running", version);
        Self {
            registry,
            ready,
            instances,
            unsynced,
            last_stored,
            listings,
            merged,
            entries_written,
            corrupt,
            stored,
            deltas_merged,
            deltas_taken,
            deltas_stored,
            bytes_stored,
            removed,
            marks_swept,
            losses,
            cache_flushes,
            quarantine,
            failures,
            serving,
            last_in_sync,
            details,
        }
    }

    pub(super) fn serving(&self, serving: &Serving) {
        for basis in Basis::ALL {
            let basis_now = i64::from(serving.basis == Some(basis));
            let label = Served { basis: basis.word() };
            self.serving.get_or_create(&label).set(basis_now);
        }
        self.last_in_sync.set(seconds(serving.last_in_sync.unwrap_or(0)));
    }

    /// The metrics of one database; they show up at once, with zeros.
    pub fn database(&self, name: &str) -> DatabaseMetrics {
        let label = Database {
            database: name.to_owned(),
        };
        let gauge = |family: &Family<Database, Gauge>| family.get_or_create(&label).clone();
        let counter = |family: &Family<Database, Counter>| family.get_or_create(&label).clone();
        DatabaseMetrics {
            database: name.to_owned(),
            ready: gauge(&self.ready),
            instances: gauge(&self.instances),
            unsynced: gauge(&self.unsynced),
            last_stored: gauge(&self.last_stored),
            listings: counter(&self.listings),
            merged: counter(&self.merged),
            entries_written: counter(&self.entries_written),
            corrupt: counter(&self.corrupt),
            stored: counter(&self.stored),
            deltas_merged: counter(&self.deltas_merged),
            deltas_taken: counter(&self.deltas_taken),
            deltas_stored: counter(&self.deltas_stored),
            bytes_stored: counter(&self.bytes_stored),
            removed: counter(&self.removed),
            marks_swept: counter(&self.marks_swept),
            losses: self.losses.of(&label),
            cache_flushes: counter(&self.cache_flushes),
            quarantine: self.quarantine.of(&label),
            failures: self.failures.clone(),
            details: self.details.clone(),
        }
    }

    /// Shows what a collector finds at every scrape.
    pub fn collect_from(&mut self, collector: Box<dyn Collector>) {
        self.registry.register_collector(collector);
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
