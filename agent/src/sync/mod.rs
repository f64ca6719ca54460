//! Replication of a database through a store.
//!
//! Its rooms, from the lowest on: each may use those before it, and calls no method of a replica that one of a later room defines
//! (`agent/tests/layers/rooms.rs`).

pub mod peer;

mod limits;

mod order;

mod files;

mod known;

mod database;

mod pace;

mod error;

mod trouble;

mod state;

mod guards;

mod outbound;

mod inbound;

mod maintenance;

mod cadence;

pub mod serving;

mod run;

pub use database::ahead::{AHEAD_DBI, Ahead};
pub use database::dump::{Dump, TransferError, dump};
pub use database::load::{Merged, merge};
pub use database::quarantine::{LeftOut, QUARANTINE_DBI};
pub use database::sweeper::{Sweep, Swept, sweep};
pub use error::SyncError;
pub use files::held_deletions::HeldDeletions;
pub use guards::contain::MAX_AHEAD;
pub use inbound::hand_over::TakenOver;
pub use inbound::receive::Received;
pub use known::deleted_zones::Deletions;
pub use known::fleet_time::{Clock, FleetTime};
pub use known::hold::Hold;
pub use known::schema::{SchemaGuard, Verdict};
pub use known::sums::{Digest, Parts, Wanted};
pub use known::word::Word;
pub use known::{deltas, plan};
pub use limits::Limits;
pub use maintenance::cleaner::Cleaner;
pub use maintenance::history::{History, LEAST as LEAST_HISTORY};
pub use order::Order;
pub use pace::{Cleanup, Pace, Retention, SweepPace};
pub use run::{Ways, run};
pub use state::replica::{Origin, Replica, Schemas, Witness};
pub use trouble::Trouble;
