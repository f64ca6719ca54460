//! Promise: with `deletionPolicy: DeleteObjects` a cluster's own objects go with it and nobody else's; a store that cannot be
//! reached holds the DnsCluster until it is back or the policy is Retain; of a managed store the volume goes.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Instant;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Secret};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::{Bench, Handle, manifest, names, readiness};
use zonetide_testbed::dns::Type;
use zonetide_testbed::eventually;

const FINALIZER: &str = "zonetide.dev/object-store";

/// A bucket that outlives the clusters under test: that of another DnsCluster's managed store. Its keys are copied, and
/// good for as long as a test takes.
async fn bucket(bench: &Bench) -> Value {
    let store = bench.managed("store", 1).await;
    let status = store.get().await.unwrap().status.unwrap().object_store.unwrap();
    let secret = names::object_store_secret("store");
    let mut data = BTreeMap::new();
    for key in ["access-key-id", "secret-access-key"] {
        let value = store.secret_value(&secret, key).await.unwrap();
        data.insert(key.to_owned(), ByteString(value.into_bytes()));
    }
    let copy = Secret {
        metadata: ObjectMeta {
            name: Some("bucket-keys".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), &bench.namespace);
    let params = PatchParams::apply("zonetide-e2e").force();
    secrets
        .patch("bucket-keys", &params, &Patch::Apply(&copy))
        .await
        .unwrap();
    json!({
        "endpoint": status.endpoint,
        "region": "garage",
        "bucket": status.bucket,
        "prefix": "e2e/shared",
        "credentials": {"secretRef": {"name": "bucket-keys"}},
    })
}

fn spec(s3: &Value, policy: &str) -> Value {
    json!({
        "replicas": 1,
        "storage": {"size": "256Mi"},
        "objectStore": {"deletionPolicy": policy, "s3": s3},
    })
}

async fn gone(cluster: &Handle) {
    eventually(
        READY,
        &format!("DnsCluster {} is gone", cluster.name),
        async || match cluster.clusters().get_opt(&cluster.name).await {
            Ok(None) => Ok(()),
            Ok(Some(object)) => Err(readiness::summary(&object)),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
}

async fn told(cluster: &Handle, reason: &str) -> String {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={}", cluster.name));
    eventually(READY, &format!("an Event {reason}"), async || {
        let events = events.list(&about).await.map_err(|error| error.to_string())?;
        let mut told = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some(reason));
        told.next()
            .and_then(|event| event.message.clone())
            .ok_or_else(|| format!("{:?}", events.items))
    })
    .await
}

#[tokio::test]
async fn own_objects_go_those_of_others_stay_and_a_store_that_is_away_holds_the_cluster_until_it_may_go() {
    Bench::run("deletion", async |bench| {
        let s3 = bucket(bench).await;
        // Both serve the same zones, from one prefix.
        let stays = bench.apply("stays", &spec(&s3, "Retain")).await;
        let goes = bench.apply("goes", &spec(&s3, "DeleteObjects")).await;
        await_ready(&stays).await;
        await_ready(&goes).await;
        let held = goes.get().await.unwrap();
        assert!(held.finalizers().iter().any(|name| name == FINALIZER));
        assert!(stays.get().await.unwrap().finalizers().is_empty());
        answers::make_zone(&goes, "goes-0", "goes.example.", 3)
            .await
            .unwrap();
        answers::everywhere(&stays, "r2.goes.example.", &address(2), Instant::now())
            .await
            .unwrap();

        goes.delete().await.unwrap();
        gone(&goes).await;
        let note = told(&goes, "ObjectsRemoved").await;
        assert!(!note.contains("removed 0 objects"), "{note}");
        assert!(note.contains("e2e/shared"), "{note}");

        let answer = stays
            .dns("stays-0")
            .ask("r2.goes.example.", Type::A)
            .await
            .unwrap();
        answer.expect(&[&address(2)]).unwrap();
        let own = stays.get().await.unwrap();
        readiness::is_ready(&own).unwrap();

        let again = bench.apply("again", &spec(&s3, "DeleteObjects")).await;
        await_ready(&again).await;

        // Nothing can be removed any more: it says so, and lets go when told to.
        let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), &bench.namespace);
        secrets
            .delete("bucket-keys", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        again.delete().await.unwrap();
        let condition = eventually(READY, "the deletion is blocked", async || {
            let object = again.get().await.map_err(|error| error.to_string())?;
            let condition = readiness::condition(&object, ConditionType::Progressing).cloned();
            condition
                .filter(|condition| condition.reason == Reason::DeletionBlocked.as_str())
                .ok_or_else(|| readiness::summary(&object))
        })
        .await;
        assert!(condition.message.contains("bucket-keys"), "{}", condition.message);
        assert!(
            condition.message.contains("deletionPolicy to Retain"),
            "{}",
            condition.message
        );
        again
            .patch(&json!({"spec": {"objectStore": {"deletionPolicy": "Retain"}}}))
            .await
            .unwrap();
        gone(&again).await;
    })
    .await;
}

#[tokio::test]
async fn the_volume_of_a_managed_store_goes_and_those_of_the_servers_stay() {
    Bench::run("deletion-managed", async |bench| {
        let mut spec = manifest::managed(1);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"deletionPolicy": "DeleteBucket"}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        cluster.delete().await.unwrap();
        gone(&cluster).await;
        told(&cluster, "VolumeRemoved").await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(bench.client.clone(), &bench.namespace);
        eventually(READY, "only the server's volume is left", async || {
            let list = claims
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?;
            let left: Vec<String> = list.iter().map(ResourceExt::name_any).collect();
            if left == ["data-dns-0"] {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
    })
    .await;
}
