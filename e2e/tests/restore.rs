//! Promise: a signed zone that was deleted by mistake is back on every server, with the keys that its parent's DS record is for, within
//! five seconds of `kubectl apply` of a DnsRestore. A dry run changes nothing, and a DnsRestore cannot be edited.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData};
use hickory_proto::rr::{Name, RData};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, DnsRestore, DnsRestoreStatus, RestorePhase};
use zonetide_e2e::answers::{self, REPLICATED};
use zonetide_e2e::names::AGENT_CONTAINER;
use zonetide_e2e::{Bench, Handle, exec};
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::eventually;

const ZONE: &str = "signed.example.";
/// From `kubectl apply` until every server answers.
const BACK: Duration = Duration::from_secs(5);
/// For what is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    cluster: Handle,
    restores: Api<DnsRestore>,
}

#[tokio::test]
async fn a_deleted_signed_zone_is_back_on_every_server_soon_after_a_restore_is_applied() {
    Bench::run("restore", async |bench| {
        let scene = Scene {
            cluster: bench.managed("dns", 3).await,
            restores: Api::namespaced(bench.client.clone(), &bench.namespace),
        };
        let (ds, at) = scene.signed_zone().await;
        scene.delete_zone().await;

        let plan = scene.plan(&at).await;
        assert_eq!((plan.zones, plan.missing.len()), (1, 0), "{plan:?}");
        for pod in scene.pods().await {
            scene.has_no_zone(&pod).await.unwrap();
        }
        scene.restore(&at, &ds, plan.rrsets).await;

        let patch = json!({"spec": {"dryRun": true}});
        let edited = scene
            .restores
            .patch("back", &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let refusal = edited.unwrap_err().to_string();
        assert!(refusal.contains("make another DnsRestore"), "{refusal}");
        scene
            .apply(
                "unknown",
                &json!({"cluster": "dns", "at": at, "zones": ["none.example"]}),
            )
            .await;
        let status = scene.comes_to("unknown", RestorePhase::Failed).await;
        assert_eq!(reason(&status), "UnknownZone", "{status:?}");
        scene
            .apply("lost", &json!({"cluster": "none", "at": at, "all": true}))
            .await;
        eventually(PATIENCE, "a missing DnsCluster is told of", async || {
            let status = scene.status("lost").await?;
            let found = reason(&status).to_owned();
            (found == "ClusterMissing").then_some(()).ok_or(found)
        })
        .await;
    })
    .await;
}

impl Scene {
    /// Makes it, and gives the digests of its DS records, and a time at which the history has it.
    async fn signed_zone(&self) -> (Vec<String>, String) {
        answers::make_zone(&self.cluster, "dns-0", ZONE, 3).await.unwrap();
        let api = self.cluster.powerdns("dns-0").await.unwrap();
        api.enable_dnssec(ZONE).await.unwrap();
        let ds = self.ds("dns-0").await.unwrap();
        assert!(!ds.is_empty());
        for pod in self.pods().await {
            eventually(REPLICATED, &format!("{pod} has the key"), async || {
                self.has_zone(&pod, &ds).await
            })
            .await;
        }
        let mut at = String::new();
        eventually(REPLICATED, "the history has the zone", async || {
            at = jiff::Timestamp::now().to_string();
            let show = ["zonetide-agent", "zone", "show", ZONE, "--at", &at];
            let shown = exec::run_in(&self.cluster, "dns-0", AGENT_CONTAINER, &show).await;
            let shown = shown.map_err(|error| format!("{error:#}"))?;
            let (name, address) = (format!("r1.{ZONE} "), format!(" A {}", answers::address(1)));
            let is_it = |line: &str| line.starts_with(&name) && line.ends_with(&address);
            shown.lines().any(is_it).then_some(()).ok_or(shown)
        })
        .await;
        (ds, at)
    }

    async fn delete_zone(&self) {
        let api = self.cluster.powerdns("dns-1").await.unwrap();
        api.delete_zone(ZONE).await.unwrap();
        for pod in self.pods().await {
            eventually(REPLICATED, &format!("{pod} has no such zone"), async || {
                self.has_no_zone(&pod).await
            })
            .await;
        }
    }

    /// What a dry run shows. The zone goes before its records: until those are gone, too, less would be written.
    async fn plan(&self, at: &str) -> zonetide_crds::RestorePlan {
        let mut number = 0;
        eventually(PATIENCE, "the plan has the records", async || {
            number += 1;
            let name = format!("look-{number}");
            let spec = json!({"cluster": "dns", "at": at, "zones": [ZONE], "dryRun": true});
            self.apply(&name, &spec).await;
            let status = self.comes_to(&name, RestorePhase::Done).await;
            assert_eq!(reason(&status), "Planned");
            let result = status.result.unwrap();
            assert_eq!((result.zones, result.rrsets), (0, 0));
            let plan = status.plan.unwrap();
            let has_record = plan
                .lines
                .iter()
                .any(|line| line.starts_with("+ r1.signed.example."));
            if has_record {
                Ok(plan)
            } else {
                Err(format!("{plan:?}"))
            }
        })
        .await
    }

    async fn restore(&self, at: &str, ds: &[String], rrsets: i64) {
        let start = Instant::now();
        self.apply("back", &json!({"cluster": "dns", "at": at, "zones": [ZONE]}))
            .await;
        for pod in self.pods().await {
            let left = BACK.saturating_sub(start.elapsed());
            eventually(left, &format!("{pod} has the zone again"), async || {
                self.has_zone(&pod, ds).await
            })
            .await;
        }
        println!("restored on 3 servers {:?} after kubectl apply", start.elapsed());
        let status = self.comes_to("back", RestorePhase::Done).await;
        let result = status.result.clone().unwrap();
        assert_eq!(
            (result.zones, result.rrsets, result.left),
            (1, rrsets, 0),
            "{status:?}"
        );
        assert_eq!(status.server.as_deref(), Some(&*result.server));
        let told = Handle::new(&self.cluster.client, &self.cluster.namespace, "back");
        eventually(PATIENCE, "an Event tells of it", async || {
            let told = told.told("Normal", "Restored").await;
            told.map_err(|error| format!("{error:#}"))
        })
        .await;
    }

    async fn apply(&self, name: &str, spec: &Value) {
        // As people write it: the type would cut the time to seconds.
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsRestore", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        let resource = ApiResource::erase::<DnsRestore>(&());
        let api = Api::namespaced_with(
            self.restores.clone().into_client(),
            &self.cluster.namespace,
            &resource,
        );
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn status(&self, name: &str) -> Result<DnsRestoreStatus, String> {
        let restore = self.restores.get(name).await.map_err(|error| error.to_string())?;
        restore.status.ok_or_else(|| "no status".to_owned())
    }

    async fn comes_to(&self, name: &str, phase: RestorePhase) -> DnsRestoreStatus {
        eventually(PATIENCE, &format!("{name} comes to {phase:?}"), async || {
            let status = self.status(name).await?;
            if status.phase == Some(phase) {
                Ok(status)
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await
    }

    async fn pods(&self) -> Vec<String> {
        self.cluster.pod_names().await.unwrap()
    }

    async fn has_no_zone(&self, pod: &str) -> Result<(), String> {
        let answer = self.cluster.dns(pod).ask(ZONE, Type::SOA).await;
        answer
            .map_err(|error| error.to_string())?
            .expect_code(Code::Refused)
    }

    async fn has_zone(&self, pod: &str, ds: &[String]) -> Result<(), String> {
        let found = self.ds(pod).await?;
        if found != ds {
            return Err(format!("{found:?}"));
        }
        let answer = self.cluster.dns(pod).ask(&format!("r1.{ZONE}"), Type::A).await;
        answer
            .map_err(|error| error.to_string())?
            .expect(&[&answers::address(1)])
    }

    /// What the parent's DS records say of the keys that a server answers.
    async fn ds(&self, pod: &str) -> Result<Vec<String>, String> {
        let answer = self.cluster.dns(pod).ask(ZONE, Type::DNSKEY).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let key = |data: &RData| match data {
            RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
            _ => None,
        };
        let keys: Vec<DNSKEY> = answer
            .records
            .iter()
            .filter_map(|record| key(&record.data))
            .collect();
        let name = Name::from_ascii(ZONE).unwrap();
        let digest = |key: &DNSKEY| key.to_digest(&name, DigestType::SHA256).unwrap();
        let mut digests: Vec<String> = keys
            .iter()
            .map(|key| format!("{:02x?}", digest(key).as_ref()))
            .collect();
        digests.sort();
        Ok(digests)
    }
}

fn reason(status: &DnsRestoreStatus) -> &str {
    let ready = ConditionType::Ready.as_str();
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ready);
    ready.map_or("", |ready| &ready.reason)
}
