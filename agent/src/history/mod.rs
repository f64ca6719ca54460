//! The history of a database: what was written to it, when and by which instance, for as long as it is kept.
//!
//! The deltas by which changes travel are a log already, and removed within minutes. Before they go, [`archive`] puts them together as
//! segments, in a folder that nobody who replicates lists; [`compact`] makes one of those of an hour, and of a day. A base snapshot
//! now and then is where reading begins. What belongs together, and what goes, is decided in `catalog` and `spans`, which are pure.
//! [`Past`] fetches what a question needs, [`replay`] goes through it in the order of time, and [`restore`] takes back.

mod archive;
mod catalog;
mod error;
mod fetch;
mod past;
mod replay;
pub mod restore;
mod scope;
mod spans;
mod stash;

pub use archive::{archive, archive_start, compact};
pub use catalog::{Catalog, DAY, Expired, HOUR};
pub use error::HistoryError;
pub use past::{Note, Past};
pub use replay::{Timeline, Written, replay};
pub use scope::Scope;
pub(crate) use stash::{directory, leave_room};
