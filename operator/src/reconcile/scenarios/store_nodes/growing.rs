//! From one node to three.

use super::*;

/// A single node, and a spec that asks for three.
async fn single() -> Stage {
    let stage = Stage::new(MANAGED);
    stage.run().await;
    assert_eq!(stage.shape(), (1, -1, false));
    stage.pod(0, true, true);
    stage.seen("single");
    stage
}

/// Two others run beside it.
async fn joined() -> Stage {
    let stage = single().await;
    stage.spec(NODES);
    stage.run().await;
    assert_eq!(stage.shape(), (3, 1, false));
    stage.pod(1, false, true);
    stage.pod(2, false, true);
    stage.seen("single");
    stage
}

#[tokio::test]
async fn a_single_node_goes_on_until_two_others_run_and_nobody_is_asked_before_all_hold_everything() {
    let stage = single().await;
    stage.spec(NODES);
    stage.run().await;
    assert_eq!(stage.shape(), (3, 1, false));
    assert!(stage.message().starts_with("True"), "{}", stage.message());
    let message = stage.message();
    assert!(message.contains("0 of 2 further nodes run"), "{message}");
    stage.pod(1, false, true);
    stage.run().await;
    assert_eq!(stage.shape(), (3, 1, false), "one of two");
    stage.pod(2, false, true);
    stage.seen("single");
    stage.run().await;
    assert_eq!(stage.shape(), (3, 1, false), "they do not know each other");
    let message = stage.message();
    assert!(
        message.contains("do not see each other on port 3901"),
        "{message}"
    );
    stage.run().await;
    assert_eq!(stage.shape(), (3, 0, true));
    assert!(stage.message().starts_with("False"), "{}", stage.message());

    stage.pod(0, false, true);
    stage.entries([0], 7);
    stage.run().await;
    stage.run().await;
    assert_eq!(stage.shape(), (3, 0, true));
    assert_eq!(stage.nodes().layout, 1, "{:?}", stage.nodes().told);
    let marks = [0, 1, 2].map(|number| stage.annotation(number));
    assert_eq!(marks, [Value::Null, json!("empty"), json!("empty")]);
    stage.run().await;
    let open = |number: &u8| stage.is_open(*number);
    assert!(![0, 1, 2].iter().any(open), "two hold nothing yet");
    assert!(stage.was_told(&NodeOrder::SyncTables));
    let message = stage.message();
    assert!(
        message.contains("0 of 3 store nodes hold everything"),
        "{message}"
    );
    stage.entries(0..3, 7);
    stage.run().await;
    assert!([0, 1, 2].iter().all(open), "{:?}", stage.nodes().told);
    assert_eq!(stage.annotation(0), "true", "the others are filled from it");
    stage.run().await;
    assert!(stage.message().starts_with("True"), "{}", stage.message());
    // Kubernetes may still make a pod from the template of the single node.
    let annotations = stage.scene.api.get(GARAGE)["metadata"]["annotations"].clone();
    assert!(annotations.is_null(), "{annotations}");
    stage.seen("new");
    stage.run().await;
    let annotations = stage.scene.api.get(GARAGE)["metadata"]["annotations"].clone();
    assert_eq!(annotations["zonetide.dev/store-nodes"], "3");
}

#[tokio::test]
async fn a_store_that_is_paused_before_it_is_away_goes_on_as_one_node_with_its_keys() {
    let stage = joined().await;
    stage.pause();
    stage.run().await;
    assert_eq!(stage.shape(), (3, 1, false));
    assert!(stage.message().starts_with("True"), "{}", stage.message());
}

#[tokio::test]
async fn a_store_that_is_paused_while_it_is_away_comes_back() {
    let stage = joined().await;
    stage.run().await;
    stage.run().await;
    assert_eq!(stage.shape(), (3, 0, true));
    stage.pause();
    stage.pod(0, false, true);
    for _ in 0..4 {
        stage.run().await;
    }
    assert_eq!(stage.nodes().layout, 1, "{:?}", stage.nodes().told);
    assert!(stage.message().starts_with("True"), "{}", stage.message());
}

#[tokio::test]
async fn pods_that_a_person_asked_for_go_and_their_volumes_do_not_make_three_of_one_node() {
    let stage = single().await;
    let mut set = stage.scene.api.get(GARAGE);
    set["spec"]["replicas"] = json!(3);
    stage.scene.api.put(GARAGE, set);
    stage.claim();
    stage.run().await;
    assert_eq!(stage.shape(), (1, -1, false));
    assert!(!stage.message().contains("set it to 3"), "{}", stage.message());
}
