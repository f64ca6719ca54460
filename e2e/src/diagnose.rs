//! What a person would look at first when a test has failed.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use zonetide_crds::{DnsCluster, DnsRestore};

use crate::names::OPERATOR_NAMESPACE;
use crate::readiness;

/// Prints the DnsClusters, pods, claims, events and last log lines of a namespace, and the operator's log.
pub(crate) async fn print(client: &Client, namespace: &str) {
    eprintln!("\n======== the test failed; namespace {namespace} ========");
    clusters(client, namespace).await;
    restores(client, namespace).await;
    claims(client, namespace).await;
    events(client, namespace).await;
    pods(client, namespace, 40).await;
    eprintln!("-------- the operator");
    pods(client, OPERATOR_NAMESPACE, 60).await;
    eprintln!("======== end of namespace {namespace} ========\n");
}

async fn clusters(client: &Client, namespace: &str) {
    let api: Api<DnsCluster> = Api::namespaced(client.clone(), namespace);
    for cluster in api.list(&ListParams::default()).await.into_iter().flatten() {
        eprintln!(
            "-------- DnsCluster {}: {}",
            cluster.name_any(),
            readiness::summary(&cluster)
        );
        if let Ok(text) = serde_json::to_string(&cluster.status) {
            eprintln!("{text}");
        }
    }
}

async fn restores(client: &Client, namespace: &str) {
    let api: Api<DnsRestore> = Api::namespaced(client.clone(), namespace);
    for restore in api.list(&ListParams::default()).await.into_iter().flatten() {
        let status = serde_json::to_string(&restore.status).unwrap_or_default();
        eprintln!("-------- DnsRestore {}: {status}", restore.name_any());
    }
}

async fn claims(client: &Client, namespace: &str) {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    for claim in api.list(&ListParams::default()).await.into_iter().flatten() {
        let phase = claim.status.as_ref().and_then(|status| status.phase.clone());
        eprintln!(
            "-------- claim {}: {}",
            claim.name_any(),
            phase.unwrap_or_default()
        );
    }
}

async fn events(client: &Client, namespace: &str) {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let mut events: Vec<Event> = api
        .list(&ListParams::default())
        .await
        .into_iter()
        .flatten()
        .collect();
    events.sort_by_key(|event| event.metadata.creation_timestamp.clone());
    eprintln!("-------- events");
    for event in events {
        eprintln!(
            "{}/{} {} {}: {}",
            event.involved_object.kind.unwrap_or_default(),
            event.involved_object.name.unwrap_or_default(),
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.message.unwrap_or_default(),
        );
    }
}

async fn pods(client: &Client, namespace: &str, lines: i64) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for pod in api.list(&ListParams::default()).await.into_iter().flatten() {
        let Some(status) = pod.status.clone() else {
            continue;
        };
        eprintln!(
            "-------- pod {}: {}",
            pod.name_any(),
            status.phase.unwrap_or_default()
        );
        let containers = status
            .init_container_statuses
            .into_iter()
            .chain(status.container_statuses)
            .flatten();
        for container in containers {
            eprintln!("{}", state(&container));
            log(&api, &pod.name_any(), &container.name, lines, false).await;
            if container.restart_count > 0 {
                log(&api, &pod.name_any(), &container.name, lines, true).await;
            }
        }
    }
}

fn state(container: &ContainerStatus) -> String {
    let state = serde_json::to_string(&container.state).unwrap_or_default();
    format!(
        "container {}: ready {}, {} restarts, {state}",
        container.name, container.ready, container.restart_count
    )
}

async fn log(api: &Api<Pod>, pod: &str, container: &str, lines: i64, previous: bool) {
    let params = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(lines),
        previous,
        ..LogParams::default()
    };
    if let Ok(text) = api.logs(pod, &params).await {
        let which = if previous { "log before its restart" } else { "log" };
        for line in text.lines() {
            eprintln!("{container} {which}| {line}");
        }
    }
}
