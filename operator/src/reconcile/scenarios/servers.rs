//! Servers, their store and who takes API requests.

use zonetide_crds::NEVER_OBSERVED;

use super::*;

#[tokio::test]
async fn before_the_managed_store_runs_only_the_store_is_made() {
    let scene = Scene::new(MANAGED);
    scene.api.remove(GARAGE);
    let changes = scene.run().await;
    assert_eq!(
        short(&changes),
        [
            "secrets/tide-garage",
            "configmaps/tide-garage",
            "services/tide-garage",
            "statefulsets/tide-garage",
            "dnsclusters/tide/status",
            "events",
        ]
    );
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "StoreStarting");
    assert_eq!(scene.condition("Ready")["status"], "False");
}

/// As the schema fills it in.
#[tokio::test]
async fn a_status_that_was_never_written_is_as_good_as_none() {
    let fresh = Scene::new(MANAGED);
    let mut cluster = fresh.api.get(CLUSTER);
    cluster["status"] = json!({"observedGeneration": NEVER_OBSERVED, "replicas": 0, "readyReplicas": 0});
    fresh.api.put(CLUSTER, cluster);
    let without = Scene::new(MANAGED);
    let [changes, expected] = [fresh.run().await, without.run().await];
    assert_eq!(short(&changes), short(&expected));
    assert_eq!(events(&changes), events(&expected));
    assert_eq!(fresh.api.get(CLUSTER)["status"]["observedGeneration"], 3);
    assert_eq!(
        fresh.condition("Ready")["reason"],
        without.condition("Ready")["reason"]
    );
}

/// A look that failed is none.
#[tokio::test]
async fn what_was_never_looked_at_does_not_pass_for_up_to_date_because_it_is_paused() {
    let scene = Scene::new(MANAGED);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    cluster["status"] = json!({"observedGeneration": NEVER_OBSERVED});
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    assert_eq!(
        scene.api.get(CLUSTER)["status"]["observedGeneration"],
        NEVER_OBSERVED
    );
}

#[tokio::test]
async fn a_store_pod_made_from_an_old_template_is_not_asked() {
    let scene = Scene::new(MANAGED);
    let mut old = store_pod();
    old["metadata"]["labels"]["controller-revision-hash"] = json!("old");
    scene.api.put(GARAGE_POD, old);
    let changes = scene.run().await;
    assert!(!short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "StoreStarting");
}

#[tokio::test]
async fn when_the_store_runs_the_servers_are_made_and_their_stateful_set_last() {
    let scene = Scene::new(MANAGED);
    let changes = scene.run().await;
    assert_eq!(
        short(&changes)[4..]
            .iter()
            .map(|path| if path.starts_with("configmaps/tide-config-") {
                "configmaps/tide-config-"
            } else {
                path
            })
            .collect::<Vec<_>>(),
        [
            "secrets/tide-object-store",
            "configmaps/tide-retired",
            "secrets/tide-peers-ca",
            "secrets/tide-peers-tls",
            "serviceaccounts/tide",
            "secrets/tide-api-key",
            "secrets/tide-peers",
            "configmaps/tide-config-",
            "services/tide-peers",
            "services/tide-dns",
            "services/tide-api",
            "poddisruptionbudgets/tide",
            "statefulsets/tide",
            "events",
            "dnsclusters/tide/status",
            "events",
        ]
    );
    assert_eq!(events(&changes), ["CredentialsRenewed", "BucketReady"]);
    assert_eq!(scene.condition("Ready")["reason"], "Scaling");
    assert_eq!(scene.condition("Ready")["observedGeneration"], 3);
}

