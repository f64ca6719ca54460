//! Promise: with a DnsCluster go all its children; volumes and bucket stay, and applying it again brings all zones back.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::{NamespaceResourceScope, Resource};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::{Bench, Handle, manifest, names};
use zonetide_testbed::dns::Type;
use zonetide_testbed::eventually;

const ZONE: &str = "comes-back.example.";
const RECORDS: u8 = 10;

#[tokio::test]
async fn children_go_volumes_and_bucket_stay_and_applying_again_brings_all_zones_back() {
    Bench::run("delete", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        answers::make_zone(&cluster, "dns-0", ZONE, RECORDS)
            .await
            .unwrap();
        let last = format!("r{}.{ZONE}", RECORDS - 1);
        answers::everywhere(&cluster, &last, &address(RECORDS - 1), Instant::now())
            .await
            .unwrap();
        let claims_before = claims(&cluster).await;
        assert_eq!(
            claims_before.len(),
            3,
            "two servers and the store: {claims_before:?}"
        );

        await_kept_from_pruning(&cluster).await;

        delete(&cluster).await;
        assert_eq!(claims(&cluster).await, claims_before, "volumes must stay");
        apply_again(bench).await;

        // Without the servers' volumes the bucket alone has the zones.
        delete(&cluster).await;
        let volumes: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        for pod in ["dns-0", "dns-1"] {
            volumes
                .delete(&names::data_claim(pod), &DeleteParams::default())
                .await
                .unwrap();
        }
        eventually(READY, "the servers' volumes are gone", async || {
            let left = claims(&cluster).await;
            if left.len() == 1 {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
        apply_again(bench).await;
    })
    .await;
}

async fn apply_again(bench: &Bench) {
    let cluster = bench.apply("dns", &manifest::managed(2)).await;
    await_ready(&cluster).await;
    for pod in ["dns-0", "dns-1"] {
        let dns = cluster.dns(pod);
        for number in 0..RECORDS {
            let answer = dns.ask(&format!("r{number}.{ZONE}"), Type::A).await.unwrap();
            answer.expect(&[&address(number)]).unwrap();
        }
    }
}

async fn delete(cluster: &Handle) {
    cluster.delete().await.unwrap();
    eventually(READY, "all children are gone", async || {
        let mut left = Vec::new();
        add::<ConfigMap>(cluster, &mut left).await;
        add::<Pod>(cluster, &mut left).await;
        add::<PodDisruptionBudget>(cluster, &mut left).await;
        add::<Secret>(cluster, &mut left).await;
        add::<Service>(cluster, &mut left).await;
        add::<ServiceAccount>(cluster, &mut left).await;
        add::<StatefulSet>(cluster, &mut left).await;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

async fn add<K>(cluster: &Handle, left: &mut Vec<String>)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Resource
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", cluster.name));
    for object in api.list(&ours).await.unwrap() {
        left.push(format!("{} {}", K::KIND, object.name_any()));
    }
}

/// Names and identities of the volumes.
async fn claims(cluster: &Handle) -> Vec<(String, Option<String>)> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let claims = api.list(&ListParams::default()).await.unwrap();
    claims
        .iter()
        .map(|claim| (claim.name_any(), claim.uid()))
        .collect()
}

/// Claims have no owner: where Argo CD tells by labels what is an application's, this is all that keeps them.
async fn await_kept_from_pruning(cluster: &Handle) {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    eventually(READY, "all claims are kept from pruning", async || {
        let claims = api.list(&ListParams::default()).await;
        let claims = claims.map_err(|error| error.to_string())?;
        let kept = |claim: &PersistentVolumeClaim| {
            let options = claim.annotations().get("argocd.argoproj.io/sync-options");
            options.is_some_and(|options| options == "Prune=false")
        };
        let open: Vec<String> = claims
            .iter()
            .filter(|claim| !kept(claim))
            .map(ResourceExt::name_any)
            .collect();
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?}"))
        }
    })
    .await;
}
