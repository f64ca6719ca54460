//! Promise: a server that is scaled away leaves nothing in the bucket once the others have all its changes, and not before; clusters
//! that share a bucket and prefix see each other and serve the same zones; and a name that two servers have is refused and shown.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::shared_bucket::{SharedBucket, put_secret};
use zonetide_e2e::{Bench, Handle, contact, manifest, names, readiness};
use zonetide_testbed::dns::Type;
use zonetide_testbed::eventually;

const ZONE: &str = "kept.example.";
const RECORDS: u8 = 20;
/// For agents and operator to notice, and for a cleaner to have gone round.
const NOTICED: Duration = Duration::from_mins(3);

/// As `kubectl scale` does.
async fn scale(cluster: &Handle, replicas: i32) {
    let change = json!({"spec": {"replicas": replicas}});
    cluster
        .clusters()
        .patch_scale(&cluster.name, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
}

/// What the agent in `pod` says of all objects in the bucket.
async fn objects(cluster: &Handle, pod: &str) -> String {
    cluster
        .http(pod, names::AGENT_PORT)
        .get_text("/storage")
        .await
        .unwrap()
}

async fn instance(cluster: &Handle, pod: &str) -> String {
    let status = cluster.get().await.unwrap().status.unwrap();
    let found = status.instances.into_iter().find(|of| of.pod == pod);
    found
        .unwrap_or_else(|| panic!("{pod} is not in the status"))
        .instance
}

#[tokio::test]
async fn a_server_scaled_away_leaves_no_object_and_takes_no_record_with_it() {
    Bench::run("retire", async |bench| {
        let cluster = bench.managed("dns", 3).await;
        // All of it is written on the server that goes, some in the last moment.
        answers::make_zone(&cluster, "dns-2", ZONE, RECORDS)
            .await
            .unwrap();
        let last = format!("r{}.{ZONE}", RECORDS - 1);
        answers::everywhere(&cluster, &last, &address(RECORDS - 1), Instant::now())
            .await
            .unwrap();
        let gone = instance(&cluster, "dns-2").await;
        assert!(
            objects(&cluster, "dns-0").await.contains(&gone),
            "it has stored nothing"
        );
        let api = cluster.powerdns("dns-2").await.unwrap();
        api.replace(ZONE, &format!("late.{ZONE}"), "A", &["192.0.2.222"])
            .await
            .unwrap();
        let start = Instant::now();
        scale(&cluster, 2).await;

        eventually(NOTICED, "the third server is retired", async || {
            let told = cluster.told("Normal", "InstanceRetired").await;
            told.map_err(|error| format!("{error:#}"))
        })
        .await;
        eprintln!("{gone} is retired after {:?}", start.elapsed());
        for pod in ["dns-0", "dns-1"] {
            let objects = objects(&cluster, pod).await;
            assert!(!objects.contains(&gone), "{gone} still has objects: {objects}");
        }
        let ready = await_ready(&cluster).await;
        assert!(ready.status.unwrap().retiring_instances.is_empty());

        // Nothing is left of it: neither objects nor a volume. Whoever comes now has everything from the others.
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let claim = names::data_claim("dns-2");
        claims.delete(&claim, &DeleteParams::default()).await.unwrap();
        eventually(READY, "its volume is gone", async || {
            match claims.get_opt(&claim).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        scale(&cluster, 3).await;
        await_ready(&cluster).await;
        for pod in ["dns-0", "dns-1", "dns-2"] {
            answers_everything(&cluster, pod).await;
        }
        // It is no longer taken for retired.
        let api = cluster.powerdns("dns-2").await.unwrap();
        api.replace(ZONE, &format!("again.{ZONE}"), "A", &["192.0.2.223"])
            .await
            .unwrap();
        answers::everywhere(&cluster, &format!("again.{ZONE}"), "192.0.2.223", Instant::now())
            .await
            .unwrap();
        eventually(NOTICED, "the new one is in the bucket", async || {
            let objects = objects(&cluster, "dns-0").await;
            if objects.contains(&gone) {
                Ok(())
            } else {
                Err(objects)
            }
        })
        .await;
    })
    .await;
}

async fn answers_everything(cluster: &Handle, pod: &str) {
    let dns = cluster.dns(pod);
    let written = (0..RECORDS).map(|number| (format!("r{number}.{ZONE}"), address(number)));
    let late = (format!("late.{ZONE}"), "192.0.2.222".to_owned());
    for (name, address) in written.chain([late]) {
        let answer = dns.ask(&name, Type::A).await.unwrap();
        answer.expect(&[&address]).unwrap();
    }
}

/// A DnsCluster of one server in a bucket that others use too.
async fn sharing(bench: &Bench, name: &str, bucket: &SharedBucket, replication: &Value) -> Handle {
    put_secret(bench, "bucket-keys", [&bucket.keys[0], &bucket.keys[1]])
        .await
        .unwrap();
    let mut spec = bucket.spec(&bucket.endpoint, "e2e/shared", "bucket-keys");
    manifest::merge(&mut spec, &json!({"replication": replication}));
    let cluster = bench.apply(name, &spec).await;
    await_ready(&cluster).await;
    cluster
}

#[tokio::test]
async fn two_clusters_of_different_sites_on_one_prefix_see_each_other_and_serve_the_same_zones() {
    Bench::run("sites", async |bench| {
        let bucket = SharedBucket::of(&bench.managed("store", 1).await).await.unwrap();
        let east = sharing(bench, "dns", &bucket, &json!({"site": "east"})).await;
        answers::make_zone(&east, "dns-0", ZONE, 3).await.unwrap();
        bench
            .also("other", async |other| {
                let west = sharing(other, "dns", &bucket, &json!({"site": "west"})).await;
                // It was loaded before PowerDNS started: no waiting here.
                let answer = west
                    .dns("dns-0")
                    .ask(&format!("r2.{ZONE}"), Type::A)
                    .await
                    .unwrap();
                answer.expect(&[&address(2)]).unwrap();
                for (on, at, name) in [(&east, &west, "from-east"), (&west, &east, "from-west")] {
                    let (name, since) = (format!("{name}.{ZONE}"), Instant::now());
                    let api = on.powerdns("dns-0").await.unwrap();
                    api.replace(ZONE, &name, "A", &["192.0.2.77"]).await.unwrap();
                    for seen in answers::everywhere(at, &name, "192.0.2.77", since).await.unwrap() {
                        eprintln!("{name} is answered by the other site after {:?}", seen.after);
                    }
                }
                sees(&east, &instance(&west, "dns-0").await).await;
                sees(&west, &instance(&east, "dns-0").await).await;
                for cluster in [&east, &west] {
                    let object = cluster.get().await.unwrap();
                    readiness::expect(&object, ConditionType::Replicating, "True").unwrap();
                }
            })
            .await;
    })
    .await;
}

/// Waits until the status has this instance among the others, and nobody else.
async fn sees(cluster: &Handle, instance: &str) {
    eventually(NOTICED, &format!("{instance} is in the status"), async || {
        cluster.look_at_once().await.map_err(|error| error.to_string())?;
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let others = object.status.unwrap_or_default().other_instances;
        match others.as_slice() {
            [other] if other.instance == instance && other.last_stored.is_some() => Ok(()),
            _ => Err(format!("{others:?}")),
        }
    })
    .await;
}

/// Names of instances are not unambiguous: `SITE-NAMESPACE-POD` has hyphens in all its parts. So a namespace `x` with a DnsCluster
/// `two-dns` and a namespace `x-two` with a DnsCluster `dns` have servers of the same name. That harms nobody as long as
/// they do not share bucket and prefix, for which somebody has to ask.
#[tokio::test]
async fn a_name_that_two_servers_have_is_refused_by_the_agents_loses_no_change_and_shows_in_a_condition() {
    Bench::run("collision", async |bench| {
        let bucket = SharedBucket::of(&bench.managed("store", 1).await).await.unwrap();
        let first = sharing(bench, "two-dns", &bucket, &json!({})).await;
        answers::make_zone(&first, "two-dns-0", ZONE, 1).await.unwrap();
        bench
            .also("two", async |other| {
                let second = sharing(other, "dns", &bucket, &json!({})).await;
                let name = instance(&second, "dns-0").await;
                assert_eq!(
                    name,
                    instance(&first, "two-dns-0").await,
                    "these names do not collide"
                );
                let api = first.powerdns("two-dns-0").await.unwrap();
                api.replace(ZONE, &format!("seen.{ZONE}"), "A", &["192.0.2.78"])
                    .await
                    .unwrap();
                // The second merges what the first stores under their name, and stores nothing itself.
                answers::everywhere(&second, &format!("seen.{ZONE}"), "192.0.2.78", Instant::now())
                    .await
                    .unwrap();
                eventually(NOTICED, "the agent refuses its name", async || {
                    let status = contact::status(&second, "dns-0").await;
                    let status = status.map_err(|error| format!("{error:#}"))?;
                    let databases = status["databases"].as_object().into_iter().flatten();
                    let mut conditions = databases.map(|(_, of)| &of["conditions"]["namesake"]["level"]);
                    if conditions.any(|level| level == "error") {
                        Ok(())
                    } else {
                        Err(status.to_string())
                    }
                })
                .await;
                shows_the_collision(&second, &name).await;
            })
            .await;
    })
    .await;
}

async fn shows_the_collision(cluster: &Handle, instance: &str) {
    let condition = eventually(NOTICED, "the condition names the collision", async || {
        cluster.look_at_once().await.map_err(|error| error.to_string())?;
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let condition = readiness::expect(&object, ConditionType::Replicating, "False")?;
        if condition.reason == Reason::IdentityCollision.as_str() {
            Ok(condition)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
    eprintln!("{}: {}", condition.reason, condition.message);
    for named in [instance, "spec.replication.site", "no change is lost"] {
        assert!(
            condition.message.contains(named),
            "{named} is missing: {}",
            condition.message
        );
    }
    eventually(NOTICED, "a Warning event", async || {
        let told = cluster.told("Warning", Reason::IdentityCollision.as_str()).await;
        told.map_err(|error| format!("{error:#}"))
    })
    .await;
    // Its servers serve.
    let object = cluster.get().await.unwrap();
    readiness::expect(&object, ConditionType::Ready, "True").unwrap();
}
