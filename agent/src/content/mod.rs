//! What PowerDNS keeps in its database, and what follows from a change of it. Pure, but for [`Zones`], [`zone_name`] and [`zone_id`], which
//! read the database.
//!
//! [`keys`], [`rrset`] and `values` read what PowerDNS stores, [`is_possible`] knows what is none of its keys, `rules` says which cached answers an
//! entry can change, and [`Touched`] collects that in bounded memory. [`Move`] and [`copied_zone`] give a zone another name.

mod copied;
pub mod keys;
mod moved;
mod possible;
pub mod rrset;
mod rules;
mod touched;
mod values;
mod zones;

pub use copied::copied_zone;
pub use moved::{Move, Moved, TooLong};
pub use possible::is_possible;
pub use rules::Change;
pub use touched::Touched;
pub(crate) use touched::{MOST_ZONES, Plan, Purge};
#[cfg(test)]
pub(crate) use values::tests as samples;
pub(crate) use values::{comes_from_a_primary, is_same_zone, metadata_kind};
pub use values::{without_order, zone_labels};
pub(crate) use zones::{Zones, live_zones};
pub use zones::{names_of, zone_id, zone_name};
