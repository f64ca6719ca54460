//! What peers and sync tell of themselves: two traits and plain data. Whoever shows it implements the traits, in a layer above them.

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
