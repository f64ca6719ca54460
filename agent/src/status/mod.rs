//! What an agent tells about itself: states of its databases, health, metrics, and the HTTP endpoints that show them.

mod census;
mod events;
mod health;
mod http;
mod metrics;
mod page;
mod powerdns;
mod quarantine;
mod replica;
mod report;
mod reporter;
mod serving;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::report::{Basis, Level, PeersReporter};
use crate::store::Store;

pub use census::census;
pub use health::{HealthRules, Limits};
pub use http::serve;
pub use metrics::{DatabaseMetrics, Metrics};
pub use powerdns::PowerDnsStatus;
pub use reporter::DatabaseStatus;
pub use serving::{Serving, ServingStatus};
pub use state::{Clock, DatabaseState, Now};

use health::{Finding, Watch, examine};

/// How often the health is looked at for the log; each check has its own interval besides.
const TICK: Duration = Duration::from_secs(1);

/// What an agent is, and what counts as well.
#[derive(Debug, Clone)]
pub struct Identity {
    pub instance: String,
    pub health: HealthRules,
    /// A replica that has given no sign of life for so long hangs.
    pub patience: Duration,
}

/// All databases of an agent, by their configured names.
#[derive(Clone)]
pub struct Status {
    identity: Arc<Identity>,
    databases: Arc<BTreeMap<String, Arc<DatabaseStatus>>>,
    peers: Option<PeersReporter>,
    store: Option<Arc<dyn Store>>,
    serving: Arc<ServingStatus>,
    powerdns: PowerDnsStatus,
    clock: Clock,
    started: Now,
}

impl Status {
    pub fn new(identity: Identity, databases: BTreeMap<String, Arc<DatabaseStatus>>) -> Self {
        Self::with_clock(identity, databases, Arc::new(Now::read))
    }

    /// The same with another clock, for tests.
    pub fn with_clock(
        identity: Identity,
        databases: BTreeMap<String, Arc<DatabaseStatus>>,
        clock: Clock,
    ) -> Self {
        Self {
            identity: Arc::new(identity),
            databases: Arc::new(databases),
            peers: None,
            store: None,
            serving: Arc::default(),
            powerdns: PowerDnsStatus::default(),
            started: clock(),
            clock,
        }
    }

    /// Shows the peers as well.
    #[must_use]
    pub fn with_peers(mut self, peers: Option<PeersReporter>) -> Self {
        self.peers = peers;
        self
    }

    /// Shows with which key the store is used.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Shows by what the agent serves while it is not by the bucket.
    #[must_use]
    pub fn with_serving(mut self, serving: Arc<ServingStatus>) -> Self {
        self.serving = serving;
        self
    }

    /// Shows which PowerDNS runs beside it.
    #[must_use]
    pub fn with_powerdns(mut self, powerdns: PowerDnsStatus) -> Self {
        self.powerdns = powerdns;
        self
    }

    /// The state of every database.
    pub fn states(&self) -> BTreeMap<String, DatabaseState> {
        self.databases
            .iter()
            .map(|(name, status)| (name.clone(), status.state()))
            .collect()
    }

    /// The server may be asked, whatever the basis.
    pub fn is_ready(&self) -> bool {
        self.serving(&self.states()).basis.is_some()
    }

    /// By what it may be asked. Nobody need report the bucket: it is the basis once every database has merged all instances that
    /// were there when the agent started.
    fn serving(&self, states: &BTreeMap<String, DatabaseState>) -> Serving {
        let mut serving = self.serving.get();
        if states.values().all(|state| state.ready) && serving.basis != Some(Basis::Bucket) {
            serving.basis = Some(Basis::Bucket);
            serving.since = states.values().map(|state| state.ready_since).max().unwrap_or(0);
            serving.waits.clear();
        }
        serving
    }

    /// Databases whose replicas have not moved for too long, and for how long.
    pub fn hanging(&self) -> Vec<(String, Duration)> {
        let now = (self.clock)().steady;
        let silent = self.databases.iter().map(|(name, status)| {
            let silent = now.saturating_duration_since(status.last_sign());
            (name.clone(), silent)
        });
        silent
            .filter(|(_, silent)| *silent >= self.identity.patience)
            .collect()
    }

    /// Every check of every database, by the time `now`.
    fn findings(&self, states: &BTreeMap<String, DatabaseState>, now: Now) -> Vec<Finding> {
        let running = now.steady.saturating_duration_since(self.started.steady);
        let rules = &self.identity.health;
        let all = states.iter();
        all.flat_map(|(name, state)| examine(name, state, rules, running, now.steady))
            .collect()
    }

    fn refresh_metrics(&self, metrics: &Metrics) {
        let now = (self.clock)();
        for status in self.databases.values() {
            status.refresh_metrics(now);
        }
        metrics.serving(&self.serving(&self.states()));
    }
}

/// Logs each change of the health, until `shutdown` is cancelled.
pub async fn watch_health(status: Status, shutdown: CancellationToken) {
    let mut watch = Watch::default();
    loop {
        let now = (status.clock)();
        for finding in watch.changed(status.findings(&status.states(), now), now.steady) {
            let (check, text) = (&finding.name, &finding.text);
            match finding.level {
                Level::Ok => tracing::info!(%check, "healthy again"),
                Level::Warning => tracing::warn!(%check, "{text}"),
                Level::Error => tracing::error!(%check, "{text}"),
            }
        }
        if shutdown
            .run_until_cancelled(tokio::time::sleep(TICK))
            .await
            .is_none()
        {
            return;
        }
    }
}