#[tokio::test]
async fn a_second_reconcile_sends_the_same_and_writes_no_status_and_no_event() {
    let scene = Scene::new(MANAGED);
    scene.pod("tide-0", true);
    scene.pod("tide-1", true);
    let first = scene.run().await;
    assert_eq!(scene.condition("Ready")["status"], "True");
    let second = scene.run().await;
    let applied = |changes: &[Change]| -> Vec<Change> {
        changes
            .iter()
            .filter(|change| change.body["kind"].is_string() && !change.path.ends_with("/status"))
            .filter(|change| change.body["kind"] != "Event")
            .cloned()
            .collect()
    };
    assert_eq!(
        applied(&second),
        second,
        "something else than applying was done again"
    );
    // Servers that have keys do not wait for the store.
    let paths = |changes: &[Change]| {
        let mut paths = short(changes);
        paths.sort();
        paths
    };
    assert_eq!(paths(&applied(&first)), paths(&second));
    for change in &second {
        assert!(applied(&first).contains(change), "{} differs", change.path);
    }
}

#[tokio::test]
async fn a_missing_secret_shows_in_a_condition_and_an_event_and_heals_when_it_comes() {
    let scene = Scene::new(S3);
    let changes = scene.run().await;
    assert_eq!(short(&changes), ["dnsclusters/tide/status", "events"]);
    assert_eq!(events(&changes), ["SecretMissing"]);
    let condition = scene.condition("ObjectStoreReady");
    assert_eq!(condition["reason"], "SecretMissing");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("moon-keys is missing: create it"),
        "{condition}"
    );
    assert!(
        short(&scene.run().await).is_empty(),
        "the same trouble was told twice"
    );

    // "id" and "s" in base64.
    scene.api.put(
        KEYS,
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    let changes = scene.run().await;
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
}

#[tokio::test]
async fn files_of_revisions_that_no_server_is_of_any_more_are_deleted_and_others_stay() {
    let configs = "/api/v1/namespaces/shore/configmaps/";
    let scene = Scene::new(MANAGED);
    scene.pod("tide-0", true);
    scene.pod("tide-1", true);
    let ours = json!({"metadata": {"name": "tide-config-old", "uid": "u", "ownerReferences": [owner()]}});
    scene.api.put(&format!("{configs}tide-config-old"), ours.clone());
    scene.api.put(
        &format!("{configs}tide-config-theirs"),
        json!({"metadata": {"name": "tide-config-theirs"}}),
    );
    let mut older = serde_json::to_value(pod("tide-1", true, "older")).unwrap();
    older["status"]["podIP"] = json!("10.0.0.9");
    scene.api.put("/api/v1/namespaces/shore/pods/tide-1", older);
    scene.run().await;
    assert_eq!(
        scene.api.get(&format!("{configs}tide-config-old")),
        ours,
        "tide-1 may be started again"
    );

    scene.pod("tide-1", true);
    scene.run().await;
    assert!(scene.api.get(&format!("{configs}tide-config-old")).is_null());
    assert!(!scene.api.get(&format!("{configs}tide-config-theirs")).is_null());
    assert!(!scene.mounted_file("pdns.conf").is_empty());
}

#[tokio::test]
async fn the_api_label_moves_when_its_pod_is_not_ready_and_stays_when_that_is_back() {
    let scene = Scene::new(MANAGED);
    scene.pod("tide-0", true);
    scene.pod("tide-1", true);
    scene.run().await;
    assert_eq!(
        (scene.label("tide-0"), scene.label("tide-1")),
        (json!("active"), Value::Null)
    );

    let path = "/api/v1/namespaces/shore/pods/tide-0";
    let mut unready = scene.api.get(path);
    unready["status"]["conditions"][0]["status"] = json!("False");
    scene.api.put(path, unready.clone());
    let changes = scene.run().await;
    assert_eq!(
        short(&changes)[..2],
        ["pods/tide-1", "pods/tide-0"],
        "given first, then removed"
    );
    assert_eq!(
        (scene.label("tide-0"), scene.label("tide-1")),
        (Value::Null, json!("active"))
    );
    assert!(events(&changes).contains(&"ServersNotReady") && events(&changes).contains(&"ApiPodChosen"));

    scene.pod("tide-0", true);
    scene.run().await;
    assert_eq!(
        (scene.label("tide-0"), scene.label("tide-1")),
        (Value::Null, json!("active"))
    );
    assert_eq!(scene.api.get(CLUSTER)["status"]["apiPod"], "tide-1");
}

