//! A managed store that is reached from outside.

use super::*;

const EXPOSED: &str = "{objectStore: {managed: {expose: {s3: {host: s3.tides.test}}}}}";
const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/shore/ingresses/tide-s3";

fn change_spec(scene: &Scene, spec: &str) {
    let mut object = scene.api.get(CLUSTER);
    object["spec"] = serde_json::to_value(cluster(spec).spec).unwrap();
    scene.api.put(CLUSTER, object);
}

fn has_condition(scene: &Scene) -> bool {
    let cluster = scene.api.get(CLUSTER);
    let list = cluster["status"]["conditions"].as_array().unwrap();
    list.iter().any(|condition| condition["type"] == "Exposed")
}

#[tokio::test]
async fn an_exposed_store_gets_an_ingress_and_loses_it_when_that_is_no_longer_asked_for() {
    let scene = Scene::new(EXPOSED);
    let changes = scene.run().await;
    assert!(short(&changes).contains(&"ingresses/tide-s3".to_owned()));
    assert!(events(&changes).contains(&"IngressReady"));
    assert_eq!(scene.condition("Exposed")["status"], "True");
    let status = scene.api.get(CLUSTER)["status"]["objectStore"].clone();
    assert_eq!(status["exposed"], json!(["http://s3.tides.test"]));

    change_spec(&scene, MANAGED);
    let changes = scene.run().await;
    let ended = changes.iter().find(|change| change.method == "DELETE").unwrap();
    assert_eq!(ended.path, INGRESS);
    assert!(!has_condition(&scene));
    let status = scene.api.get(CLUSTER)["status"]["objectStore"].clone();
    assert_eq!(status["exposed"], Value::Null);
    let again = scene.run().await;
    assert!(again.iter().all(|change| change.method != "DELETE"));
}

#[tokio::test]
async fn a_host_that_is_no_longer_allowed_is_no_longer_exposed_and_the_servers_go_on() {
    let mut scene = Scene::new(EXPOSED);
    scene.run().await;
    scene.context.settings.expose.domains = vec![];
    let changes = scene.run().await;
    assert_eq!(scene.api.get(INGRESS), Value::Null);
    assert!(events(&changes).contains(&"HostNotAllowed"));
    assert_eq!(scene.condition("Exposed")["reason"], "HostNotAllowed");
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
}

#[tokio::test]
async fn an_ingress_of_somebody_else_stays() {
    let scene = Scene::new(MANAGED);
    let labels =
        json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/managed-by": "zonetide-operator"});
    let owners = json!([{"apiVersion": "v1", "kind": "DnsCluster", "name": "tide", "uid": "another"}]);
    let other = json!({"metadata": {"name": "tide-s3", "labels": labels, "ownerReferences": owners}});
    scene.api.put(INGRESS, other.clone());
    scene.run().await;
    assert_eq!(scene.api.get(INGRESS), other);
}

#[tokio::test]
async fn while_an_ingress_cannot_be_taken_away_the_status_does_not_say_that_it_is_gone() {
    let scene = Scene::new(EXPOSED);
    scene.run().await;
    change_spec(&scene, MANAGED);
    scene.api.forbid(INGRESS);
    scene.run().await;
    let condition = scene.condition("Exposed");
    assert_eq!(condition["reason"], "ReconcileFailed");
    assert!(
        condition["message"].as_str().unwrap().contains("Ingress tide-s3"),
        "{condition}"
    );
    assert!(has_condition(&scene));
    assert_eq!(
        scene.condition("Progressing")["reason"],
        "Scaling",
        "servers do not wait for it"
    );
    scene.api.allow_all();
    scene.run().await;
    assert!(!has_condition(&scene));
}
