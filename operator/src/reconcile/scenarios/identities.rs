//! Who stores in the bucket: what agents say of it, names that two have, and servers that are scaled away.

use super::*;
use crate::names::RETIRED_ANNOTATION;

const RETIRED: &str = "/api/v1/namespaces/shore/configmaps/tide-retired";

fn three_servers() -> Scene {
    let scene = Scene::new("{replicas: 3, objectStore: {managed: {}}, replication: {site: moon}}");
    for name in ["tide-0", "tide-1", "tide-2"] {
        scene.server(name);
    }
    scene
}

/// From now on all agents see these instances in the bucket, and have merged them.
fn agents_see(scene: &Scene, seen: &[&str]) {
    let instances: serde_json::Map<String, Value> = seen
        .iter()
        .map(|name| {
            let of = json!({"newest": "2026-11-24T12:00:05Z", "up_to_date": true});
            ((*name).to_owned(), of)
        })
        .collect();
    say(
        scene,
        &json!({"ready": true, "time": "2026-11-24T12:01:00Z", "databases": {"main": {"instances": instances}}}),
    );
}

/// All agents say this, and that they use the present key.
fn say(scene: &Scene, status: &Value) {
    let used = Keys {
        access_key_id: "made-1".into(),
        ..keys()
    };
    let status: AgentStatus = serde_json::from_value(status.clone()).unwrap();
    *scene.agents.0.lock().unwrap() = AgentStatus {
        store_key: Some(used.fingerprint()),
        ..status
    };
}

fn scale(scene: &Scene, replicas: i32) {
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["replicas"] = json!(replicas);
    scene.api.put(CLUSTER, cluster);
}

fn list(scene: &Scene) -> Value {
    scene.api.get(RETIRED)["data"]["instances"].clone()
}

fn nudge(scene: &Scene, pod: &str) -> Value {
    let object = scene.api.get(&format!("/api/v1/namespaces/shore/pods/{pod}"));
    object["metadata"]["annotations"][RETIRED_ANNOTATION].clone()
}

async fn action(scene: &Scene) -> Action {
    scene.try_run().await.unwrap()
}

#[tokio::test]
async fn what_agents_say_is_in_the_status_and_a_second_look_writes_nothing() {
    let scene = three_servers();
    agents_see(&scene, &["moon-shore-tide-0", "sun-shore-tide-0"]);
    scene.run().await;
    let status = scene.api.get(CLUSTER)["status"].clone();
    assert_eq!(
        status["instances"][0],
        json!({"pod": "tide-0", "instance": "moon-shore-tide-0", "ready": true,
            "lastStored": "2026-11-24T12:00:00Z", "lagSeconds": 0})
    );
    assert_eq!(
        status["otherInstances"],
        json!([{"instance": "sun-shore-tide-0", "lastStored": "2026-11-24T12:00:00Z"}])
    );
    assert_eq!(status["objectStore"]["source"], "Garage");
    assert_eq!(status["objectStore"]["bucketCreated"], false);
    assert!(status["objectStore"]["credentialsExpireAt"].is_string());
    assert_eq!(scene.condition("Replicating")["reason"], "InSync");
    assert_eq!(scene.condition("CredentialsReady")["reason"], "CredentialsIssued");
    let again = short(&scene.run().await);
    assert!(
        !again.contains(&"dnsclusters/tide/status".to_owned()),
        "{again:?}"
    );
    assert!(!again.contains(&"events".to_owned()), "{again:?}");
}

#[tokio::test]
async fn what_a_server_may_hold_back_is_looked_for_twice_a_minute_and_shown() {
    let scene = Scene::new(
        "{replicas: 1, objectStore: {managed: {}}, replication: {site: moon}, protection: {maxDeletedZonesPerMinute: 9}}",
    );
    scene.server("tide-0");
    agents_see(&scene, &["moon-shore-tide-0"]);
    assert_eq!(action(&scene).await, Action::requeue(LOOK_FOR_HELD));
    say(
        &scene,
        &json!({"ready": true, "health": {"failures": {"main_deleted_zones": "more than 9 zones were deleted here"}}}),
    );
    assert_eq!(action(&scene).await, Action::requeue(LOOK_SOON));
    let condition = scene.condition("Replicating");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains("tide-0 (main_deleted_zones: more than 9 zones were deleted here)"),
        "{message}"
    );
}

#[tokio::test]
async fn a_name_that_somebody_else_uses_is_a_warning_leaves_the_cluster_ready_and_is_looked_at_soon() {
    let scene = three_servers();
    agents_see(&scene, &["moon-shore-tide-0"]);
    let calm = action(&scene).await;
    assert_ne!(calm, Action::requeue(LOOK_SOON));
    scene.api.take_changes();
    say(
        &scene,
        &json!({"ready": true, "databases": {"main": {
            "conditions": {"namesake": {"level": "error", "text": "another agent stored x"}}}}}),
    );
    assert_eq!(action(&scene).await, Action::requeue(LOOK_SOON));
    let changes = scene.api.take_changes();
    assert_eq!(events(&changes), ["IdentityCollision"]);
    let event = changes
        .iter()
        .find(|change| change.body["reason"] == "IdentityCollision");
    assert_eq!(event.unwrap().body["type"], "Warning");
    let condition = scene.condition("Replicating");
    assert_eq!(condition["status"], "False");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("moon-shore-tide-0"),
        "{condition}"
    );
    assert_eq!(scene.condition("Ready")["status"], "True");

    agents_see(&scene, &["moon-shore-tide-0"]);
    assert_eq!(events(&scene.run().await), ["InSync"]);
}

