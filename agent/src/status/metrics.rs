//! Prometheus metrics of an agent.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Database {
    database: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    database: String,
    step: &'static str,
}

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
    bytes_stored: Family<Database, Counter>,
    removed: Family<Database, Counter>,
    marks_swept: Family<Database, Counter>,
    failures: Family<Failure, Counter>,
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
    pub bytes_stored: Counter,
    pub removed: Counter,
    pub marks_swept: Counter,
    failures: Family<Failure, Counter>,
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
        let unsynced = gauge(
            r,
            "unsynced",
            "1 while the database has changes that are not in the store",
        );
        let listings = counter(r, "listings", "Listings of the store");
        let merged = counter(r, "snapshots_merged", "Snapshots merged into the database");
        let entries_written = counter(
            r,
            "entries_written",
            "Entries that merges wrote into the database",
        );
        let corrupt = counter(r, "snapshots_corrupt", "Snapshots that could not be decoded");
        let stored = counter(r, "snapshots_stored", "Snapshots written to the store");
        let removed = counter(
            r,
            "snapshots_removed",
            "Superseded snapshots removed from the store",
        );
        let marks_swept = counter(r, "marks_swept", "Old deletion marks removed from the database");
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
            bytes_stored,
            removed,
            marks_swept,
            failures,
        }
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
            bytes_stored: counter(&self.bytes_stored),
            removed: counter(&self.removed),
            marks_swept: counter(&self.marks_swept),
            failures: self.failures.clone(),
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
