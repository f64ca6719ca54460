//! Promise: the annotation `zonetide.dev/paused` keeps the operator from changing what there is, and from nothing else: what
//! `kubectl get` shows stays true, API requests go to a server that is there, and keys are renewed before they end.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, DnsCluster, PAUSED_ANNOTATION};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::{Bench, Handle, contact, loads, manifest, names, readiness};
use zonetide_testbed::eventually;

/// How old what `kubectl get` shows may be, and what a busy machine takes.
const TRUE_AGAIN: Duration = Duration::from_secs(20);
/// For a key that lives for a minute to be renewed.
const RENEWED: Duration = Duration::from_mins(2);
const ENDED: Duration = Duration::from_mins(2);

async fn pause(cluster: &Handle, value: &Value) {
    cluster
        .patch(&json!({"metadata": {"annotations": {PAUSED_ANNOTATION: value}}}))
        .await
        .unwrap();
}

async fn is_paused(cluster: &Handle) {
    eventually(TRUE_AGAIN, "the condition Paused", async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        readiness::expect(&object, ConditionType::Paused, "True")
    })
    .await;
}

fn expect_serving(object: &DnsCluster, ready: &str, serving: i32) -> Result<(), String> {
    readiness::expect(object, ConditionType::Ready, ready)?;
    let status = object.status.clone().unwrap_or_default();
    if status.ready_replicas == serving {
        Ok(())
    } else {
        Err(format!("SERVING {}", status.ready_replicas))
    }
}

/// The API Service leads to another server than to `gone`, and the status says so.
async fn api_moves_from(cluster: &Handle, gone: &str) {
    eventually(TRUE_AGAIN, "API requests go to another server", async || {
        let behind = cluster
            .pods_behind(&names::api_service(&cluster.name))
            .await
            .map_err(|error| error.to_string())?;
        let chosen = cluster.api_pod().await.map_err(|error| format!("{error:#}"))?;
        if chosen != gone && behind == [chosen.clone()] {
            Ok(())
        } else {
            Err(format!("{chosen} is chosen, {behind:?} answer"))
        }
    })
    .await;
}

/// Ends all servers, as somebody does who has paused it to do so.
async fn end_all_servers(cluster: &Handle) {
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let none = json!({"spec": {"replicas": 0}});
    sets.patch_scale(&cluster.name, &PatchParams::default(), &Patch::Merge(&none))
        .await
        .unwrap();
    eventually(ENDED, "no server is left in the Service", async || match cluster
        .pods_behind(&names::dns_service(&cluster.name))
        .await
    {
        Ok(pods) if pods.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_paused_cluster_shows_what_is_true_moves_the_api_and_renews_keys() {
    Bench::run("paused", async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"keyLifetime": "1m"}}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        loads::make_zones(&cluster).await.unwrap();
        pause(&cluster, &json!("true")).await;
        is_paused(&cluster).await;
        let used = contact::keys_used(&cluster).await.unwrap();

        let active = cluster.api_pod().await.unwrap();
        cluster.delete_pod(&active).await.unwrap();
        api_moves_from(&cluster, &active).await;

        eventually(RENEWED, "all servers have other keys", async || {
            let now = contact::keys_used(&cluster)
                .await
                .map_err(|error| format!("{error:#}"))?;
            if now.is_disjoint(&used) && !now.contains("none") {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await;

        end_all_servers(&cluster).await;
        let down = Instant::now();
        eventually(TRUE_AGAIN, "Ready=False, SERVING 0", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            expect_serving(&object, "False", 0)
        })
        .await;
        eprintln!(
            "kubectl get was true {:?} after all servers were gone",
            down.elapsed()
        );
        let object = cluster.get().await.unwrap();
        readiness::expect(&object, ConditionType::Paused, "True").unwrap();
        assert!(
            cluster
                .pods()
                .await
                .unwrap()
                .iter()
                .all(|pod| pod.metadata.deletion_timestamp.is_some()),
            "the operator has changed what it should leave alone"
        );

        pause(&cluster, &Value::Null).await;
        await_ready(&cluster).await;
        for pod in cluster.pod_names().await.unwrap() {
            loads::answered_by(&cluster, &pod).await.unwrap();
        }
    })
    .await;
}
