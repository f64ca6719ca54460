//! Promise: a pod that is deleted, with its volume or without, comes back with all data and answers nothing wrong
//! meanwhile, neither itself nor the Service.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::handle::pod_is_ready;
use zonetide_e2e::witness::{Question, Witness};
use zonetide_e2e::{Bench, Handle, names};
use zonetide_testbed::eventually;

const ZONE: &str = "kept.example.";
const RECORDS: u8 = 20;

fn questions() -> Vec<Question> {
    (0..RECORDS)
        .map(|number| Question {
            name: format!("r{number}.{ZONE}"),
            address: address(number),
        })
        .collect()
}

/// Two servers with a zone that both answer in full.
async fn servers_with_a_zone(bench: &Bench) -> Handle {
    let cluster = bench.managed("dns", 2).await;
    answers::make_zone(&cluster, "dns-0", ZONE, RECORDS)
        .await
        .unwrap();
    for question in questions() {
        answers::everywhere(&cluster, &question.name, &question.address, Instant::now())
            .await
            .unwrap();
    }
    cluster
}

fn pods(cluster: &Handle) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

fn claims(cluster: &Handle) -> Api<PersistentVolumeClaim> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

/// Deletes a pod, and waits until another one of its name is ready.
async fn lose(cluster: &Handle, pod: &str) {
    let before = pods(cluster).get(pod).await.unwrap().uid();
    let start = Instant::now();
    pods(cluster).delete(pod, &DeleteParams::default()).await.unwrap();
    eventually(READY, &format!("{pod} is back and ready"), async || {
        match pods(cluster).get(pod).await {
            Ok(now) if now.uid() != before && pod_is_ready(&now) => Ok(()),
            Ok(now) => Err(format!("{:?}", now.status)),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    eprintln!("{pod} is back after {:?}", start.elapsed());
}

async fn answers_everything_at_once(cluster: &Handle, pod: &str) {
    let dns = cluster.dns(pod);
    for question in questions() {
        let answer = dns
            .ask(&question.name, zonetide_testbed::dns::Type::A)
            .await
            .unwrap();
        answer.expect(&[&question.address]).unwrap();
    }
}

#[tokio::test]
async fn a_deleted_pod_comes_back_with_all_data_and_answers_nothing_wrong_meanwhile() {
    Bench::run("pod-loss", async |bench| {
        let cluster = servers_with_a_zone(bench).await;
        let names = cluster.pod_names().await.unwrap();
        let witness =
            Witness::of_pods(&cluster, &names, &questions()).and_of_service(&cluster, "dns-0", &questions());
        lose(&cluster, "dns-1").await;
        answers_everything_at_once(&cluster, "dns-1").await;
        await_ready(&cluster).await;
        witness.finish().await;

        // It is a full member: what is written on it arrives at the other.
        let api = cluster.powerdns("dns-1").await.unwrap();
        api.replace(ZONE, &format!("new.{ZONE}"), "A", &["192.0.2.99"])
            .await
            .unwrap();
        answers::everywhere(&cluster, &format!("new.{ZONE}"), "192.0.2.99", Instant::now())
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_with_its_volume_comes_back_with_all_data_from_the_bucket() {
    Bench::run("volume-loss", async |bench| {
        let cluster = servers_with_a_zone(bench).await;
        let names = cluster.pod_names().await.unwrap();
        let claim = names::data_claim("dns-1");
        let volume = claims(&cluster).get(&claim).await.unwrap().uid();
        let witness =
            Witness::of_pods(&cluster, &names, &questions()).and_of_service(&cluster, "dns-0", &questions());
        // The claim goes when the pod that uses it has gone.
        claims(&cluster)
            .delete(&claim, &DeleteParams::default())
            .await
            .unwrap();
        lose(&cluster, "dns-1").await;
        answers_everything_at_once(&cluster, "dns-1").await;
        assert_ne!(
            claims(&cluster).get(&claim).await.unwrap().uid(),
            volume,
            "the volume is still the old one"
        );
        await_ready(&cluster).await;
        witness.finish().await;
    })
    .await;
}

#[tokio::test]
async fn all_pods_lost_with_all_volumes_come_back_from_the_bucket() {
    Bench::run("all-lost", async |bench| {
        let cluster = servers_with_a_zone(bench).await;
        // The last change before the loss is stored by the agents as they end.
        let api = cluster.powerdns("dns-0").await.unwrap();
        api.replace(ZONE, &format!("last.{ZONE}"), "A", &["192.0.2.98"])
            .await
            .unwrap();
        let names = cluster.pod_names().await.unwrap();
        let witness = Witness::of_pods(&cluster, &names, &questions());
        for pod in &names {
            claims(&cluster)
                .delete(&names::data_claim(pod), &DeleteParams::default())
                .await
                .unwrap();
        }
        tokio::join!(lose(&cluster, "dns-0"), lose(&cluster, "dns-1"));
        for pod in &names {
            answers_everything_at_once(&cluster, pod).await;
        }
        answers::everywhere(&cluster, &format!("last.{ZONE}"), "192.0.2.98", Instant::now())
            .await
            .unwrap();
        witness.finish().await;
    })
    .await;
}
