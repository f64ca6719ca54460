//! What goes with a cluster that is deleted, and what does not.

use super::*;
use crate::reconcile::removal::FINALIZER;

const GARAGE_CLAIM: &str = "/api/v1/namespaces/shore/persistentvolumeclaims/data-tide-garage-0";
const SERVER_CLAIM: &str = "/api/v1/namespaces/shore/persistentvolumeclaims/data-tide-0";
const SERVER: &str = "/api/v1/namespaces/shore/pods/tide-0";

fn given(policy: &str) -> String {
    format!(
        "{{objectStore: {{deletionPolicy: {policy}, {}",
        &S3["{objectStore: {".len()..]
    )
}

fn managed(policy: &str) -> String {
    format!("{{objectStore: {{deletionPolicy: {policy}, managed: {{}}}}}}")
}

fn is_held(scene: &Scene) -> bool {
    let finalizers = scene.api.get(CLUSTER)["metadata"]["finalizers"].clone();
    finalizers
        .as_array()
        .is_some_and(|list| list.contains(&json!(FINALIZER)))
}

/// A cluster of one server with a given bucket, which has stored a few objects.
async fn serving(policy: &str) -> Scene {
    let scene = Scene::new(&given(policy));
    give_keys(&scene);
    scene.server("tide-0");
    scene.run().await;
    scene.store.state().own = 5;
    scene
}

fn give_keys(scene: &Scene) {
    // "id" and "s" in base64.
    let data = json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}});
    scene.api.put(KEYS, data);
}

/// As the API server does it, some time ago.
fn delete_ago(scene: &Scene, minutes: i64) {
    let time = Timestamp::now() - SignedDuration::from_mins(minutes);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["deletionTimestamp"] = json!(time);
    scene.api.put(CLUSTER, cluster);
}

fn set_policy(scene: &Scene, policy: &str) {
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["objectStore"]["deletionPolicy"] = json!(policy);
    scene.api.put(CLUSTER, cluster);
}

fn made_the_bucket(scene: &Scene) {
    let mut cluster = scene.api.get(CLUSTER);
    cluster["status"]["objectStore"]["bucketCreated"] = json!(true);
    scene.api.put(CLUSTER, cluster);
}

fn away() -> StoreError {
    StoreError::Unreachable {
        endpoint: "http://s3.test:9000".into(),
        cause: "refused".into(),
    }
}

/// Deletes it, and ends its server as the garbage collector does.
async fn end_server(scene: &Scene) {
    delete_ago(scene, 0);
    scene.run().await;
    scene.api.remove(SERVER);
}

