//! Promise: a store that is away for longer than a key lives takes nobody down, and when it is back all heals by itself: new
//! keys, nothing restarted, every write in the bucket.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::writer::Writer;
use zonetide_e2e::{Bench, Handle, contact, manifest, names, readiness};
use zonetide_testbed::eventually;

const ZONE: &str = "patient.example.";
const QUOTA: &str = "full";
/// Than any key lives, which is a minute.
const LONGER: Duration = Duration::from_secs(75);
/// For the keys to end, and the operator to notice.
const ENDED: Duration = Duration::from_mins(4);

fn pods(cluster: &Handle) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

fn quotas(cluster: &Handle) -> Api<ResourceQuota> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

/// Deletes the store's pod where there is no room for another one, as on a cluster that has lost a node.
async fn take_away(cluster: &Handle, pod: &str) {
    let number = pods(cluster)
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len();
    let room = (number - 1).to_string();
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": QUOTA},
        "spec": {"hard": {"pods": room}},
    }))
    .unwrap();
    quotas(cluster)
        .create(&PostParams::default(), &quota)
        .await
        .unwrap();
    eventually(READY, "the quota is counted", async || {
        let quota = quotas(cluster)
            .get(QUOTA)
            .await
            .map_err(|error| error.to_string())?;
        let used = quota.status.clone().and_then(|status| status.used);
        match used.unwrap_or_default().get("pods") {
            Some(used) if used.0 == number.to_string() => Ok(()),
            _ => Err(format!("{:?}", quota.status)),
        }
    })
    .await;
    pods(cluster).delete(pod, &DeleteParams::default()).await.unwrap();
    eventually(READY, "the store is gone", async || {
        match pods(cluster).get_opt(pod).await {
            Ok(None) => Ok(()),
            Ok(Some(pod)) => Err(format!("{:?}", pod.metadata.deletion_timestamp)),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

async fn let_back(cluster: &Handle, store: &str) {
    quotas(cluster)
        .delete(QUOTA, &DeleteParams::default())
        .await
        .unwrap();
    // Kubernetes tries it less and less often; a change makes it try at once.
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let change =
        json!({"metadata": {"annotations": {"zonetide.dev/e2e-look": Timestamp::now().to_string()}}});
    sets.patch(store, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
}

async fn has_stored_all(cluster: &Handle, pod: &str) -> bool {
    contact::has_stored_all(&contact::status(cluster, pod).await.unwrap())
}

#[tokio::test]
async fn a_store_that_is_away_for_longer_than_a_key_lives_heals_when_it_is_back() {
    Bench::run("store-outage", async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"keyLifetime": "1m"}}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        let lived = cluster.lives().await.unwrap();
        let writer = Writer::start(&cluster, ZONE).await.unwrap();
        writer.goes_on().await.unwrap();

        take_away(&cluster, "dns-garage-0").await;
        let away = Instant::now();
        let condition = eventually(ENDED, "the keys have ended", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            let condition = readiness::expect(&object, ConditionType::CredentialsReady, "False")?;
            if condition.reason == Reason::KeysExpired.as_str() {
                Ok(condition)
            } else {
                Err(readiness::summary(&object))
            }
        })
        .await;
        eprintln!("after {:?}: {}", away.elapsed(), condition.message);
        // Servers that have no store go on, and tell each other.
        while away.elapsed() < LONGER {
            writer.goes_on().await.unwrap();
        }
        writer.newest_is_everywhere().await.unwrap();
        let servers = cluster.pod_names().await.unwrap();
        let serving = cluster.pods_behind(&names::dns_service("dns")).await.unwrap();
        assert_eq!(serving, servers, "a server went");
        for pod in &servers {
            assert!(!has_stored_all(&cluster, pod).await, "{pod} has a store");
        }
        let ended = contact::keys_used(&cluster).await.unwrap();

        let back = Instant::now();
        let_back(&cluster, "dns-garage").await;
        await_ready(&cluster).await;
        let object = eventually(READY, "there are keys again", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::expect(&object, ConditionType::CredentialsReady, "True")?;
            Ok::<_, String>(object)
        })
        .await;
        eprintln!(
            "away for {:?}; back and ready {:?} after it had room",
            back.duration_since(away),
            back.elapsed()
        );
        let store = object.status.unwrap().object_store.unwrap();
        let end = store.credentials_expire_at.unwrap().0;
        assert!(end > Timestamp::now(), "{end}");
        eventually(READY, "all servers use new keys", async || {
            let used = contact::keys_used(&cluster).await;
            let used = used.map_err(|error| format!("{error:#}"))?;
            if used.is_disjoint(&ended) && !used.contains("none") {
                Ok(())
            } else {
                Err(format!("{used:?}"))
            }
        })
        .await;
        let written = writer.finish().await.unwrap();
        contact::settled(&cluster).await.unwrap();
        eprintln!(
            "all of it is in the bucket {:?} after it had room",
            back.elapsed()
        );
        assert_eq!(cluster.lives().await.unwrap(), lived, "something was restarted");

        // A server without a past knows everything from the bucket.
        cluster.patch(&json!({"spec": {"replicas": 3}})).await.unwrap();
        await_ready(&cluster).await;
        let asked = Instant::now();
        written.is_everywhere().await.unwrap();
        eprintln!("asked for {:?}", asked.elapsed());
        eprintln!("{} changes, each answered by each server", written.count);
    })
    .await;
}
