//! Keeping PowerDNS' caches true: what a merge wrote is flushed over PowerDNS' control socket.
//!
//! Pure: [`keys`] and `values` read what PowerDNS stores, [`is_possible`] knows what is none of its keys, `rules` says which
//! cached answers an entry can change, [`Touched`] collects that in bounded memory, `settle` says what to send when. [`Control`]
//! speaks to the socket and [`Flusher`] does all of it in time. `sync` knows of [`Touched`] and keys only. [`samples`] names zones
//! for a probe of PowerDNS, and [`watch_version`] asks it which release it is.

mod control;
mod flusher;
pub mod keys;
mod possible;
mod rules;
pub mod samples;
mod settle;
mod touched;
mod values;
mod version;
mod zones;

pub use control::Control;
pub use flusher::Flusher;
pub use possible::is_possible;
pub use rules::Change;
pub use touched::Touched;
pub use values::{without_order, zone_labels};
pub use version::watch_version;
pub use zones::zone_name;