#[tokio::test]
async fn a_finalizer_is_set_before_anything_is_made_and_only_while_something_must_be_undone() {
    let scene = Scene::new(&given("DeleteObjects"));
    give_keys(&scene);
    let changes = scene.run().await;
    assert_eq!(short(&changes)[0], "dnsclusters/tide");
    assert!(is_held(&scene));
    assert!(
        !short(&scene.run().await).contains(&"dnsclusters/tide".to_owned()),
        "set once"
    );
    set_policy(&scene, "Retain");
    scene.run().await;
    assert!(!is_held(&scene));

    let scene = Scene::new(MANAGED);
    assert!(!short(&scene.run().await).contains(&"dnsclusters/tide".to_owned()));
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn one_that_never_had_keys_is_let_go_at_once() {
    let scene = Scene::new(&given("DeleteObjects"));
    scene.api.remove(SERVERS);
    scene.run().await;
    assert!(is_held(&scene));
    delete_ago(&scene, 0);
    scene.run().await;
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn finalizers_of_others_stay() {
    let scene = Scene::new(&given("DeleteObjects"));
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["finalizers"] = json!(["others.test/one"]);
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    let finalizers = || scene.api.get(CLUSTER)["metadata"]["finalizers"].clone();
    assert_eq!(finalizers(), json!(["others.test/one", FINALIZER]));
    set_policy(&scene, "Retain");
    scene.run().await;
    assert_eq!(finalizers(), json!(["others.test/one"]));
}

#[tokio::test]
async fn servers_end_before_their_objects_go_and_the_finalizer_last() {
    let scene = serving("DeleteObjects").await;
    delete_ago(&scene, 0);
    scene.run().await;
    assert_eq!(scene.api.get(SERVERS), Value::Null, "nobody else would end them");
    assert_eq!(scene.store.state().own, 5, "a server still stores");
    assert_eq!(scene.condition("Ready")["reason"], "Deleting");
    assert!(
        scene.condition("Ready")["message"]
            .as_str()
            .unwrap()
            .contains("tide-0")
    );

    scene.api.remove(SERVER);
    let changes = scene.run().await;
    assert_eq!(scene.store.state().own, 0);
    assert_eq!(events(&changes), ["ObjectsRemoved"]);
    let event = changes
        .iter()
        .find(|change| change.body["reason"] == "ObjectsRemoved")
        .unwrap();
    let note = event.body["note"].as_str().unwrap();
    assert!(
        note.contains("removed 5 objects and 1 unfinished uploads of")
            && note.contains("shore/tide/schema-5/ in bucket crater"),
        "{note}"
    );
    assert_eq!(short(&changes).last().unwrap(), "dnsclusters/tide");
    assert!(!is_held(&scene));
    assert!(scene.run().await.is_empty());
}

#[tokio::test]
async fn many_objects_go_in_several_reconciles_that_say_how_far_they_are() {
    let scene = serving("DeleteObjects").await;
    scene.store.state().batch = 3;
    end_server(&scene).await;
    scene.run().await;
    assert_eq!(scene.store.state().own, 2);
    assert!(is_held(&scene));
    let condition = scene.condition("Progressing");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("removed 3 objects"),
        "{condition}"
    );
    scene.run().await;
    assert_eq!(scene.store.state().own, 0);
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn a_bucket_goes_only_if_the_operator_made_it_and_nothing_else_is_in_it() {
    for (made, others, event, stays) in [
        (false, 0, "BucketKept", true),
        (true, 1, "BucketKept", true),
        (true, 0, "BucketRemoved", false),
    ] {
        let scene = serving("DeleteBucket").await;
        scene.store.state().others = others;
        if made {
            made_the_bucket(&scene);
        }
        end_server(&scene).await;
        let changes = scene.run().await;
        assert_eq!(events(&changes), ["ObjectsRemoved", event]);
        assert_eq!(scene.store.state().bucket, stays);
        assert!(!is_held(&scene));
    }
}

#[tokio::test]
async fn a_bucket_of_another_endpoint_than_the_one_that_was_made_stays() {
    let scene = serving("DeleteBucket").await;
    made_the_bucket(&scene);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["objectStore"]["s3"]["endpoint"] = json!("http://elsewhere.test");
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    end_server(&scene).await;
    assert_eq!(events(&scene.run().await), ["ObjectsRemoved", "BucketKept"]);
    assert!(scene.store.state().bucket);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_tried_again_and_says_how_to_let_go_and_retain_does() {
    let scene = serving("DeleteObjects").await;
    end_server(&scene).await;
    scene.store.state().trouble = Some(away());
    let changes = scene.run().await;
    assert!(
        events(&changes).contains(&"DeletionBlocked"),
        "{:?}",
        events(&changes)
    );
    let condition = scene.condition("Progressing");
    let message = condition["message"].as_str().unwrap();
    for remedy in [
        "deletionPolicy to Retain",
        FINALIZER,
        "cannot reach http://s3.test:9000",
    ] {
        assert!(message.contains(remedy), "{message}");
    }
    assert!(is_held(&scene));
    assert!(scene.run().await.is_empty(), "the same was told twice");

    set_policy(&scene, "Retain");
    scene.run().await;
    assert!(!is_held(&scene), "nothing is asked of the store any more");
    assert_eq!(scene.store.state().own, 5);
}

#[tokio::test]
async fn it_goes_on_by_itself_when_the_store_is_back_or_its_keys_are() {
    let scene = serving("DeleteObjects").await;
    end_server(&scene).await;
    scene.api.remove(KEYS);
    scene.run().await;
    assert_eq!(scene.condition("Ready")["reason"], "DeletionBlocked");
    give_keys(&scene);
    scene.run().await;
    assert_eq!(scene.store.state().own, 0);
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn with_the_namespace_a_cluster_goes_whose_keys_went_first_or_whose_store_is_away_for_long() {
    let scene = serving("DeleteObjects").await;
    end_server(&scene).await;
    scene.api.remove(KEYS);
    scene.api.end_namespace();
    scene.run().await;
    assert!(!is_held(&scene));

    let scene = serving("DeleteObjects").await;
    end_server(&scene).await;
    scene.store.state().trouble = Some(away());
    scene.api.end_namespace();
    delete_ago(&scene, 9);
    scene.run().await;
    assert!(is_held(&scene));
    delete_ago(&scene, 11);
    scene.run().await;
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn a_cluster_alone_waits_for_its_store_as_long_as_it_takes() {
    let scene = serving("DeleteObjects").await;
    end_server(&scene).await;
    scene.store.state().trouble = Some(away());
    delete_ago(&scene, 60 * 24);
    scene.run().await;
    assert!(is_held(&scene));
}

#[tokio::test]
async fn what_only_servers_need_does_not_hold_up_a_removal() {
    let scene = serving("DeleteObjects").await;
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["powerdns"] =
        json!({"config": {"No-Such": "x"}, "apiKeySecretRef": {"name": "gone", "key": "k"}});
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    scene.api.put(CLUSTER, cluster);
    end_server(&scene).await;
    scene.run().await;
    assert_eq!(scene.store.state().own, 0);
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn of_a_managed_store_the_volume_goes_after_the_store_and_those_of_the_servers_stay() {
    let scene = Scene::new(&managed("DeleteObjects"));
    for (path, part) in [(GARAGE_CLAIM, "zonetide-garage"), (SERVER_CLAIM, "zonetide-dns")] {
        let name = path.rsplit('/').next().unwrap();
        let labels = json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/name": part});
        scene.api.put(
            path,
            json!({"metadata": {"name": name, "namespace": "shore", "labels": labels}}),
        );
    }
    scene.server("tide-0");
    scene.run().await;
    end_server(&scene).await;
    assert_ne!(
        scene.api.get(GARAGE),
        Value::Null,
        "servers store their last change in it"
    );
    scene.run().await;
    assert_eq!(scene.api.get(GARAGE), Value::Null);
    assert_ne!(
        scene.api.get(GARAGE_CLAIM),
        Value::Null,
        "the store still uses it"
    );
    scene.api.remove(GARAGE_POD);
    let changes = scene.run().await;
    assert_eq!(events(&changes), ["VolumeRemoved"]);
    assert_eq!(scene.api.get(GARAGE_CLAIM), Value::Null);
    assert_ne!(scene.api.get(SERVER_CLAIM), Value::Null);
    assert!(!is_held(&scene));
}

#[tokio::test]
async fn a_stateful_set_of_somebody_else_is_left_alone() {
    let scene = serving("DeleteObjects").await;
    let mut set = scene.api.get(SERVERS);
    set["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    scene.api.put(SERVERS, set);
    end_server(&scene).await;
    scene.run().await;
    assert_ne!(scene.api.get(SERVERS), Value::Null);
    assert!(!is_held(&scene));
}