#[tokio::test]
async fn agents_that_do_not_answer_are_told_once_and_take_nothing_out_of_the_status() {
    let scene = three_servers();
    agents_see(&scene, &["moon-shore-tide-0", "sun-shore-tide-0"]);
    scene.run().await;
    *scene.agents.1.lock().unwrap() = Some("operation timed out".into());
    assert_eq!(events(&scene.run().await), ["AgentsUnreachable"]);
    assert!(events(&scene.run().await).is_empty());
    let status = scene.api.get(CLUSTER)["status"].clone();
    assert_eq!(status["instances"][0]["lastStored"], "2026-11-24T12:00:00Z");
    assert_eq!(status["otherInstances"][0]["instance"], "sun-shore-tide-0");
    assert_eq!(scene.condition("Ready")["status"], "True");
}

#[tokio::test]
async fn a_server_that_is_scaled_away_is_listed_for_the_agents_once_its_pod_is_gone() {
    let all = ["moon-shore-tide-0", "moon-shore-tide-1", "moon-shore-tide-2"];
    let scene = three_servers();
    agents_see(&scene, &all);
    scene.run().await;
    assert_eq!((list(&scene), nudge(&scene, "tide-0")), (json!(""), Value::Null));

    // Its pod ends, and may still store its last change.
    scale(&scene, 2);
    let path = "/api/v1/namespaces/shore/pods/tide-2";
    let mut ending = scene.api.get(path);
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-24T12:00:00Z");
    scene.api.put(path, ending);
    scene.run().await;
    assert_eq!((list(&scene), nudge(&scene, "tide-0")), (json!(""), Value::Null));

    scene.api.remove(path);
    let changes = scene.run().await;
    assert_eq!(list(&scene), "moon-shore-tide-2\n");
    let nudged = nudge(&scene, "tide-0");
    assert!(
        nudged.is_string() && nudged == nudge(&scene, "tide-1"),
        "{nudged}"
    );
    let status = scene.api.get(CLUSTER)["status"].clone();
    assert_eq!(status["retiringInstances"], json!(["moon-shore-tide-2"]));
    assert!(events(&changes).iter().all(|reason| *reason != "InstanceRetired"));
    let again = short(&scene.run().await);
    assert!(
        !again.iter().any(|path| path.starts_with("pods/")),
        "nudged twice: {again:?}"
    );
    assert_eq!(action(&scene).await, Action::requeue(LOOK_SOON));
    scene.api.take_changes();

    agents_see(&scene, &all[..2]);
    let changes = scene.run().await;
    assert_eq!(events(&changes), ["InstanceRetired"]);
    assert_eq!(
        (list(&scene), nudge(&scene, "tide-0")),
        (json!(""), json!("none"))
    );
    assert!(scene.api.get(CLUSTER)["status"]["retiringInstances"].is_null());
    assert!(events(&scene.run().await).is_empty());
}

#[tokio::test]
async fn a_server_that_is_scaled_out_again_leaves_the_list_before_the_stateful_set_makes_its_pod() {
    let scene = three_servers();
    agents_see(
        &scene,
        &["moon-shore-tide-0", "moon-shore-tide-1", "moon-shore-tide-2"],
    );
    scene.run().await;
    scale(&scene, 2);
    scene.api.remove("/api/v1/namespaces/shore/pods/tide-2");
    scene.run().await;
    assert_eq!(list(&scene), "moon-shore-tide-2\n");

    scale(&scene, 3);
    let changes = scene.run().await;
    assert_eq!(list(&scene), "");
    let order = short(&changes);
    let place = |path: &str| order.iter().position(|other| other == path).unwrap();
    assert!(
        place("configmaps/tide-retired") < place("statefulsets/tide"),
        "{order:?}"
    );
    assert!(!events(&changes).contains(&"InstanceRetired"));
}

#[tokio::test]
async fn a_store_that_is_away_while_a_server_goes_does_not_make_it_forgotten() {
    let scene = three_servers();
    agents_see(&scene, &["moon-shore-tide-0", "moon-shore-tide-2"]);
    scene.run().await;
    scale(&scene, 2);
    scene.api.remove("/api/v1/namespaces/shore/pods/tide-2");
    scene.store.state().trouble = Some(StoreError::ManagedUnreachable {
        endpoint: "http://fake".into(),
        cause: "refused".into(),
    });
    scene.run().await;
    assert_eq!(list(&scene), "moon-shore-tide-2\n", "agents wait for the store");
    scene.store.state().trouble = None;
    scene.run().await;
    assert_eq!(list(&scene), "moon-shore-tide-2\n");
}
