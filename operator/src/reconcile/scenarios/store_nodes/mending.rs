//! Nodes that are away, or have lost what they held.

use super::*;

#[tokio::test]
async fn a_node_that_lost_its_volume_is_replaced_asked_when_it_knows_the_keys_and_said_to_be_filled_until_it_is()
 {
    let stage = Stage::whole().await;
    assert!(!stage.message().contains("of 3"), "{}", stage.message());
    assert_eq!(stage.shape().0, 3);

    stage.nodes().alive.retain(|id| id != "10.0.1.2");
    stage.pod(2, false, true);
    {
        let mut nodes = stage.nodes();
        nodes.alive.retain(|id| id != "10.0.1.2");
        nodes.alive.push("10.0.1.9".to_owned());
        for id in ["10.0.1.0", "10.0.1.1"] {
            nodes.entries.insert(id.to_owned(), 7);
        }
    }
    let mut pod = stage.scene.api.get(&pod_path(2));
    pod["status"]["podIP"] = json!("10.0.1.9");
    stage.scene.api.put(&pod_path(2), pod);

    // What comes after it may fail.
    stage.scene.store.state().trouble = Some(StoreError::NotRemovable);
    let changes = stage.run().await;
    stage.scene.store.state().trouble = None;
    assert!(
        events(&changes).contains(&"StoreLayoutChanged"),
        "{:?}",
        events(&changes)
    );
    let expected = NodeOrder::Layout {
        version: 2,
        without: vec!["10.0.1.2".to_owned()],
        with: vec![("10.0.1.9".to_owned(), "tide-garage-2".to_owned())],
    };
    assert!(
        stage.nodes().told.iter().any(|(_, order)| *order == expected),
        "{:?}",
        stage.nodes().told
    );
    assert_eq!(stage.annotation(2), "empty");
    assert!(!stage.is_open(2));
    stage.run().await;
    assert!(stage.was_told(&NodeOrder::SkipDead(2)));
    assert!(!stage.is_open(2), "it knows no key");
    assert!(stage.message().starts_with("True"), "{}", stage.message());
    stage.nodes().entries.insert("10.0.1.9".to_owned(), 7);
    stage.nodes().blocks.insert("10.0.1.9".to_owned(), 5);
    stage.run().await;
    assert!(stage.is_open(2));
    stage.later();
    stage.run().await;
    let fetch = NodeOrder::FetchBlocks { empty: true };
    assert!(stage.nodes().told.contains(&("10.0.1.9".to_owned(), fetch)));
    stage.later();
    stage.run().await;
    assert!(
        stage.message().contains("2 of 3 store nodes hold everything"),
        "{}",
        stage.message()
    );
    stage.nodes().blocks.clear();
    stage.run().await;
    stage.run().await;
    assert!(!stage.message().contains("of 3"), "{}", stage.message());
}

#[tokio::test]
async fn two_nodes_that_lost_their_volumes_are_not_taken_for_new_ones() {
    let stage = Stage::whole().await;
    for number in 1..3 {
        let path = pod_path(number);
        stage.pod(number, false, false);
        let mut pod = stage.scene.api.get(&path);
        pod["status"]["podIP"] = json!(format!("10.0.2.{number}"));
        stage.scene.api.put(&path, pod);
        stage.nodes().alive.retain(|id| *id != format!("10.0.1.{number}"));
        stage.nodes().alive.push(format!("10.0.2.{number}"));
    }
    stage.run().await;
    let told = stage.nodes().told.clone();
    assert!(
        told.iter().all(|(_, order)| *order == NodeOrder::SyncTables),
        "{told:?}"
    );
    assert!(
        stage.message().contains(
            "False tide-garage-1 and tide-garage-2 of the managed object store came back without their data"
        ),
        "{}",
        stage.message()
    );
}

#[tokio::test]
async fn three_nodes_are_not_made_one_by_a_spec_that_says_so_and_servers_keep_their_keys() {
    let stage = Stage::whole().await;
    stage.spec(MANAGED);
    let changes = stage.run().await;
    assert!(
        !short(&changes)
            .iter()
            .any(|path| path.contains("statefulsets/tide-garage")),
        "{:?}",
        short(&changes)
    );
    let message = stage.message();
    assert!(
        message.starts_with("True") && message.contains("set it to 3"),
        "{message}"
    );
    // Of a DnsCluster that was deleted.
    stage.scene.api.remove(GARAGE);
    stage.claim();
    stage.run().await;
    let condition = stage.scene.condition("ObjectStoreReady");
    assert_eq!(condition["reason"], "InvalidSpec");
    assert!(condition["message"].as_str().unwrap().contains("set it to 3"));
}

#[tokio::test]
async fn a_node_that_lacks_new_keys_is_asked_no_more_until_it_has_them() {
    let stage = Stage::whole().await;
    stage.entries([0, 1], 8);
    stage.entries([2], 7);
    stage.run().await;
    assert!(stage.is_open(2), "they may be on their way");
    assert!(stage.was_told(&NodeOrder::SyncTables));
    stage.later();
    stage.run().await;
    assert_eq!([0, 1, 2].map(|number| stage.is_open(number)), [true, true, false]);
    let message = stage.message();
    assert!(
        message.starts_with("True") && message.contains("2 of 3 store nodes"),
        "{message}"
    );
    stage.entries([2], 8);
    stage.run().await;
    assert!(stage.is_open(2));
}

#[tokio::test]
async fn a_node_that_cannot_be_compared_is_not_opened() {
    let stage = Stage::whole().await;
    // They come back as others, of which only one answers.
    for number in 0..3 {
        stage.pod(number, false, true);
    }
    stage.nodes().alive.retain(|id| id == "10.0.1.2");
    stage.run().await;
    assert!(!stage.is_open(2));
    assert!(stage.message().starts_with("False"), "{}", stage.message());
    stage.nodes().alive.push("10.0.1.1".to_owned());
    stage.run().await;
    assert_eq!([0, 1, 2].map(|number| stage.is_open(number)), [false, true, true]);
}
