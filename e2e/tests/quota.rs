//! Promise: what keeps a pod from being made is quoted in a condition, and not only in an Event of a StatefulSet.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use zonetide_crds::ConditionType;
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::{Bench, Handle, manifest, names, readiness};
use zonetide_testbed::eventually;

const QUOTA: &str = "limits";
/// For the StatefulSet to be refused, and the operator to see it.
const NOTICED: Duration = Duration::from_mins(2);

/// Counts limits, so that a container without limits is refused.
async fn count_limits(bench: &Bench) {
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": QUOTA},
        "spec": {"hard": {"limits.cpu": "4", "limits.memory": "4Gi"}},
    }))
    .unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(bench.client.clone(), &bench.namespace);
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    eventually(NOTICED, "the quota is counted", async || {
        let quota = quotas.get(QUOTA).await.map_err(|error| error.to_string())?;
        let used = quota.status.clone().and_then(|status| status.used);
        used.filter(|used| used.contains_key("limits.memory"))
            .map(drop)
            .ok_or_else(|| format!("{:?}", quota.status))
    })
    .await;
}

async fn count_nothing(bench: &Bench) {
    let quotas: Api<ResourceQuota> = Api::namespaced(bench.client.clone(), &bench.namespace);
    quotas.delete(QUOTA, &DeleteParams::default()).await.unwrap();
}

/// The condition quotes the API server, which names the quota and what it wants.
async fn names_the_quota(cluster: &Handle, kind: ConditionType, pod: &str) {
    let condition = eventually(NOTICED, "a condition names the quota", async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let condition = readiness::expect(&object, kind, "False")?;
        let words = [pod, "failed quota: limits", "limits.memory"];
        if words.iter().all(|word| condition.message.contains(word)) {
            Ok(condition)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
    eprintln!("{}: {}", condition.reason, condition.message);
    let object = cluster.get().await.unwrap();
    readiness::expect(&object, ConditionType::Ready, "False").unwrap();
}

/// Kubernetes tries it less and less often; a change makes it try at once.
async fn try_at_once(bench: &Bench) {
    let sets: Api<StatefulSet> = Api::namespaced(bench.client.clone(), &bench.namespace);
    let change =
        json!({"metadata": {"annotations": {"zonetide.dev/e2e-look": Timestamp::now().to_string()}}});
    for set in sets.list(&kube::api::ListParams::default()).await.unwrap() {
        sets.patch(&set.name_any(), &PatchParams::default(), &Patch::Merge(&change))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_quota_that_refuses_the_stores_or_a_servers_pod_is_named_in_a_condition() {
    Bench::run("quota", async |bench| {
        count_limits(bench).await;
        let cluster = bench.apply("q", &manifest::managed(1)).await;
        names_the_quota(&cluster, ConditionType::ObjectStoreReady, "q-garage-0").await;
        count_nothing(bench).await;
        try_at_once(bench).await;
        await_ready(&cluster).await;

        count_limits(bench).await;
        cluster.delete_pod("q-0").await.unwrap();
        names_the_quota(&cluster, ConditionType::Ready, "q-0").await;
        let serving = cluster.pods_behind(&names::dns_service("q")).await.unwrap();
        assert!(serving.is_empty(), "{serving:?}");
        count_nothing(bench).await;
        try_at_once(bench).await;
        await_ready(&cluster).await;
    })
    .await;
}
