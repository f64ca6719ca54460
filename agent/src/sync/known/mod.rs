//! What is known of the store and of the other instances: pure, and without a replica.

pub(super) mod deleted_zones;
pub mod deltas;
pub(super) mod departed;
pub(super) mod fleet_time;
pub(super) mod heard;
pub(super) mod hold;
pub(super) mod namesake;
pub mod plan;
pub(super) mod schema;
pub(super) mod sums;
pub(super) mod time_known;
pub(super) mod vectors;
pub(super) mod word;
