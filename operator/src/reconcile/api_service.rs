//! Keeps the Service of the API on a server that is ready. It waits for nothing else of a reconcile: neither the store, nor agents,
//! nor what is wrong with a spec, nor a pause keep API requests from a living server.

use std::time::Instant;

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{Api, api::ListParams};

use super::{
    api_pod::{self, choose},
    apply,
    fetch::FetchError,
};
use crate::{
    agents::AgentReport,
    context::Context,
    error::Error,
    names::{Names, Part},
};

/// The label by which `EndpointSlice`s name their Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Gives the label to a pod that is ready.
pub async fn keep(context: &Context, namespace: &str, name: &str) -> Result<(), Error> {
    let names = Names {
        namespace: namespace.to_owned(),
        cluster: name.to_owned(),
    };
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = names.selector_text(Part::Dns);
    let pods = pods.list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|source| FetchError::Get {
        what: "the pods",
        name: selector,
        source,
    })?;
    let (chosen, changes) = choose(&pods.items);
    if !changes.is_empty() {
        tracing::info!(%namespace, %name, pod = chosen.as_deref().unwrap_or("none"), "API requests go to another pod");
    }
    apply::api_labels(context, namespace, &changes).await?;
    Ok(())
}

/// Takes API requests away from a server whose agent has been silent for too long: PowerDNS answers, and takes changes that nobody
/// else gets.
pub(super) async fn leave_silent(
    context: &Context,
    names: &Names,
    pods: &[Pod],
    reports: &[AgentReport],
) -> Result<(), Error> {
    let silent = context
        .silences
        .note(&names.namespace, &names.cluster, reports, Instant::now());
    let answered = reports.iter().filter(|report| report.status.is_ok());
    let answering = answered.map(|report| report.pod.clone()).collect();
    let changes = api_pod::away_from(&silent, &answering, pods);
    if !changes.is_empty() {
        tracing::warn!(
            namespace = names.namespace,
            name = names.cluster,
            ?changes,
            "the agent of the API pod is silent"
        );
    }
    apply::api_labels(context, &names.namespace, &changes).await?;
    Ok(())
}

/// The pods that the Service leads to, as far as the nodes are told; None when that cannot be read.
pub(super) async fn endpoints(context: &Context, names: &Names) -> Option<Vec<String>> {
    let api: Api<EndpointSlice> = Api::namespaced(context.client.clone(), &names.namespace);
    let selector = format!("{SERVICE_LABEL}={}", names.api_service());
    match api.list(&ListParams::default().labels(&selector)).await {
        Ok(slices) => Some(api_pod::reached(&slices.items)),
        // All else goes on without.
        Err(error) => {
            tracing::warn!(service = names.api_service(), %error, "cannot read the EndpointSlices of a Service");
            None
        }
    }
}
