//! Promise: a new DnsCluster runs PowerDNS 5.1, one with data keeps the version of these, and a PowerDNS that does not fit is named and goes
//! no further than one server.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, DnsCluster, PowerDnsVersion, Reason};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::{Bench, Handle, exec, installed, manifest};
use zonetide_testbed::eventually;

const ZONE: &str = "version.example.";

/// One of the images that only tests run.
async fn image(bench: &Bench, kind: &str) -> String {
    let own = installed::setting(&bench.client, installed::POWERDNS_51_IMAGE)
        .await
        .unwrap();
    let (repository, tag) = own.rsplit_once(':').unwrap();
    format!("{repository}-{kind}:{tag}")
}

/// The message of Ready, once it has this reason.
async fn not_ready(cluster: &Handle, reason: Reason) -> String {
    eventually(READY, reason.as_str(), async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let ready = condition(&object).ok_or("no condition")?;
        if ready.0 == reason.as_str() {
            Ok(ready.1)
        } else {
            Err(format!("{ready:?}"))
        }
    })
    .await
}

fn condition(cluster: &DnsCluster) -> Option<(String, String)> {
    let conditions = &cluster.status.as_ref()?.conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    Some((ready.reason.clone(), ready.message.clone()))
}

async fn partition(cluster: &Handle) -> Option<i32> {
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let strategy = sets.get(&cluster.name).await.unwrap().spec?.update_strategy?;
    strategy.rolling_update?.partition
}

async fn release(cluster: &Handle, pod: &str) -> String {
    exec::run(cluster, pod, &["pdns_control", "version"])
        .await
        .unwrap()
        .trim()
        .to_owned()
}

fn with_powerdns(replicas: i32, powerdns: &Value) -> Value {
    let mut spec = manifest::managed(replicas);
    spec["powerdns"] = powerdns.clone();
    spec
}

#[tokio::test]
async fn a_new_cluster_is_5_1_also_in_an_image_laid_out_like_the_official_one_and_one_that_does_not_fit_stops_at_one_server()
 {
    Bench::run("version", async |bench| {
        let image_of_layout = image(bench, "official-layout").await;
        let cluster = bench
            .apply("dns", &with_powerdns(2, &json!({"image": image_of_layout})))
            .await;
        let object = await_ready(&cluster).await;
        assert_eq!(
            object.status.unwrap().powerdns_version,
            Some(PowerDnsVersion::V5_1)
        );
        assert!(release(&cluster, "dns-0").await.starts_with("5.1."));
        let server = exec::run(&cluster, "dns-0", &["sh", "-c", "command -v pdns_server"])
            .await
            .unwrap();
        assert_eq!(server.trim(), "/usr/local/sbin/pdns_server");
        answers::make_zone(&cluster, "dns-0", ZONE, 1).await.unwrap();
        let asked = format!("r0.{ZONE}");
        answers::everywhere(&cluster, &asked, &address(0), Instant::now())
            .await
            .unwrap();

        // It runs, and serves, and is no release that should.
        let other = image(bench, "says-5.0").await;
        cluster
            .patch(&json!({"spec": {"powerdns": {"image": other}}}))
            .await
            .unwrap();
        let message = not_ready(&cluster, Reason::PowerDnsNotSupported).await;
        assert!(
            message.contains("dns-1 (PowerDNS 5.0.") && message.contains("NSEC"),
            "{message}"
        );
        assert!(!message.contains("dns-0 ("), "{message}");
        assert_eq!(
            partition(&cluster).await,
            Some(1),
            "the other one may be replaced"
        );
        assert!(release(&cluster, "dns-0").await.starts_with("5.1."));

        // As the message says.
        cluster
            .patch(&json!({"spec": {"powerdns": {"image": null}}}))
            .await
            .unwrap();
        await_ready(&cluster).await;
        for pod in ["dns-0", "dns-1"] {
            assert!(release(&cluster, pod).await.starts_with("5.1."));
        }
        answers::everywhere(&cluster, &asked, &address(0), Instant::now())
            .await
            .unwrap();

        // The data are of another schema: the servers stay, and what the message says is safe to do.
        cluster
            .patch(&json!({"spec": {"powerdns": {"version": "4.9"}}}))
            .await
            .unwrap();
        let message = not_ready(&cluster, Reason::InvalidSpec).await;
        assert!(
            message.contains("write \"5.1\"") && message.contains("2 of 2 servers serve"),
            "{message}"
        );
        let lives = cluster.lives().await.unwrap();
        cluster
            .patch(&json!({"spec": {"powerdns": {"version": "5.1"}}}))
            .await
            .unwrap();
        await_ready(&cluster).await;
        assert_eq!(cluster.lives().await.unwrap(), lives);
    })
    .await;
}

#[tokio::test]
async fn volumes_of_an_earlier_release_are_served_by_4_9_and_an_image_of_5_1_does_not_upgrade_them() {
    Bench::run("version-old", async |bench| {
        // Earlier releases annotated no claims.
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "data-dns-0", "labels": {
                "app.kubernetes.io/name": "zonetide-dns", "app.kubernetes.io/instance": "dns"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}},
        }))
        .unwrap();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(bench.client.clone(), &bench.namespace);
        claims.create(&PostParams::default(), &claim).await.unwrap();
        let cluster = bench.apply("dns", &manifest::managed(2)).await;
        let status = await_ready(&cluster).await.status.unwrap();
        assert_eq!(status.powerdns_version, Some(PowerDnsVersion::V4_9));
        let prefix = status.object_store.unwrap().prefix;
        assert_eq!(prefix, format!("{}/dns/schema-5/", bench.namespace));
        assert!(release(&cluster, "dns-1").await.starts_with("4.9."));
        answers::make_zone(&cluster, "dns-1", ZONE, 1).await.unwrap();
        let asked = format!("r0.{ZONE}");
        answers::everywhere(&cluster, &asked, &address(0), Instant::now())
            .await
            .unwrap();

        let newer = installed::setting(&bench.client, installed::POWERDNS_51_IMAGE)
            .await
            .unwrap();
        cluster
            .patch(&json!({"spec": {"powerdns": {"image": newer}}}))
            .await
            .unwrap();
        let message = eventually(READY, "the image is named", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            let (_, message) = condition(&object).ok_or("no condition")?;
            if message.contains("schema version") {
                Ok(message)
            } else {
                Err(message)
            }
        })
        .await;
        assert!(
            message.contains("dns-1 (powerdns ended:") && message.contains("spec.powerdns.image"),
            "{message}"
        );
        cluster
            .patch(&json!({"spec": {"powerdns": {"image": null}}}))
            .await
            .unwrap();
        await_ready(&cluster).await;
        answers::everywhere(&cluster, &asked, &address(0), Instant::now())
            .await
            .unwrap();
    })
    .await;
}
