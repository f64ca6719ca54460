//! Keeping PowerDNS' caches true: what a merge wrote is flushed over PowerDNS' control socket.
//!
//! `settle` says what to send when, and is pure. [`Control`] speaks to the socket and [`Flusher`] does all of it in time. [`samples`]
//! names zones for a probe of PowerDNS, and [`watch_version`] asks it which release it is.

mod control;
mod flusher;
pub mod samples;
mod settle;
mod version;

pub use control::Control;
pub use flusher::Flusher;
pub use version::watch_version;
