//! Promise: the managed store gets another image while the servers go on: its pod is replaced and nothing else, its data and
//! keys stay, and no write is lost.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt};
use serde_json::json;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::handle::pod_is_ready;
use zonetide_e2e::writer::Writer;
use zonetide_e2e::{Bench, Handle, contact, installed, manifest, names};
use zonetide_testbed::eventually;

const HUB: &str = "docker.io/";

/// Another way to write the image that the operator takes by itself: to Kubernetes it is another image, and every node that has
/// one has both.
async fn other_name(bench: &Bench, setting: &str) -> String {
    let image = installed::setting(&bench.client, setting).await.unwrap();
    let (first, _) = image.split_once('/').unwrap_or_default();
    match image.strip_prefix(HUB) {
        Some(short) => short.to_owned(),
        None if !first.contains(['.', ':']) => format!("{HUB}{image}"),
        None => panic!("{image} has only one name: install the operator with one of Docker Hub's"),
    }
}

async fn pod(cluster: &Handle, name: &str) -> kube::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    pods.get(name).await
}

async fn volume(cluster: &Handle, pod: &str) -> Option<String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let claim = claims.get(&names::data_claim(pod)).await.unwrap();
    assert!(claim.metadata.deletion_timestamp.is_none());
    claim.spec.and_then(|spec| spec.volume_name)
}

async fn key(cluster: &Handle) -> String {
    let secret = names::object_store_secret(&cluster.name);
    cluster.secret_value(&secret, "access-key-id").await.unwrap()
}

/// The names of the objects in the bucket that this server has stored.
async fn objects_of(cluster: &Handle, server: &str) -> BTreeSet<String> {
    let status = cluster.get().await.unwrap().status.unwrap();
    let instance = &status
        .instances
        .iter()
        .find(|of| of.pod == server)
        .unwrap()
        .instance;
    let list = cluster.http(server, names::AGENT_PORT).get_text("/storage").await;
    list.unwrap()
        .split_whitespace()
        .filter(|word| word.contains(instance))
        .map(str::to_owned)
        .collect()
}

async fn another_image(promise: &str, engine: &str, part: &str, setting: &str) {
    Bench::run(promise, async |bench| {
        let mut spec = manifest::managed(2);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"engine": engine}}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        let store = format!("dns-{part}-0");
        let before = pod(&cluster, &store).await.unwrap();
        let (data, keys) = (volume(&cluster, &store).await, key(&cluster).await);
        let used = contact::keys_used(&cluster).await.unwrap();
        let lived = cluster.lives().await.unwrap();
        let writer = Writer::start(&cluster, "image.example.").await.unwrap();
        writer.goes_on().await.unwrap();
        let bucket = objects_of(&cluster, "dns-0").await;
        assert!(!bucket.is_empty(), "dns-0 has stored nothing");

        let image = other_name(bench, setting).await;
        let start = Instant::now();
        cluster
            .patch(&json!({"spec": {"objectStore": {"managed": {"image": image}}}}))
            .await
            .unwrap();
        eventually(READY, "the store runs with the other image", async || {
            // There is none for a moment.
            let now = pod(&cluster, &store).await.map_err(|error| error.to_string())?;
            let images: Vec<_> = now.spec.iter().flat_map(|spec| &spec.containers).collect();
            let other = images.iter().all(|of| of.image.as_ref() == Some(&image));
            if other && now.uid() != before.uid() && pod_is_ready(&now) {
                Ok(())
            } else {
                Err(format!("{:?}", now.status))
            }
        })
        .await;
        eprintln!("{store} runs {image} after {:?}", start.elapsed());
        await_ready(&cluster).await;
        eprintln!("ready again after {:?}", start.elapsed());
        writer.goes_on().await.unwrap();
        let written = writer.finish().await.unwrap();
        contact::settled(&cluster).await.unwrap();
        written.is_everywhere().await.unwrap();
        eprintln!("{} changes, each answered by each server", written.count);

        assert_eq!(volume(&cluster, &store).await, data, "it has another volume");
        let kept = objects_of(&cluster, "dns-0").await;
        assert!(!kept.is_disjoint(&bucket), "of {bucket:?} there is only {kept:?}");
        assert_eq!(key(&cluster).await, keys, "new keys were made");
        assert_eq!(contact::keys_used(&cluster).await.unwrap(), used);
        assert_eq!(cluster.lives().await.unwrap(), lived, "a server was restarted");
    })
    .await;
}

#[tokio::test]
async fn a_minio_with_another_image_has_its_data_and_keys_and_gets_what_was_written_meanwhile() {
    another_image("minio-image", "MinIO", "minio", installed::MINIO_IMAGE).await;
}

#[tokio::test]
async fn a_garage_with_another_image_has_its_data_and_keys_and_gets_what_was_written_meanwhile() {
    another_image("garage-image", "Garage", "garage", installed::GARAGE_IMAGE).await;
}
