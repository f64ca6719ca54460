//! Families whose labels come and go, or that are set together.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Database, Seconds};

/// A snapshot's instance. Not called `instance`, which is Prometheus' own label for what it scrapes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Peer {
    pub(super) database: String,
    pub(super) peer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Checked {
    pub(super) database: String,
    pub(super) check: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Raised {
    pub(super) database: String,
    pub(super) condition: &'static str,
}

/// Bounds of the delays, seconds.
const DELAYS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 300.0, 3600.0];

/// See the fields.
#[derive(Clone)]
pub(super) struct Details {
    pub(super) newest: Family<Peer, Seconds>,
    pub(super) merged: Family<Peer, Seconds>,
    pub(super) delay: Family<Database, Histogram, fn() -> Histogram>,
    pub(super) failing: Family<Checked, Seconds>,
    pub(super) conditions: Family<Raised, Gauge>,
    pub(super) entries: Family<Database, Gauge>,
    pub(super) marks: Family<Database, Gauge>,
    pub(super) file_bytes: Family<Database, Gauge>,
    pub(super) map_bytes: Family<Database, Gauge>,
    pub(super) clock_ahead: Family<Database, Seconds>,
    pub(super) clock_uncertainty: Family<Database, Seconds>,
}

impl Details {
    pub(super) fn register(r: &mut Registry) -> Self {
        let details = Self {
            newest: Family::default(),
            merged: Family::default(),
            delay: Family::new_with_constructor(|| Histogram::new(DELAYS)),
            failing: Family::default(),
            conditions: Family::default(),
            entries: Family::default(),
            marks: Family::default(),
            file_bytes: Family::default(),
            map_bytes: Family::default(),
            clock_ahead: Family::default(),
            clock_uncertainty: Family::default(),
        };
        let help = "When the newest snapshot of an instance in the store was taken, seconds since the epoch";
        r.register_with_unit(
            "peer_newest_timestamp",
            help,
            Unit::Seconds,
            details.newest.clone(),
        );
        let help = "When the newest merged snapshot of an instance was taken, seconds since the epoch";
        r.register_with_unit(
            "peer_merged_timestamp",
            help,
            Unit::Seconds,
            details.merged.clone(),
        );
        let help = "From taking a snapshot on another instance until it was merged here";
        r.register_with_unit("merge_delay", help, Unit::Seconds, details.delay.clone());
        let help = "For how long a step has been failing, 0 if it works";
        r.register_with_unit("failing", help, Unit::Seconds, details.failing.clone());
        let help = "1 while something lasts that wants attention";
        r.register("condition", help, details.conditions.clone());
        let help = "Entries of the database without deletion marks, as last counted";
        r.register("entries", help, details.entries.clone());
        let help = "Deletion marks of the database, as last counted";
        r.register("marks", help, details.marks.clone());
        let help = "Size of the database's file";
        r.register_with_unit("file", help, Unit::Bytes, details.file_bytes.clone());
        let help = "Most that the database's file may grow to";
        r.register_with_unit("map", help, Unit::Bytes, details.map_bytes.clone());
        let help = "How far the own clock is ahead of the store's, negative if it is behind";
        r.register_with_unit(
            "store_clock_ahead",
            help,
            Unit::Seconds,
            details.clock_ahead.clone(),
        );
        let help = "How far the clocks' real difference may be from store_clock_ahead_seconds";
        let uncertainty = details.clock_uncertainty.clone();
        r.register_with_unit("store_clock_uncertainty", help, Unit::Seconds, uncertainty);
        details
    }
}
