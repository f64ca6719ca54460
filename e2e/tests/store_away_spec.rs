//! Promise: what the spec says of servers is done though their store is away: the Service, the configuration and the number of
//! servers, and back again.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::json;
use zonetide_crds::{ConditionType, DnsCluster};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::shared_bucket::{SharedBucket, put_secret};
use zonetide_e2e::{Bench, Handle, loads, manifest, names, readiness, store_away};
use zonetide_testbed::eventually;

/// For the operator to find out that the store does not answer.
const NOTICED: Duration = Duration::from_mins(2);
/// For a change of the spec, which no store has to be asked for.
const SOON: Duration = Duration::from_secs(20);

/// A DnsCluster of two servers, in the bucket of the managed store of another one.
async fn in_a_bucket_of(bench: &Bench, store: &Handle) -> Handle {
    let bucket = SharedBucket::of(store).await.unwrap();
    put_secret(bench, "bucket-keys", [&bucket.keys[0], &bucket.keys[1]])
        .await
        .unwrap();
    let mut spec = bucket.spec(&bucket.endpoint, "e2e/spec", "bucket-keys");
    manifest::merge(&mut spec, &json!({"replicas": 2}));
    let cluster = bench.apply("dns", &spec).await;
    await_ready(&cluster).await;
    cluster
}

async fn default_ttl_is(cluster: &Handle, wanted: &str) {
    let what = format!("each server has default-ttl={wanted}");
    eventually(READY, &what, async || {
        for pod in cluster.pod_names().await.map_err(|error| error.to_string())? {
            let api = cluster.powerdns(&pod).await.map_err(|error| error.to_string())?;
            let ttl = api
                .setting("default-ttl")
                .await
                .map_err(|error| error.to_string())?;
            if ttl.as_deref() != Some(wanted) {
                return Err(format!("{pod} has {ttl:?}"));
            }
        }
        Ok(())
    })
    .await;
    is_ready_without_a_store(cluster).await;
}

async fn is_ready_without_a_store(cluster: &Handle) -> DnsCluster {
    let object = await_ready(cluster).await;
    readiness::expect(&object, ConditionType::ObjectStoreReady, "False").unwrap();
    let replicating = readiness::condition(&object, ConditionType::Replicating).unwrap();
    assert_ne!(replicating.status, "True", "{}", readiness::summary(&object));
    object
}

async fn service_port(cluster: &Handle) -> Result<i32, String> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let service = services.get(&names::dns_service(&cluster.name)).await;
    let spec = service
        .map_err(|error| error.to_string())?
        .spec
        .unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    Ok(ports.first().ok_or("a Service without a port")?.port)
}

#[tokio::test]
async fn service_configuration_and_number_of_servers_follow_the_spec_while_the_store_is_away() {
    Bench::run("store-away-spec", async |bench| {
        let store = bench.managed("store", 1).await;
        let cluster = in_a_bucket_of(bench, &store).await;
        loads::make_zones(&cluster).await.unwrap();
        store_away::take_away(&store).await.unwrap();
        cluster.look_at_once().await.unwrap();
        eventually(NOTICED, "the condition says that the store is away", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::expect(&object, ConditionType::ObjectStoreReady, "False")
        })
        .await;
        is_ready_without_a_store(&cluster).await;

        cluster
            .patch(&json!({"spec": {"service": {"port": 5353}}}))
            .await
            .unwrap();
        eventually(
            SOON,
            "the Service has the new port",
            async || match service_port(&cluster).await? {
                5353 => Ok(()),
                port => Err(format!("it has {port}")),
            },
        )
        .await;

        let start = Instant::now();
        cluster
            .patch(&json!({"spec": {"powerdns": {"config": {"default-ttl": "1234"}}}}))
            .await
            .unwrap();
        default_ttl_is(&cluster, "1234").await;
        eprintln!(
            "two servers were rolled out without a store after {:?}",
            start.elapsed()
        );

        // An empty server has all from the others, or it does not serve.
        let start = Instant::now();
        cluster.patch(&json!({"spec": {"replicas": 3}})).await.unwrap();
        is_ready_without_a_store(&cluster).await;
        eprintln!("a third one serves after {:?}", start.elapsed());
        loads::answered_by(&cluster, "dns-2").await.unwrap();

        // Undone, at the same time as the store comes back.
        cluster
            .patch(&json!({"spec": {"replicas": 2, "powerdns": {"config": null}}}))
            .await
            .unwrap();
        store_away::bring_back(&store).await.unwrap();
        eventually(READY, "all is as it was", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            readiness::is_ready(&object)?;
            readiness::expect(&object, ConditionType::ObjectStoreReady, "True")?;
            readiness::expect(&object, ConditionType::Replicating, "True")
        })
        .await;
    })
    .await;
}
