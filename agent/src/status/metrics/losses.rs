//! Metrics of what was lost and is back.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Database;

/// Of all databases.
pub(super) struct LossesFamilies {
    restored: Family<Database, Counter>,
    mended: Family<Database, Counter>,
}

/// Of one database.
pub struct Losses {
    /// Entries that were put back.
    pub restored: Counter,
    /// Entries whose keys were overwritten.
    pub mended: Counter,
}

impl LossesFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            restored: Family::default(),
            mended: Family::default(),
        };
        let help = "Entries that were gone without a deletion mark and were put back";
        registry.register("entries_restored", help, families.restored.clone());
        let help = "Entries with overwritten keys that got theirs back or were removed";
        registry.register("keys_mended", help, families.mended.clone());
        families
    }

    pub(super) fn of(&self, database: &Database) -> Losses {
        Losses {
            restored: self.restored.get_or_create(database).clone(),
            mended: self.mended.get_or_create(database).clone(),
        }
    }
}
