//! What peers and replicas tell of themselves. Whoever shows it is a layer above them.

mod peers;
mod quarantine;
mod replica;
mod serving;

pub use peers::{Ago, OwnCertificate, PeerContact, PeerLink, PeersReport, PeersReporter, RefusedPeer};
pub use quarantine::{Quarantined, QuarantinedEntry};
pub use replica::{Level, Way};
pub use serving::Basis;
