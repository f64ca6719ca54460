//! What peers and sync tell of themselves: plain data, and two traits through which they tell it. Whoever shows it, a layer above them,
//! implements these.

mod peers;
mod quarantine;
#[cfg(test)]
mod raised;
mod replica;
mod serving;

pub use peers::{Ago, OwnCertificate, PeerContact, PeerLink, PeersReport, PeersReporter, RefusedPeer};
pub use quarantine::{Quarantined, QuarantinedEntry};
#[cfg(test)]
pub(crate) use raised::Raised;
pub use replica::{Level, Report, Way};
pub use serving::{Basis, ReportServing};
