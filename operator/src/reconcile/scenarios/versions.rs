//! Which PowerDNS a `DnsCluster` runs: recorded once, kept whatever becomes of the spec, and looked at when it runs.

use zonetide_crds::Reason;

use super::*;
use crate::{agents::PowerDns, testing::MANAGED_MINIO};

const V4_9: &str = "{objectStore: {managed: {}}, powerdns: {version: '4.9'}}";
const CLAIM: &str = "/api/v1/namespaces/shore/persistentvolumeclaims/data-tide-0";

/// Without servers.
fn fresh(spec: &str) -> Scene {
    let scene = Scene::new(spec);
    scene.api.remove(SERVERS);
    if spec == S3 {
        scene.api.put(
            KEYS,
            json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
        );
    }
    scene
}

fn claim(annotations: &Value) -> Value {
    let labels = json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/name": "zonetide-dns"});
    json!({"metadata": {"name": "data-tide-0", "namespace": "shore", "labels": labels, "annotations": annotations}})
}

fn recorded(scene: &Scene) -> Value {
    scene.api.get(CLUSTER)["status"]["powerdnsVersion"].clone()
}

fn runs(scene: &Scene, version: &str) {
    let version = (!version.is_empty()).then(|| version.to_owned());
    scene.agents.0.lock().unwrap().powerdns = Some(PowerDns { version });
}

fn change_spec(scene: &Scene, powerdns: &Value) {
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["powerdns"] = powerdns.clone();
    scene.api.put(CLUSTER, cluster);
}

#[tokio::test]
async fn the_version_is_recorded_when_there_are_servers_and_another_in_the_spec_leaves_them_as_they_are() {
    let scene = fresh(MANAGED);
    scene.api.remove(GARAGE);
    scene.run().await;
    assert_eq!(recorded(&scene), Value::Null, "there are no servers yet");

    let scene = fresh(MANAGED);
    scene.run().await;
    assert_eq!(recorded(&scene), "5.1");
    change_spec(&scene, &json!({"version": "4.9"}));
    let changes = scene.run().await;
    assert!(!short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("Ready")["reason"], Reason::InvalidSpec.as_str());
    assert_eq!(recorded(&scene), "5.1");
    // As the message says.
    change_spec(&scene, &json!({"version": "5.1"}));
    let changes = scene.run().await;
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
}

#[tokio::test]
async fn volumes_that_are_left_decide_and_those_without_an_annotation_are_of_4_9() {
    for (annotations, version, prefix) in [
        (
            json!({"zonetide.dev/powerdns-version": "5.1"}),
            "5.1",
            "shore/tide/",
        ),
        (
            json!({"zonetide.dev/powerdns-version": "4.9"}),
            "4.9",
            "shore/tide/",
        ),
        (json!({}), "4.9", "shore/tide/schema-5/"),
    ] {
        let scene = fresh(MANAGED);
        scene.api.put(CLAIM, claim(&annotations));
        scene.run().await;
        assert_eq!(recorded(&scene), version);
        let status = &scene.api.get(CLUSTER)["status"];
        assert_eq!(status["objectStore"]["prefix"], prefix);
    }
}

#[tokio::test]
async fn nothing_is_made_on_a_guess_while_volumes_cannot_be_looked_at() {
    let scene = fresh(MANAGED);
    scene.api.hide("/persistentvolumeclaims");
    let error = scene.try_run().await.unwrap_err();
    assert!(
        error.describe().contains("PersistentVolumeClaims"),
        "{}",
        error.describe()
    );
    assert!(
        short(&scene.api.take_changes())
            .iter()
            .all(|path| !path.contains("statefulsets"))
    );
    // Servers that are there say enough.
    let known = Scene::new(V4_9);
    known.api.hide("/persistentvolumeclaims");
    assert!(short(&known.run().await).contains(&"statefulsets/tide".to_owned()));
}

