//! Promise: a server that is added is not in the Service until it has everything, and servers that are taken away
//! take no record with them. The servers remember answers for an hour here: who is not told to forget one shows it.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Instant;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::witness::{Question, Witness};
use zonetide_e2e::{Bench, Handle, contact, manifest, names};
use zonetide_testbed::dns::Type;
use zonetide_testbed::eventually;

const ZONES: u8 = 5;
const RECORDS: u8 = 20;

fn zone(number: u8) -> String {
    format!("zone{number}.example.")
}

fn questions() -> Vec<Question> {
    (0..ZONES)
        .flat_map(|of| {
            (0..RECORDS).map(move |number| Question {
                name: format!("r{number}.{}", zone(of)),
                address: address(number),
            })
        })
        .collect()
}

/// As `kubectl scale` does.
async fn scale(cluster: &Handle, replicas: i32) {
    let change = json!({"spec": {"replicas": replicas}});
    cluster
        .clusters()
        .patch_scale(&cluster.name, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_added_server_serves_only_with_all_data_and_removed_ones_take_nothing_away() {
    Bench::run("scale", async |bench| {
        let mut spec = manifest::managed(2);
        let hour = [
            "cache-ttl",
            "query-cache-ttl",
            "negquery-cache-ttl",
            "zone-cache-refresh-interval",
        ];
        let hour: BTreeMap<_, _> = hour.map(|setting| (setting, "3600")).into();
        manifest::merge(&mut spec, &json!({"powerdns": {"config": hour}}));
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        for number in 0..ZONES {
            answers::make_zone(&cluster, "dns-0", &zone(number), RECORDS)
                .await
                .unwrap();
        }
        let last = questions().pop().unwrap();
        answers::everywhere(&cluster, &last.name, &last.address, Instant::now())
            .await
            .unwrap();

        two_to_three(&cluster).await;
        all_tell_each_other(&cluster).await;
        three_to_one(&cluster).await;
    })
    .await;
}

async fn two_to_three(cluster: &Handle) {
    let added = "dns-2".to_owned();
    let dns_service = names::dns_service(&cluster.name);
    let witness = Witness::of_pods(cluster, std::slice::from_ref(&added), &questions()).and_of_service(
        cluster,
        "dns-0",
        &questions(),
    );
    let start = Instant::now();
    scale(cluster, 3).await;
    eventually(READY, "dns-2 is in the Service", async || {
        match cluster.pods_behind(&dns_service).await {
            Ok(pods) if pods.contains(&added) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // From the first moment on it has every record: no waiting here.
    let dns = cluster.dns(&added);
    for question in questions() {
        dns.ask(&question.name, Type::A)
            .await
            .unwrap()
            .expect(&[&question.address])
            .unwrap();
    }
    eprintln!("the third server serves after {:?}", start.elapsed());
    await_ready(cluster).await;
    witness.finish().await;
}

/// What the added server writes is answered by the others in the place of what they remember, and the other way round.
async fn all_tell_each_other(cluster: &Handle) {
    contact::of_all(cluster).await.unwrap();
    let name = format!("told.{}", zone(0));
    answers::nowhere(cluster, &name).await.unwrap();
    for (pod, address) in [("dns-2", "192.0.2.212"), ("dns-0", "192.0.2.210")] {
        let api = cluster.powerdns(pod).await.unwrap();
        let since = Instant::now();
        api.replace(&zone(0), &name, "A", &[address]).await.unwrap();
        for seen in answers::everywhere(cluster, &name, address, since).await.unwrap() {
            eprintln!("{} answers what {pod} was told after {:?}", seen.pod, seen.after);
        }
    }
}

async fn three_to_one(cluster: &Handle) {
    let staying = ["dns-0".to_owned()];
    let witness = Witness::of_pods(cluster, &staying, &questions());
    // Written on the servers that go, in the last moment.
    for (pod, record, address) in [
        ("dns-1", "late1", "192.0.2.201"),
        ("dns-2", "late2", "192.0.2.202"),
    ] {
        let api = cluster.powerdns(pod).await.unwrap();
        api.replace(&zone(0), &format!("{record}.{}", zone(0)), "A", &[address])
            .await
            .unwrap();
    }
    scale(cluster, 1).await;
    eventually(READY, "only dns-0 is left", async || {
        match cluster.pod_names().await {
            Ok(pods) if pods == staying => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    await_ready(cluster).await;
    for (record, address) in [("late1", "192.0.2.201"), ("late2", "192.0.2.202")] {
        answers::everywhere(cluster, &format!("{record}.{}", zone(0)), address, Instant::now())
            .await
            .unwrap();
    }
    let dns = cluster.dns("dns-0");
    for question in questions() {
        dns.ask(&question.name, Type::A)
            .await
            .unwrap()
            .expect(&[&question.address])
            .unwrap();
    }
    // It no longer counts on those that are gone.
    contact::of_all(cluster).await.unwrap();
    witness.finish().await;
}