#[tokio::test]
async fn a_paused_cluster_is_left_alone_and_says_so() {
    let scene = Scene::new(MANAGED);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    scene.api.put(CLUSTER, cluster.clone());
    let changes = scene.run().await;
    assert_eq!(short(&changes), ["dnsclusters/tide/status", "events"]);
    assert_eq!(scene.condition("Paused")["status"], "True");

    let mut resumed = scene.api.get(CLUSTER);
    resumed["metadata"]["annotations"] = json!({});
    scene.api.put(CLUSTER, resumed);
    let changes = scene.run().await;
    assert!(events(&changes).contains(&"Resumed"));
    let status = scene.api.get(CLUSTER)["status"].clone();
    assert!(
        !status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|condition| condition["type"] == "Paused")
    );
}

#[tokio::test]
async fn a_refused_object_is_named_in_a_condition_and_heals() {
    let scene = Scene::new(MANAGED);
    let path = "/api/v1/namespaces/shore/services/tide-dns";
    scene.api.forbid(path);
    let error = scene.try_run().await.unwrap_err();
    assert_eq!(error.category(), "apply");
    let changes = scene.api.take_changes();
    assert!(
        !short(&changes).iter().any(|path| path == "statefulsets/tide"),
        "a pod would lack its Service"
    );
    assert!(events(&changes).contains(&"ReconcileFailed"));
    let condition = scene.condition("Progressing");
    assert_eq!(
        condition["observedGeneration"], 3,
        "it is about the spec that failed"
    );
    assert_eq!(scene.condition("Ready")["observedGeneration"], 3);
    assert_eq!(condition["reason"], "ReconcileFailed");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("failed to apply Service tide-dns"),
        "{condition}"
    );

    scene.api.allow_all();
    scene.run().await;
    assert_eq!(scene.condition("Progressing")["reason"], "Scaling");
}

#[tokio::test]
async fn an_unusable_setting_shows_in_a_condition_and_makes_no_server() {
    let scene = Scene::new("{objectStore: {managed: {}}, powerdns: {config: {No-Such: x}}}");
    let changes = scene.run().await;
    assert!(!short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("Ready")["reason"], "InvalidSpec");
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "Unknown");
}

#[tokio::test]
async fn a_cluster_that_is_gone_or_going_is_not_touched() {
    let scene = Scene::new(MANAGED);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    scene.api.put(CLUSTER, cluster);
    assert!(scene.run().await.is_empty());
    scene.api.remove(CLUSTER);
    assert!(scene.run().await.is_empty());
}

#[tokio::test]
async fn an_object_that_our_types_do_not_know_waits_for_a_change() {
    let scene = Scene::new(MANAGED);
    let object: DeserializeGuard<DnsCluster> = serde_json::from_value(
        json!({"apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster",
            "metadata": {"name": "tide", "namespace": "shore"}, "spec": {"replicas": "many"}}),
    )
    .unwrap();
    let (object, context) = (Arc::new(object), Arc::new(scene.context));
    let error = reconcile(object.clone(), context.clone()).await.unwrap_err();
    assert_eq!(error_policy(object, &error, context), Action::await_change());
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_in_the_condition_while_it_is_and_told_once() {
    let scene = Scene::new(MANAGED);
    scene.run().await;
    let message = || scene.condition("ObjectStoreReady")["message"].clone();
    let harmless = message();
    for _ in 0..2 {
        scene.store.state().warnings = vec!["bucket zonetide is open".into(), "it grows".into()];
        let changes = scene.run().await;
        assert_eq!(events(&changes), ["BucketAtRisk", "BucketAtRisk"]);
        let event = changes
            .iter()
            .find(|change| change.body["reason"] == "BucketAtRisk");
        let event = &event.unwrap().body;
        assert_eq!(event["type"], "Warning");
        assert_eq!(event["note"], "bucket zonetide is open");
        let told = message();
        let told = told.as_str().unwrap();
        assert!(
            told.ends_with("; warning: bucket zonetide is open; warning: it grows"),
            "{told}"
        );
        let again = scene.run().await;
        assert!(events(&again).is_empty(), "told twice");

        scene.store.state().warnings.clear();
        scene.run().await;
        assert_eq!(message(), harmless);
    }
}
