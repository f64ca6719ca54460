//! A managed store that is away for as long as one likes.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use zonetide_testbed::poll::within;

use crate::handle::Handle;
use crate::names;

/// For the pod to end, or to begin.
const PATIENCE: Duration = Duration::from_mins(3);
const NOWHERE: &str = "zonetide.dev/e2e-nowhere";

/// Ends the pod of a DnsCluster's Garage, and lets no node be good enough for another one. (The operator would scale the
/// StatefulSet up again; what its pods ask of nodes is not the operator's.)
pub async fn take_away(cluster: &Handle) -> Result<()> {
    select_nodes(cluster, &json!({NOWHERE: "true"})).await?;
    let pod = pod_name(cluster);
    delete(cluster).await?;
    within(PATIENCE, async || match pods(cluster).get_opt(&pod).await {
        Ok(Some(pod)) if has_node(&pod) => Err(format!("{:?}", pod.metadata.deletion_timestamp)),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
    .await
    .with_context(|| format!("{pod} does not go"))
}

/// Lets it back, and waits until it runs.
pub async fn bring_back(cluster: &Handle) -> Result<()> {
    select_nodes(cluster, &json!({NOWHERE: null})).await?;
    let pod = pod_name(cluster);
    // The StatefulSet's controller replaces no pod that has never run.
    within(PATIENCE, async || match pods(cluster).get_opt(&pod).await {
        Ok(Some(pod)) if has_node(&pod) => Ok(()),
        Ok(found) => {
            if found.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none()) {
                delete(cluster).await.map_err(|error| format!("{error:#}"))?;
            }
            Err("it has no node".to_owned())
        }
        Err(error) => Err(error.to_string()),
    })
    .await
    .with_context(|| format!("{pod} does not come back"))
}

fn has_node(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

async fn select_nodes(cluster: &Handle, selector: &Value) -> Result<()> {
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let change = json!({"spec": {"template": {"spec": {"nodeSelector": selector}}}});
    sets.patch(
        &names::garage(&cluster.name),
        &PatchParams::default(),
        &Patch::Merge(&change),
    )
    .await?;
    Ok(())
}

async fn delete(cluster: &Handle) -> Result<()> {
    match pods(cluster)
        .delete(&pod_name(cluster), &DeleteParams::default())
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

fn pod_name(cluster: &Handle) -> String {
    format!("{}-0", names::garage(&cluster.name))
}

fn pods(cluster: &Handle) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}
