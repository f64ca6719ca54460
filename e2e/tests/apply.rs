//! Promise: the example becomes ready, and is not taken for done before that by those who wait as Flux does; what is written
//! through the API of one server is answered by every server at once, with all caches of PowerDNS at their defaults.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::{NamespaceResourceScope, Resource};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use zonetide_crds::{ConditionType, DnsCluster, DnsClusterStatus};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::{Bench, Handle, answers, contact, exec, manifest, names, readiness};
use zonetide_testbed::eventually;

#[tokio::test]
async fn the_example_becomes_ready_and_each_server_answers_what_was_written_on_another() {
    Bench::run("apply", async |bench| {
        let manifest = manifest::example();
        let cluster = bench.handle(manifest["metadata"]["name"].as_str().unwrap());
        let start = Instant::now();
        let applied = cluster.apply(&manifest).await.unwrap();
        assert!(!readiness::is_current(&applied), "{:?}", applied.status);
        let ready = await_current(&cluster).await;
        readiness::is_ready(&ready).unwrap();
        eprintln!("ready after {:?}", start.elapsed());
        readiness::expect(&ready, ConditionType::ObjectStoreReady, "True").unwrap();
        readiness::expect(&ready, ConditionType::Progressing, "False").unwrap();

        let pods = cluster.pod_names().await.unwrap();
        assert_eq!(pods, [cluster.pod_name(0), cluster.pod_name(1)]);
        status_names_every_server_and_the_bucket(&cluster).await;

        the_agents_share_a_token_and_are_in_contact(&cluster, &pods).await;
        each_server_answers_what_each_wrote(&cluster, &pods).await;
        the_services_reach_the_right_servers(&cluster, &pods).await;
        each_agent_counts_what_it_does(&cluster, &pods).await;
        reconciling_again_changes_nothing(&cluster).await;
    })
    .await;
}

