//! Metrics of what was lost or differed, and is back.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Database;

/// Of all databases.
pub(super) struct LossesFamilies {
    restored: Family<Database, Counter>,
    mended: Family<Database, Counter>,
    differed: Family<Database, Counter>,
    compared: Family<Database, Gauge<f64, AtomicU64>>,
}

/// Of one database.
pub struct Losses {
    /// Entries that were put back.
    pub restored: Counter,
    /// Entries whose keys were overwritten.
    pub mended: Counter,
    /// Entries that differed from a peer's.
    pub differed: Counter,
    /// When the database was last found equal to a peer's, s since the epoch.
    pub compared: Gauge<f64, AtomicU64>,
}

impl LossesFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            restored: Family::default(),
            mended: Family::default(),
            differed: Family::default(),
            compared: Family::default(),
        };
        let help = "Entries that were gone without a deletion mark and were put back";
        registry.register("entries_restored", help, families.restored.clone());
        let help = "Entries with overwritten keys that got theirs back or were removed";
        registry.register("keys_mended", help, families.mended.clone());
        let help = "Entries that differed from those of a peer with the same changes and were taken from it";
        registry.register("entries_differed", help, families.differed.clone());
        let help = "When the database was last found equal to that of a peer; 0: not yet";
        registry.register_with_unit(
            "last_compared_timestamp",
            help,
            Unit::Seconds,
            families.compared.clone(),
        );
        families
    }

    pub(super) fn of(&self, database: &Database) -> Losses {
        Losses {
            restored: self.restored.get_or_create(database).clone(),
            mended: self.mended.get_or_create(database).clone(),
            differed: self.differed.get_or_create(database).clone(),
            compared: self.compared.get_or_create(database).clone(),
        }
    }
}