#[tokio::test]
async fn volumes_that_were_restored_by_hand_must_say_what_they_are() {
    let scene = fresh(MANAGED);
    let mut restored = claim(&json!({}));
    restored["metadata"]["labels"] = json!({"backup": "yes"});
    scene.api.put(CLAIM, restored.clone());
    let changes = scene.run().await;
    assert!(short(&changes).iter().all(|path| !path.contains("statefulsets")));
    let condition = scene.condition("Ready");
    assert_eq!(condition["reason"], Reason::InvalidSpec.as_str());
    // As the message says.
    restored["metadata"]["annotations"] = json!({"zonetide.dev/powerdns-version": "4.9"});
    scene.api.put(CLAIM, restored);
    scene.run().await;
    assert_eq!(recorded(&scene), "4.9");
}

#[tokio::test]
async fn a_minio_without_an_image_says_where_to_name_one_and_its_servers_go_on() {
    let scene = Scene::new(MANAGED_MINIO);
    let mut context = scene.context;
    context.settings.minio_image = String::new();
    let scene = Scene { context, ..scene };
    scene.run().await;
    let condition = scene.condition("ObjectStoreReady");
    assert_eq!(condition["reason"], Reason::InvalidSpec.as_str());
    let message = condition["message"].as_str().unwrap();
    for named in ["spec.objectStore.managed.image", "minio.image of the chart"] {
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn a_new_one_does_not_begin_beside_the_zones_of_an_earlier_release() {
    let scene = fresh(S3);
    scene.store.state().stored = vec!["shore/tide/schema-5/main__a".into()];
    for _ in 0..2 {
        let changes = scene.run().await;
        assert!(!short(&changes).contains(&"statefulsets/tide".to_owned()));
    }
    let condition = scene.condition("ObjectStoreReady");
    assert_eq!(condition["reason"], Reason::InvalidSpec.as_str());
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains("\"shore/tide/schema-5/\" as spec.objectStore.s3.prefix"),
        "{message}"
    );

    // As the message says: the Secrets of the one that was deleted may still be there. Half of it is not enough.
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["objectStore"]["s3"]["prefix"] = json!("shore/tide/schema-5/");
    scene.api.put(CLUSTER, cluster.clone());
    assert!(!short(&scene.run().await).contains(&"statefulsets/tide".to_owned()));
    cluster["spec"]["powerdns"]["version"] = json!("4.9");
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    assert_eq!(recorded(&scene), "4.9");
    let status = &scene.api.get(CLUSTER)["status"];
    assert_eq!(status["objectStore"]["prefix"], "shore/tide/schema-5/");
}

#[tokio::test]
async fn servers_that_run_another_powerdns_are_named_and_a_roll_out_stops_there() {
    let scene = Scene::new(V4_9);
    let old = serde_json::to_value(pod("tide-0", true, "old")).unwrap();
    scene.api.put("/api/v1/namespaces/shore/pods/tide-0", old);
    scene.server("tide-1");
    let partition = || scene.api.get(SERVERS)["spec"]["updateStrategy"]["rollingUpdate"]["partition"].clone();
    // It has served for longer than anybody would need to say so.
    runs(&scene, "");
    scene.run().await;
    assert_eq!(partition(), 0);
    runs(&scene, "4.9.18");
    scene.run().await;
    assert_eq!(scene.condition("Ready")["reason"], Reason::RollingUpdate.as_str());
    assert_eq!(partition(), 0, "the next is replaced");

    runs(&scene, "4.8.4");
    scene.run().await;
    let condition = scene.condition("Ready");
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], Reason::PowerDnsNotSupported.as_str());
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains("tide-1 (PowerDNS 4.8.4: it is at its end)"),
        "{message}"
    );
    assert_eq!(partition(), 1, "nobody else is replaced");

    // Nobody has changed it while it does not answer.
    *scene.agents.1.lock().unwrap() = Some("timed out".into());
    scene.run().await;
    assert_eq!(
        scene.condition("Ready")["reason"],
        Reason::PowerDnsNotSupported.as_str()
    );
    assert_eq!(partition(), 1);
}