/// As Flux waits: the first time that it takes it for done.
async fn await_current(cluster: &Handle) -> DnsCluster {
    eventually(READY, "kstatus takes it for done", async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        if readiness::is_current(&object) {
            Ok(object)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await
}

async fn status_names_every_server_and_the_bucket(cluster: &Handle) {
    let status = cluster.get().await.unwrap().status.unwrap();
    let pods: Vec<&str> = status
        .instances
        .iter()
        .map(|instance| instance.pod.as_str())
        .collect();
    assert_eq!(pods, [cluster.pod_name(0), cluster.pod_name(1)]);
    for instance in &status.instances {
        let tail = format!("-{}-{}", cluster.namespace, instance.pod);
        assert!(
            instance.ready && instance.instance.ends_with(&tail),
            "{instance:?}"
        );
    }
    let store = status.object_store.unwrap();
    assert!(
        !store.bucket.is_empty() && store.prefix.ends_with('/'),
        "{store:?}"
    );
    let scale = cluster.clusters().get_scale(&cluster.name).await.unwrap();
    let scale = scale.status.unwrap();
    assert_eq!(scale.replicas, 2);
    // The autoscaler finds the pods by this.
    let pods: Api<k8s_openapi::api::core::v1::Pod> =
        Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selected = pods
        .list(&ListParams::default().labels(&scale.selector.unwrap()))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 2);
}

async fn the_agents_share_a_token_and_are_in_contact(cluster: &Handle, pods: &[String]) {
    let secret = names::peers_secret(&cluster.name);
    let token = cluster.secret_value(&secret, "token").await.unwrap();
    assert!(
        token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "the token is no 32 bytes in hexadecimal digits"
    );
    contact::of_all(cluster).await.unwrap();
    let secret = names::peers_certificates_secret(&cluster.name);
    for pod in pods {
        let certificate = cluster
            .secret_value(&secret, &format!("{pod}.crt"))
            .await
            .unwrap();
        assert!(
            certificate.starts_with("-----BEGIN CERTIFICATE-----"),
            "{pod} has no certificate"
        );
        let metrics = cluster
            .http(pod, names::AGENT_PORT)
            .get_text("/metrics")
            .await
            .unwrap();
        assert!(!metrics.contains(&token), "{pod} shows the token");
        let status = contact::status(cluster, pod).await.unwrap();
        assert!(!status.to_string().contains(&token), "{pod} shows the token");
    }
}

/// A name that each server has just refused or denied, and an answer that each has just given: PowerDNS remembers them for 60 and
/// 20 s. The first is longer than is waited here.
async fn each_server_answers_what_each_wrote(cluster: &Handle, pods: &[String]) {
    for (number, pod) in pods.iter().enumerate() {
        let zone = format!("made-on-{number}.example.");
        let name = format!("www.{zone}");
        let address = format!("192.0.2.{}", number + 1);
        let api = cluster.powerdns(pod).await.unwrap();
        for setting in ["cache-ttl", "negquery-cache-ttl"] {
            let value = api.setting(setting).await.unwrap().unwrap_or_default();
            assert!(
                value.parse::<u32>().is_ok_and(|seconds| seconds > 0),
                "{setting}={value}"
            );
        }
        let before = told_by(cluster, pods, pod).await;
        api.create_zone(&zone).await.unwrap();
        answers::nowhere(cluster, &name).await.unwrap();
        for address in ["192.0.2.200", &address] {
            let since = Instant::now();
            api.replace(&zone, &name, "A", &[address]).await.unwrap();
            let answered = since.elapsed();
            eprintln!("{pod} has answered the write of {name} {address} after {answered:?}");
            for seen in answers::everywhere(cluster, &name, address, since).await.unwrap() {
                eprintln!("{} answers it after {:?}", seen.pod, seen.after);
            }
        }
        // Not by way of the bucket alone.
        eventually(answers::REPLICATED, "the agents were told", async || {
            let after = told_by(cluster, pods, pod).await;
            let all = after
                .iter()
                .zip(&before)
                .all(|((_, after), (_, before))| after > before);
            if all {
                Ok(())
            } else {
                Err(format!("{before:?}, then {after:?}"))
            }
        })
        .await;
        let instance = instance_of(cluster, pod).await;
        for other in pods.iter().filter(|other| *other != pod) {
            let delays = contact::delays(cluster, other, &instance).await.unwrap();
            eprintln!("{other} says of the way from {pod}'s database into its own: {delays:?} s");
        }
    }
}

async fn instance_of(cluster: &Handle, pod: &str) -> String {
    let status = cluster.get().await.unwrap().status.unwrap();
    let found = status.instances.into_iter().find(|of| of.pod == pod);
    found.unwrap().instance
}

/// How many changes each other pod was told by `pod`.
async fn told_by(cluster: &Handle, pods: &[String], pod: &str) -> Vec<(String, u64)> {
    let instance = instance_of(cluster, pod).await;
    let mut told = Vec::new();
    for other in pods.iter().filter(|other| *other != pod) {
        let changes = contact::told(cluster, other, &instance).await.unwrap();
        told.push((other.clone(), changes));
    }
    told
}

async fn the_services_reach_the_right_servers(cluster: &Handle, pods: &[String]) {
    let behind_dns = cluster
        .pods_behind(&names::dns_service(&cluster.name))
        .await
        .unwrap();
    assert_eq!(behind_dns, pods);
    let behind_api = cluster
        .pods_behind(&names::api_service(&cluster.name))
        .await
        .unwrap();
    let api_pod = cluster.get().await.unwrap().status.unwrap().api_pod.unwrap();
    assert_eq!(
        behind_api,
        [api_pod],
        "writes go to one server, so that its clients read what they wrote"
    );

    // By UDP to the Service's address, as clients ask. Often enough to meet both servers.
    for _ in 0..6 {
        let answer = exec::ask_service(cluster, &pods[0], "www.made-on-1.example", "A")
            .await
            .unwrap();
        assert_eq!(
            (answer.code.as_str(), answer.values.as_slice()),
            ("No Error", &["192.0.2.2".to_owned()][..])
        );
    }
}

async fn each_agent_counts_what_it_does(cluster: &Handle, pods: &[String]) {
    for pod in pods {
        let metrics = cluster
            .http(pod, names::AGENT_PORT)
            .get_text("/metrics")
            .await
            .unwrap();
        for what in ["zonetide_agent_ready{", "zonetide_agent_snapshots_stored_total{"] {
            let counted = metrics
                .lines()
                .filter(|line| line.starts_with(what) && !line.ends_with(" 0"))
                .count();
            assert_eq!(counted, 2, "{what} of both databases of {pod}:\n{metrics}");
        }
    }
}

async fn reconciling_again_changes_nothing(cluster: &Handle) {
    let before = versions(cluster).await;
    assert!(before.len() >= 10, "{before:#?}");
    // Every change of the object, even of an annotation that means nothing, is a new reconciliation.
    let touched = cluster
        .patch(&json!({"metadata": {"annotations": {"e2e.zonetide.dev/touched": "1"}}}))
        .await
        .unwrap();
    // There is nothing to wait for when nothing must happen: watch a while.
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert_eq!(
            versions(cluster).await,
            before,
            "a second reconciliation changed something"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // When a server stored last is news, at most once a minute.
    let after = cluster.get().await.unwrap();
    let news = after.resource_version() != touched.resource_version();
    assert_eq!(
        news,
        after.status != touched.status,
        "a second reconciliation wrote a status that says nothing new"
    );
    assert_eq!(
        without_times_of_stores(&after),
        without_times_of_stores(&touched),
        "a second reconciliation changed the status"
    );
}

fn without_times_of_stores(cluster: &DnsCluster) -> DnsClusterStatus {
    let mut status = cluster.status.clone().unwrap();
    for instance in &mut status.instances {
        instance.last_stored = None;
    }
    status
}

/// The versions of everything that the operator made and only the operator writes.
async fn versions(cluster: &Handle) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    add::<ConfigMap>(cluster, &mut found).await;
    add::<PodDisruptionBudget>(cluster, &mut found).await;
    add::<Secret>(cluster, &mut found).await;
    add::<Service>(cluster, &mut found).await;
    add::<ServiceAccount>(cluster, &mut found).await;
    add::<StatefulSet>(cluster, &mut found).await;
    found
}

async fn add<K>(cluster: &Handle, found: &mut BTreeMap<String, String>)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Resource
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=zonetide-operator");
    for object in api.list(&ours).await.unwrap() {
        found.insert(
            format!("{} {}", K::KIND, object.name_any()),
            object.resource_version().unwrap(),
        );
    }
}

#[tokio::test]
async fn two_clusters_in_one_namespace_share_nothing() {
    Bench::run("two", async |bench| {
        let first = bench.apply("first", &manifest::managed(1)).await;
        let second = bench.apply("second", &manifest::managed(1)).await;
        await_ready(&first).await;
        await_ready(&second).await;
        answers::make_zone(&first, "first-0", "one.example.", 1)
            .await
            .unwrap();
        answers::make_zone(&second, "second-0", "two.example.", 1)
            .await
            .unwrap();
        answers::everywhere(&second, "r0.two.example.", "192.0.2.0", Instant::now())
            .await
            .unwrap();
        let zones = second.powerdns("second-0").await.unwrap().zones().await.unwrap();
        assert_eq!(zones, ["two.example."]);
        let keys = [
            first.secret_value("first-api-key", "api-key").await.unwrap(),
            second.secret_value("second-api-key", "api-key").await.unwrap(),
        ];
        assert_ne!(keys[0], keys[1]);
        eventually(answers::REPLICATED, "the zones of first", async || {
            match first
                .powerdns("first-0")
                .await
                .map_err(|error| error.to_string())?
                .zones()
                .await
            {
                Ok(zones) if zones == ["one.example."] => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    })
    .await;
}
