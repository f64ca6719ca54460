//! Objects of the names that the operator gives, which are somebody else's.

use super::*;

fn path(object: &str) -> String {
    let group = match object.split('/').next() {
        Some("statefulsets") => "/apis/apps/v1",
        Some("poddisruptionbudgets") => "/apis/policy/v1",
        _ => "/api/v1",
    };
    format!("{group}/namespaces/shore/{object}")
}

/// Reconciles in vain; the changes, and what the condition says.
async fn refused(scene: &Scene) -> (Vec<Change>, String) {
    let error = scene.try_run().await.unwrap_err();
    let condition = scene.condition("Ready");
    assert_eq!(condition["reason"], "ReconcileFailed");
    let message = condition["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&error.describe()), "{message}");
    (scene.api.take_changes(), message)
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_neither_written_nor_believed_and_no_keys_are_made_for_it() {
    for name in [
        "tide-api-key",
        "tide-peers",
        "tide-peers-ca",
        "tide-peers-tls",
        "tide-object-store",
        "tide-garage",
    ] {
        let scene = Scene::new(MANAGED);
        let secret = path(&format!("secrets/{name}"));
        // "pwned" in base64.
        let theirs =
            json!({"metadata": {"name": name}, "data": {"token": "cHduZWQ=", "admin-token": "cHduZWQ="}});
        scene.api.put(&secret, theirs.clone());
        let (changes, message) = refused(&scene).await;
        assert_eq!(short(&changes), ["dnsclusters/tide/status", "events"], "{name}");
        assert!(
            message.contains(&format!("Secret {name} was there before"))
                && message.contains("remove it if it is not needed"),
            "{message}"
        );
        assert_eq!((scene.api.get(&secret), scene.store.state().made), (theirs, 0));

        scene.api.remove(&secret);
        let changes = scene.run().await;
        assert!(
            short(&changes).contains(&"statefulsets/tide".to_owned()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_object_of_another_owner_stays_as_it_is() {
    for object in [
        "configmaps/tide-retired",
        "serviceaccounts/tide",
        "services/tide-dns",
        "poddisruptionbudgets/tide",
        "statefulsets/tide",
    ] {
        let scene = Scene::new(MANAGED);
        let mut other = owner();
        other["name"] = json!("moon");
        other["uid"] = json!("moon-uid");
        let theirs = json!({"metadata": {"name": "tide", "ownerReferences": [other]}, "spec": {}});
        scene.api.put(&path(object), theirs.clone());
        let (changes, message) = refused(&scene).await;
        assert!(!short(&changes).contains(&object.to_owned()), "{object}");
        assert!(message.contains("belongs to DnsCluster moon"), "{message}");
        assert_eq!(scene.api.get(&path(object)), theirs);
    }
}

#[tokio::test]
async fn what_an_earlier_cluster_of_the_name_left_is_waited_for_and_what_lost_its_owner_is_taken_back() {
    let scene = Scene::new(MANAGED);
    let service = path("services/tide-dns");
    let mut earlier = owner();
    earlier["uid"] = json!("earlier-uid");
    scene.api.put(
        &service,
        json!({"metadata": {"ownerReferences": [earlier]}, "spec": {}}),
    );
    let (_, message) = refused(&scene).await;
    assert!(
        message.contains("an earlier DnsCluster of this name"),
        "{message}"
    );

    let labels =
        json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/managed-by": "zonetide-operator"});
    scene.api.put(
        &service,
        json!({"metadata": {"uid": "the-service", "labels": labels}, "spec": {}}),
    );
    let changes = scene.run().await;
    let sent = changes.iter().find(|change| change.path == service).unwrap();
    assert_eq!(sent.body["metadata"]["uid"], "the-service");
    assert_eq!(
        scene.api.get(&service)["metadata"]["ownerReferences"][0]["uid"],
        "cluster-uid"
    );
}
