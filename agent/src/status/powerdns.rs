//! Which PowerDNS runs beside the agent. Whoever asks it reports it here.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Where its version is reported to; clones are the same one.
#[derive(Clone, Default)]
pub struct PowerDnsStatus(Arc<watch::Sender<Option<String>>>);

/// Of `/status`.
#[derive(Debug, Serialize)]
pub(super) struct PowerDnsReport {
    /// Null while it does not run, or where the agent is not told its control socket.
    pub version: Option<String>,
}

impl PowerDnsStatus {
    /// It said that it is this; `None`: it does not run.
    pub fn runs(&self, version: Option<String>) {
        self.0.send_replace(version);
    }

    /// What it said last, like `5.1.5`.
    pub fn version(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until it is known.
    #[cfg(test)]
    pub(crate) async fn known(&self) {
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn report(&self) -> PowerDnsReport {
        PowerDnsReport {
            version: self.version(),
        }
    }
}
