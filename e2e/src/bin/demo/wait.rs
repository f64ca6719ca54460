//! Waiting with something to read: one line for each thing that changes, and a sign of life when nothing does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use zonetide_crds::DnsCluster;
use zonetide_e2e::handle::pod_is_ready;
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
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let mut spoke = Instant::now();
    loop {
        let object = cluster.get().await?;
        for (subject, state) in states(&object, &cluster.pods().await?) {
            if told.get(&subject) != Some(&state) {
                clock.say(&format!("{subject}: {state}"));
                told.insert(subject, state);
                spoke = Instant::now();
            }
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
        let left = cluster.pod_names().await?;
        if left.is_empty() && cluster.clusters().get_opt(&cluster.name).await?.is_none() {
            return Ok(());
        }
        let now = format!(
            "waiting for the servers to store their last change and end: {}",
            left.join(", ")
        );
        if now != told {
            clock.say(&now);
            told = now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Conditions and pods, each with what there is to say about it.
fn states(object: &DnsCluster, pods: &[Pod]) -> Vec<(String, String)> {
    let conditions = readiness::conditions(object).iter().map(|condition| {
        let text = format!(
            "{} ({}) {}",
            condition.status, condition.reason, condition.message
        );
        (format!("condition {}", condition.type_), text)
    });
    let pods = pods
        .iter()
        .map(|pod| (format!("pod {}", pod.name_any()), pod_state(pod)));
    conditions.chain(pods).collect()
}

fn pod_state(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "ends".to_owned();
    }
    if pod_is_ready(pod) {
        return "ready, serves DNS".to_owned();
    }
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status
        .init_container_statuses
        .into_iter()
        .chain(status.container_statuses)
        .flatten()
        .filter(|container| !container.ready)
        .map(|container| {
            let state = container.state.unwrap_or_default();
            let why = state.waiting.and_then(|waiting| waiting.reason);
            let why = why.unwrap_or_else(|| "not ready yet".to_owned());
            format!("{} {why}", container.name)
        })
        .collect::<Vec<_>>();
    let phase = status.phase.unwrap_or_else(|| "Pending".to_owned());
    if waiting.is_empty() {
        phase
    } else {
        format!("{phase}, {}", waiting.join(", "))
    }
}
