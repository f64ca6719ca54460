//! Promise: a managed Garage grows from one node to three while servers go on, and loses no object; three survive the loss of one with
//! its volume, are whole again by themselves, and do not become one.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Method;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::handle::pod_is_ready;
use zonetide_e2e::writer::Writer;
use zonetide_e2e::{Bench, Handle, contact, names};
use zonetide_testbed::eventually;
use zonetide_testbed::http::{HOST, HttpClient};
use zonetide_testbed::sigv4::Signer;

const S3_PORT: u16 = 3900;
/// A node that always has a block in its queue counts as filled after two minutes, and a machine may be busy.
const WHOLE: Duration = Duration::from_mins(10);
/// One that Garage keeps beside its name, and one that it cuts into blocks.
const SIZES: [usize; 2] = [100, 2_500_000];

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

fn path(size: usize) -> String {
    format!("/zonetide/kept/{size}")
}

fn node(number: usize) -> String {
    format!("dns-garage-{number}")
}

async fn s3(cluster: &Handle, pod: &str, method: &Method, path: &str, body: &[u8]) -> HttpClient {
    let secret = names::object_store_secret(&cluster.name);
    let key = async |key: &str| cluster.secret_value(&secret, key).await.unwrap();
    let signer = Signer {
        access_key: &key("access-key-id").await,
        secret_key: &key("secret-access-key").await,
        session_token: "",
        region: "garage",
        service: "s3",
    };
    let mut http = cluster.http(pod, S3_PORT);
    for (name, value) in signer.headers(method, HOST, path, body) {
        http = http.header(name, value);
    }
    http
}

async fn put_objects(cluster: &Handle) {
    for size in SIZES {
        let (path, body) = (path(size), content(size));
        let http = s3(cluster, &node(0), &Method::PUT, &path, &body).await;
        http.send_bytes(Method::PUT, &path, body.into()).await.unwrap();
    }
}

/// Every object is there, whichever node is asked.
async fn objects_are_kept(cluster: &Handle) {
    for number in 0..3 {
        for size in SIZES {
            let path = path(size);
            let http = s3(cluster, &node(number), &Method::GET, &path, b"").await;
            let found = http.send(Method::GET, &path, None).await.unwrap();
            assert!(found == content(size), "{path} is another at {}", node(number));
        }
    }
}

async fn pod(cluster: &Handle, name: &str) -> Result<Pod, String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    pods.get(name).await.map_err(|error| error.to_string())
}

fn claims(cluster: &Handle) -> Api<PersistentVolumeClaim> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

async fn store_says(cluster: &Handle) -> Result<String, String> {
    let status = cluster.get().await.map_err(|error| error.to_string())?.status;
    let conditions = status.map(|status| status.conditions).unwrap_or_default();
    let store = conditions.into_iter().find(|of| of.type_ == "ObjectStoreReady");
    let store = store.ok_or("nothing")?;
    Ok(format!("{} {}: {}", store.status, store.reason, store.message))
}

/// All three hold everything, and the operator says nothing else.
async fn is_whole(cluster: &Handle) -> Result<(), String> {
    let said = store_says(cluster).await?;
    for number in 0..3 {
        let pod = pod(cluster, &node(number))
            .await
            .map_err(|error| format!("{error}; {said}"))?;
        let filled = pod.annotations().get("zonetide.dev/store-filled");
        if !pod_is_ready(&pod) || filled.is_none_or(|value| value != "true") {
            return Err(format!("{} is filled: {filled:?}; {said}", node(number)));
        }
    }
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let set = sets.get(&names::garage(&cluster.name)).await;
    let set = set.map_err(|error| error.to_string())?;
    let grown = set.annotations().contains_key("zonetide.dev/store-nodes");
    let well = said.starts_with("True") && !said.contains("store nodes") && !said.contains("three nodes");
    (grown && well).then_some(()).ok_or(said)
}

async fn await_whole(cluster: &Handle) {
    let start = Instant::now();
    let told = Mutex::new(String::new());
    let tell = |said: &String| {
        let mut told = told.lock().unwrap();
        if *told != *said {
            eprintln!("{:?}: {said}", start.elapsed());
            told.clone_from(said);
        }
    };
    eventually(WHOLE, "three nodes hold everything", async || {
        tell(&store_says(cluster).await?);
        is_whole(cluster).await
    })
    .await;
    eprintln!("whole after {:?}", start.elapsed());
}

#[tokio::test]
async fn a_store_grows_to_three_nodes_with_all_objects_and_mends_itself_when_one_is_lost_with_its_volume() {
    Bench::run("store-nodes", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        let lived = cluster.lives().await.unwrap();
        put_objects(&cluster).await;
        let writer = Writer::start(&cluster, "nodes.example.").await.unwrap();
        writer.goes_on().await.unwrap();

        let three = json!({"spec": {"objectStore": {"managed": {"replicas": 3}}}});
        cluster.patch(&three).await.unwrap();
        await_whole(&cluster).await;
        objects_are_kept(&cluster).await;
        writer.newest_is_everywhere().await.unwrap();
        let behind = cluster.pods_behind(&names::garage(&cluster.name)).await.unwrap();
        assert_eq!(behind, [node(0), node(1), node(2)]);

        let one = json!({"spec": {"objectStore": {"managed": {"replicas": 1}}}});
        let refused = cluster.patch(&one).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("cannot go from 3 to 1"),
            "{refused:#}"
        );

        // The one that the others were filled from.
        let (lost, claim) = (node(0), names::data_claim(&node(0)));
        let before = pod(&cluster, &lost).await.unwrap().uid();
        let volume = claims(&cluster).get(&claim).await.unwrap().uid();
        let now = DeleteParams::default();
        claims(&cluster).delete(&claim, &now).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        pods.delete(&lost, &now).await.unwrap();
        eventually(READY, "there is another pod", async || {
            let there = pod(&cluster, &lost).await?;
            (there.uid() != before)
                .then_some(())
                .ok_or_else(|| "the same".to_owned())
        })
        .await;
        await_whole(&cluster).await;
        assert_ne!(
            claims(&cluster).get(&claim).await.unwrap().uid(),
            volume,
            "it is the old volume"
        );
        cluster.told("Normal", "StoreLayoutChanged").await.unwrap();
        objects_are_kept(&cluster).await;

        await_ready(&cluster).await;
        let written = writer.finish().await.unwrap();
        contact::settled(&cluster).await.unwrap();
        written.is_everywhere().await.unwrap();
        eprintln!("{} changes, each answered by each server", written.count);
        assert_eq!(cluster.lives().await.unwrap(), lived, "a server was restarted");
    })
    .await;
}
