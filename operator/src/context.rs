//! What every reconcile shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::sync::OnceCell;

use crate::{
    agents::{Agents, Silences},
    events::Events,
    metrics::Metrics,
    objectstore::Sources,
    restores::{Restorers, Turns},
    settings::Settings,
};

pub struct Context {
    pub client: Client,
    pub events: Events,
    pub settings: Settings,
    pub sources: Arc<dyn Sources>,
    pub agents: Arc<dyn Agents>,
    pub metrics: Metrics,
    /// UID of the namespace kube-system, once read.
    pub kubernetes_uid: OnceCell<String>,
    pub backoff: Backoff,
    /// Of looks at whether servers use new keys.
    pub handing_over: Backoff,
    /// Which agents do not answer.
    pub silences: Silences,
    /// Of attempts to choose a server for API requests.
    pub choosing: Backoff,
    /// Has agents restore.
    pub restorers: Arc<dyn Restorers>,
    /// Of attempts to restore.
    pub restoring: Backoff,
    /// Which restores are about to begin.
    pub turns: Turns,
}

/// How long to wait before the next try, per object: longer each time it fails, and short again once it has worked.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<(String, String), u32>>,
}

/// Something may heal without a sign to us (a bucket made, a network repaired), so we look again at least this often.
const LONGEST: Duration = Duration::from_secs(30);

impl Backoff {
    /// Counts a failure and says when to try again: 1, 2, 4, 8, 16 and then 30 seconds.
    pub fn failed(&self, namespace: &str, name: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures
            .entry((namespace.to_owned(), name.to_owned()))
            .or_default();
        let delay = Duration::from_secs(1 << (*count).min(5)).min(LONGEST);
        *count = count.saturating_add(1);
        delay
    }

    /// Forgets the failures of an object, also because it is gone.
    pub fn worked(&self, namespace: &str, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_start_again_after_a_success() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| backoff.failed("dns", "example").as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.failed("dns", "other").as_secs(), 1);
        backoff.worked("dns", "example");
        assert_eq!(backoff.failed("dns", "example").as_secs(), 1);
    }
}
