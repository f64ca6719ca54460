//! Waiting with something to read: one line for each thing that changes, and a sign of life when nothing does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use zonetide_crds::{ConditionType, DnsCluster};
use zonetide_e2e::{Handle, readiness};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// A line with the seconds since the start: plain text, so that it reads well in a CI log too.
    pub(crate) fn say(&self, text: &str) {
        println!("[{:>4} s] {text}", self.0.elapsed().as_secs());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

pub(crate) async fn until_ready(cluster: &Handle, clock: &Clock, patience: Duration) -> Result<DnsCluster> {
    let mut told = String::new();
    let mut spoke = Instant::now();
    loop {
        let object = cluster.get().await?;
        let state = state(&object);
        if told != state {
            clock.say(&state);
            told = state;
            spoke = Instant::now();
        }
        if readiness::is_ready(&object).is_ok() {
            return Ok(object);
        }
        if clock.elapsed() > patience {
            bail!(
                "DnsCluster {name} is not ready after {patience:?}: {}\nlook at it with\n  \
                 kubectl -n {ns} describe dnscluster {name}\n  kubectl -n {ns} get pods\n  \
                 kubectl -n {ns} logs {name}-0 --all-containers",
                readiness::summary(&object),
                name = cluster.name,
                ns = cluster.namespace,
            );
        }
        if spoke.elapsed() > SIGN_OF_LIFE {
            clock.say("… still waiting");
            spoke = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn until_gone(cluster: &Handle, clock: &Clock) -> Result<()> {
    let mut told = String::new();
    loop {
        let left = left_of(cluster).await?;
        if left.is_empty() {
            return Ok(());
        }
        let now = format!("waiting for these to end: {}", left.join(", "));
        if now != told {
            clock.say(&now);
            told = now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The pods and claims of a deleted cluster, its object store's too.
async fn left_of(cluster: &Handle) -> Result<Vec<String>> {
    let of_cluster = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", cluster.name));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let mut left: Vec<String> = pods
        .list(&of_cluster)
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    left.extend(claims.list(&of_cluster).await?.iter().map(ResourceExt::name_any));
    Ok(left)
}

/// The condition that matters now, as the operator words it: the object store's until it is there, then `Ready`.
fn state(object: &DnsCluster) -> String {
    let store = readiness::condition(object, ConditionType::ObjectStoreReady);
    let ready = readiness::condition(object, ConditionType::Ready);
    match store.filter(|store| store.status != "True").or(ready) {
        Some(condition) => {
            format!(
                "{}={} {}: {}",
                condition.type_, condition.status, condition.reason, condition.message
            )
        }
        None => "waiting for the operator".to_owned(),
    }
}
