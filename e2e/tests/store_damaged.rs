//! Promise: a managed store whose files are damaged is named with what to do, and what docs/object-stores.md says to do gives a store with
//! all zones, while every server answers.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::witness::{Question, Witness};
use zonetide_e2e::{Bench, contact, exec, names, readiness};
use zonetide_testbed::eventually;

const ZONE: &str = "kept.example.";
const POD: &str = "dns-garage-0";
/// So much that nothing Garage may write at its end makes it whole.
const DAMAGE: &str =
    "dd if=/dev/zero of=/var/lib/garage/meta/db.lmdb/data.mdb bs=64K count=16 conv=notrunc && kill 1";

#[tokio::test]
async fn a_damaged_store_is_named_and_replaced_by_the_documented_step_and_has_all_zones_again() {
    Bench::run("damaged", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        answers::make_zone(&cluster, "dns-0", ZONE, 1).await.unwrap();
        let name = format!("r0.{ZONE}");
        answers::everywhere(&cluster, &name, &address(0), Instant::now())
            .await
            .unwrap();
        contact::settled(&cluster).await.unwrap();
        let servers = cluster.pod_names().await.unwrap();
        let lives = cluster.lives().await.unwrap();
        let question = Question {
            name: name.clone(),
            address: address(0),
        };
        let witness = Witness::of_pods(&cluster, &servers, &[question]);

        // Garage ends with it.
        let _ = exec::run_in(&cluster, POD, "garage", &["sh", "-c", DAMAGE]).await;
        let condition = eventually(READY, "the damaged store is named", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            let condition = readiness::expect(&object, ConditionType::ObjectStoreReady, "False")?;
            if condition.reason == Reason::StoreError.as_str() {
                Ok(condition)
            } else {
                Err(readiness::summary(&object))
            }
        })
        .await;
        eprintln!("{}", condition.message);
        for part in [
            "dns-garage-0 (garage ended: ",
            "MDB",
            "A managed store whose files are damaged",
        ] {
            assert!(condition.message.contains(part), "{}", condition.message);
        }
        await_ready(&cluster).await;

        let client = &cluster.client;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
        let claim = format!("data-{POD}");
        let old = claims.get(&claim).await.unwrap().uid();
        let began = Instant::now();
        claims.delete(&claim, &DeleteParams::default()).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
        pods.delete(POD, &DeleteParams::default()).await.unwrap();
        for type_ in [ConditionType::ObjectStoreReady, ConditionType::Replicating] {
            eventually(READY, type_.as_str(), async || {
                let object = cluster.get().await.map_err(|error| error.to_string())?;
                readiness::expect(&object, type_, "True")
            })
            .await;
        }
        assert_ne!(claims.get(&claim).await.unwrap().uid(), old);
        contact::settled(&cluster).await.unwrap();
        eprintln!("the new store has all after {:?}", began.elapsed());
        witness.finish().await;
        assert_eq!(cluster.lives().await.unwrap(), lives, "a server was restarted");

        // Whole databases, by which a server that begins with nothing could do without the others.
        let listing = cluster
            .http("dns-0", names::AGENT_PORT)
            .get_text("/storage")
            .await
            .unwrap();
        for server in &servers {
            for database in ["main", "shard"] {
                let own = |line: &str| {
                    line.contains(&format!("{database}__")) && line.contains(&format!("-{server}__"))
                };
                assert!(
                    listing.lines().any(own),
                    "{server} has stored no {database}: {listing}"
                );
            }
        }
    })
    .await;
}
