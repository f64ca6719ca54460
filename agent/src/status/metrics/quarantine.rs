//! Metrics of what is kept because its time is yet to come.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Database;

/// Of all databases.
pub(super) struct QuarantineFamilies {
    entries: Family<Database, Gauge>,
    kept: Family<Database, Counter>,
    released: Family<Database, Counter>,
}

/// Of one database.
pub struct Quarantine {
    /// Entries that are kept now.
    pub entries: Gauge,
    pub kept: Counter,
    /// Entries that were merged when it was time.
    pub released: Counter,
}

impl QuarantineFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            entries: Family::default(),
            kept: Family::default(),
            released: Family::default(),
        };
        let help = "Entries that are too far ahead of the time, and kept until then";
        registry.register("quarantined_entries", help, families.entries.clone());
        let help = "Entries kept because they were too far ahead of the time";
        registry.register("quarantine_kept", help, families.kept.clone());
        let help = "Kept entries that were merged when it was time";
        registry.register("quarantine_released", help, families.released.clone());
        families
    }

    pub(super) fn of(&self, database: &Database) -> Quarantine {
        Quarantine {
            entries: self.entries.get_or_create(database).clone(),
            kept: self.kept.get_or_create(database).clone(),
            released: self.released.get_or_create(database).clone(),
        }
    }
}
