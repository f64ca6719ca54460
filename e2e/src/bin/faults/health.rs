//! Waiting until something is as a measurement wants it.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use zonetide_e2e::handle::pod_is_ready;
use zonetide_e2e::names::OPERATOR_NAMESPACE;
use zonetide_e2e::processes::{self, Program};
use zonetide_e2e::{Handle, contact, names, readiness};
use zonetide_testbed::poll::within;

/// `CrashLoopBackOff` may take five minutes.
const PATIENCE: Duration = Duration::from_mins(8);

/// Waits until all servers are ready, in the Service, and in contact.
pub(crate) async fn await_all(cluster: &Handle) -> Result<()> {
    let ready = within(PATIENCE, async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        readiness::is_ready(&object)?;
        let pods = cluster.pods().await.map_err(|error| error.to_string())?;
        if let Some(pod) = pods.iter().find(|pod| !pod_is_ready(pod)) {
            return Err(format!("{} is not ready", pod.name_any()));
        }
        let service = names::dns_service(&cluster.name);
        let serving = cluster
            .pods_behind(&service)
            .await
            .map_err(|error| error.to_string())?;
        if serving.len() == pods.len() {
            Ok(())
        } else {
            Err(format!("only {serving:?} serve"))
        }
    });
    ready.await.context("the servers do not become ready")?;
    Ok(())
}

/// Replaces pods in which something was started again: the kubelet waits longer each time, which is not what is measured.
pub(crate) async fn freshen(cluster: &Handle) -> Result<()> {
    let lives = cluster.lives().await?;
    let pods = cluster.pod_names().await?;
    for (pod, (_, restarts)) in pods.iter().zip(lives) {
        if restarts > 0 {
            cluster.delete_pod(pod).await?;
            let gone = within(PATIENCE, async || {
                let lives = cluster.lives().await.map_err(|error| format!("{error:#}"))?;
                let names = cluster.pod_names().await.map_err(|error| format!("{error:#}"))?;
                match names.iter().zip(lives).find(|(name, _)| *name == pod) {
                    Some((_, (_, 0))) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            });
            gone.await.with_context(|| format!("{pod} is not replaced"))?;
            await_all(cluster).await?;
        }
    }
    contact::of_all(cluster).await
}

/// Waits until the program runs in the pod, as another process than `before`.
pub(crate) async fn another(
    cluster: &Handle,
    pod: &str,
    program: Program,
    before: Option<u32>,
) -> Result<u32> {
    let runs = within(PATIENCE, async || {
        match processes::find(cluster, pod, program).await {
            Ok(Some(process)) if Some(process) != before => Ok(process),
            other => Err(format!("{other:?}")),
        }
    });
    runs.await
        .with_context(|| format!("{program:?} does not run in {pod}"))
}

/// Waits until the operator has so many pods, all of them ready.
pub(crate) async fn operator_pods(cluster: &Handle, number: i32) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let of_operator = ListParams::default().labels("app.kubernetes.io/name=zonetide-operator");
    let there = within(PATIENCE, async || {
        let pods = pods
            .list(&of_operator)
            .await
            .map_err(|error| error.to_string())?
            .items;
        let ready = pods.iter().filter(|pod| pod_is_ready(pod)).count();
        if i32::try_from(pods.len()) == Ok(number) && ready == pods.len() {
            Ok(())
        } else {
            Err(format!("{ready} of {} ready", pods.len()))
        }
    });
    there.await.context("the operator is not scaled")?;
    Ok(())
}
