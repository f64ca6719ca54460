//! What an agent tells of its peers. Whoever has peers fills it in; nothing here knows how they are spoken to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Gives the state of the peers at the moment.
pub type PeersReporter = Arc<dyn Fn() -> PeersReport + Send + Sync>;

/// The peers of an agent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PeersReport {
    /// By which they know this agent; none where agents have no certificates, or while it could not be read.
    pub certificate: Option<OwnCertificate>,
    /// Those that are told changes.
    pub links: Vec<PeerLink>,
    /// Those that have been heard, by instance.
    pub contacts: BTreeMap<String, PeerContact>,
    /// Requests that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    pub last_refused: Option<RefusedPeer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnCertificate {
    /// 12 hexadecimal digits of its SHA-256.
    pub fingerprint: String,
    /// When it ends, seconds since the epoch.
    pub expires: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct PeerLink {
    pub address: String,
    /// Who answers there, once somebody has.
    pub instance: Option<String>,
    /// `new`, `reached`, `away` or `own`.
    pub standing: &'static str,
    pub last_contact_seconds: Option<Ago>,
    pub told: u64,
    pub dropped: u64,
    pub failed: u64,
    pub queued: usize,
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PeerContact {
    pub in_contact: bool,
    pub last_heard_seconds: Ago,
    /// Changes that it has told.
    pub received: u64,
    /// By database, the time of its newest state, ns since the epoch.
    pub progress: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RefusedPeer {
    pub from: String,
    pub reason: &'static str,
    pub seconds: Ago,
}

/// How long ago something was; seconds with three decimals in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago(pub Duration);

impl Serialize for Ago {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = Duration::from_millis(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX));
        serializer.serialize_f64(rounded.as_secs_f64())
    }
}
