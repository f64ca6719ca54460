//! Promise: a setting that PowerDNS does not take stops at the first server, is quoted in PowerDNS' own words, harms no other
//! server, even one that starts anew meanwhile, and is over when it is taken out of the spec.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use zonetide_crds::ConditionType;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::handle::pod_is_ready;
use zonetide_e2e::{Bench, Handle, loads, names, readiness};
use zonetide_testbed::eventually;

const SETTING: &str = "no-such-setting";
/// What PowerDNS says about it in its log, where nobody looks first.
const ITS_WORDS: &str = "Trying to set unknown setting 'no-such-setting'";
/// For a server to end, to start in vain, and for the operator to see why.
const NOTICED: Duration = Duration::from_mins(3);

async fn configure(cluster: &Handle, config: &Value) {
    cluster
        .patch(&json!({"spec": {"powerdns": {"config": config}}}))
        .await
        .unwrap();
}

async fn pod(cluster: &Handle, name: &str) -> Pod {
    let pods = cluster.pods().await.unwrap();
    pods.into_iter().find(|pod| pod.name_any() == name).unwrap()
}

fn revision(pod: &Pod) -> String {
    pod.labels()["controller-revision-hash"].clone()
}

#[tokio::test]
async fn a_setting_that_powerdns_does_not_know_stops_at_one_server_and_is_undone_with_the_spec() {
    Bench::run("bad-configuration", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        loads::make_zones(&cluster).await.unwrap();
        let good = revision(&pod(&cluster, "dns-0").await);

        let start = Instant::now();
        configure(&cluster, &json!({SETTING: "yes"})).await;
        let condition = eventually(NOTICED, "a condition quotes PowerDNS", async || {
            let object = cluster.get().await.map_err(|error| error.to_string())?;
            let ready = readiness::expect(&object, ConditionType::Ready, "False")?;
            if ready.message.contains(ITS_WORDS) && ready.message.contains("dns-1") {
                Ok(ready)
            } else {
                Err(readiness::summary(&object))
            }
        })
        .await;
        eprintln!(
            "after {:?}: {}: {}",
            start.elapsed(),
            condition.reason,
            condition.message
        );
        let serving = cluster.pods_behind(&names::dns_service("dns")).await.unwrap();
        assert_eq!(
            serving,
            ["dns-0"],
            "the roll-out has not stopped at its first pod"
        );

        // It comes back as it was, not with the file that PowerDNS does not take.
        let before = pod(&cluster, "dns-0").await.uid();
        cluster.delete_pod("dns-0").await.unwrap();
        eventually(READY, "dns-0 is back and ready", async || {
            let pods = cluster.pods().await.map_err(|error| error.to_string())?;
            let found = pods.into_iter().find(|pod| pod.name_any() == "dns-0");
            let pod = found.ok_or("there is none")?;
            if pod.uid() != before && pod_is_ready(&pod) {
                Ok(())
            } else {
                Err(format!("{:?}", pod.status))
            }
        })
        .await;
        assert_eq!(revision(&pod(&cluster, "dns-0").await), good);
        loads::answered_by(&cluster, "dns-0").await.unwrap();

        let undone = Instant::now();
        configure(&cluster, &Value::Null).await;
        await_ready(&cluster).await;
        eprintln!("healed {:?} after the setting was taken out", undone.elapsed());
        for name in ["dns-0", "dns-1"] {
            loads::answered_by(&cluster, name).await.unwrap();
        }
    })
    .await;
}
