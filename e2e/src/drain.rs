//! What `kubectl drain` does to the servers of a DnsCluster: evicts each, and asks again while the budget forbids it.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use kube::{Api, ResourceExt};
use zonetide_testbed::poll::{within, within_every};

use crate::handle::{Handle, pod_is_ready};

/// Until the budget allows it, for which all others may come first, and until another one of its name is ready.
const PATIENCE: Duration = Duration::from_mins(4);
const AGAIN: Duration = Duration::from_secs(1);

/// Evicts all servers, and waits until others have taken their places.
pub async fn drain(cluster: &Handle) -> Result<()> {
    let pods = cluster.pods().await?;
    try_join_all(pods.iter().map(|pod| evict(cluster, pod))).await?;
    Ok(())
}

async fn evict(cluster: &Handle, pod: &Pod) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let name = pod.name_any();
    let evicted = within_every(AGAIN, PATIENCE, async || {
        let evicted = pods.evict(&name, &EvictParams::default()).await;
        evicted.map(drop).map_err(|error| error.to_string())
    });
    evicted
        .await
        .with_context(|| format!("{name} cannot be evicted"))?;
    let back = within(PATIENCE, async || match pods.get_opt(&name).await {
        Ok(Some(now)) if now.uid() != pod.uid() && pod_is_ready(&now) => Ok(()),
        Ok(now) => Err(format!("{:?}", now.and_then(|now| now.status))),
        Err(error) => Err(error.to_string()),
    });
    back.await.with_context(|| format!("{name} does not come back"))
}
