//! No area waits for another: servers, store and keys while one of them has trouble, or all are paused.

use super::*;

#[tokio::test]
async fn while_the_store_is_away_a_new_spec_reaches_the_servers_and_the_api_label_moves() {
    let scene = Scene::new(MANAGED);
    scene.pod("tide-0", true);
    scene.pod("tide-1", true);
    scene.run().await;
    assert_eq!(scene.label("tide-0"), "active");

    scene.store.state().trouble = Some(StoreError::ManagedUnreachable {
        endpoint: "http://garage".into(),
        cause: "refused".into(),
    });
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["service"] = json!({"port": 5353});
    cluster["spec"]["powerdns"] = json!({"config": {"default-ttl": "60"}});
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    let service = scene.api.get("/api/v1/namespaces/shore/services/tide-dns");
    assert_eq!(service["spec"]["ports"][0]["port"], 5353);
    assert!(scene.mounted_file("pdns.conf").contains("default-ttl=60"));
    assert_eq!(scene.condition("Ready")["status"], "True");
    assert_eq!(
        scene.condition("ObjectStoreReady")["reason"],
        "EndpointUnreachable"
    );
    assert_eq!(scene.condition("Replicating")["status"], "False");

    scene.pod("tide-0", false);
    scene.run().await;
    assert_eq!(scene.label("tide-1"), "active");
    assert_eq!(scene.condition("Ready")["reason"], "ServersNotReady");
}

#[tokio::test]
async fn servers_are_not_sent_to_another_store_before_it_opens() {
    let scene = Scene::new(S3);
    scene.api.put(
        KEYS,
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    scene.pod("tide-0", true);
    scene.pod("tide-1", true);
    scene.run().await;
    let before = scene.mounted_file("agent.yaml");
    scene.store.state().trouble = Some(StoreError::Unreachable {
        endpoint: "http://other".into(),
        cause: "refused".into(),
    });
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["objectStore"]["s3"]["endpoint"] = json!("http://other");
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    assert_eq!(scene.mounted_file("agent.yaml"), before);
    let ready = scene.condition("Ready");
    assert_eq!(ready["reason"], "ObjectStoreNotReady");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.ends_with("; 2 of 2 servers serve, and are left as they are"),
        "{message}"
    );
    assert_eq!(scene.condition("Progressing")["status"], "False");
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "False");
    scene.store.state().trouble = None;
    scene.run().await;
    assert!(scene.mounted_file("agent.yaml").contains("http://other"));
}

#[tokio::test]
async fn keys_are_renewed_and_the_api_label_moves_while_paused_and_ready_says_what_is() {
    let scene = Scene::new(MANAGED);
    scene.server("tide-0");
    scene.server("tide-1");
    scene.run().await;
    let pause = json!({"zonetide.dev/paused": "true", "zonetide.dev/renew-credentials": "now"});
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = pause;
    cluster["spec"]["replicas"] = json!(5);
    scene.api.put(CLUSTER, cluster);
    let changes = scene.run().await;
    assert!(events(&changes).contains(&"CredentialsRenewed"));
    assert!(short(&changes).contains(&"secrets/tide-object-store".to_owned()));
    let written: Vec<String> = short(&changes)
        .into_iter()
        .filter(|path| path.starts_with("statefulsets") || path.starts_with("services"))
        .collect();
    assert!(written.is_empty(), "{written:?} were changed while paused");
    assert_eq!(scene.condition("Ready")["status"], "True");

    scene.pod("tide-0", false);
    scene.run().await;
    assert_eq!(scene.label("tide-1"), "active");
    assert_eq!(scene.condition("Ready")["status"], "False");
    assert_eq!(scene.api.get(CLUSTER)["status"]["readyReplicas"], 1);
}

#[tokio::test]
async fn keys_are_renewed_while_the_servers_cannot_be_made() {
    let scene = Scene::new("{objectStore: {managed: {}}, powerdns: {apiKeySecretRef: {name: gate, key: k}}}");
    scene.api.put(
        "/api/v1/namespaces/shore/secrets/gate",
        json!({"data": {"k": "bG9uZy1lbm91Z2g="}}),
    );
    scene.run().await;
    scene.api.remove("/api/v1/namespaces/shore/secrets/gate");
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/renew-credentials": "now"});
    scene.api.put(CLUSTER, cluster);
    let changes = scene.run().await;
    assert_eq!(scene.condition("Ready")["reason"], "SecretMissing");
    assert!(events(&changes).contains(&"CredentialsRenewed"));
}

#[tokio::test]
async fn a_server_that_waits_for_a_node_keeps_new_keys_from_nobody() {
    let scene = Scene::new(MANAGED);
    scene.server("tide-0");
    scene.pod("tide-1", false);
    scene.run().await;
    let key = scene.store.state().alive.last().cloned().unwrap();
    let fingerprint = Keys {
        access_key_id: key,
        ..keys()
    }
    .fingerprint();
    scene.agents.0.lock().unwrap().store_key = Some(fingerprint);
    scene.run().await;
    let secret = scene
        .api
        .get("/api/v1/namespaces/shore/secrets/tide-object-store");
    assert!(
        secret["metadata"]["annotations"]["zonetide.dev/keys-supersede-others"].is_null(),
        "tide-1 has no address yet, and is not waited for: {secret}"
    );
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_looked_at_less_and_less_often_whatever_changes_meanwhile() {
    let scene = Scene::new(MANAGED);
    scene.server("tide-0");
    let mut waits = Vec::new();
    for second in [1, 2, 4, 8, 16, 30, 30] {
        let action = scene.try_run().await.unwrap();
        waits.push(action == Action::requeue(Duration::from_secs(second)));
        let mut cluster = scene.api.get(CLUSTER);
        cluster["spec"]["service"] = json!({"port": 5300 + second});
        scene.api.put(CLUSTER, cluster);
    }
    assert_eq!(waits, [true; 7]);
}

#[tokio::test]
async fn servers_that_cannot_be_sent_to_another_store_are_not_given_its_keys() {
    let scene = Scene::new(&S3.replace(
        "{objectStore",
        "{powerdns: {apiKeySecretRef: {name: gate, key: k}}, objectStore",
    ));
    let gate = "/api/v1/namespaces/shore/secrets/gate";
    scene.api.put(gate, json!({"data": {"k": "bG9uZy1lbm91Z2g="}}));
    scene.api.put(
        KEYS,
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    scene.run().await;
    let keys = "/api/v1/namespaces/shore/secrets/tide-object-store";
    let before = scene.api.get(keys);
    scene.api.remove(gate);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["objectStore"]["s3"]["endpoint"] = json!("http://other");
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    assert_eq!(scene.api.get(keys), before);
    assert_eq!(scene.condition("Ready")["reason"], "SecretMissing");
}

#[tokio::test]
async fn keys_that_nobody_looks_after_while_paused_are_said_to_end() {
    let scene = Scene::new(&S3.replace(
        "{secretRef: {name: moon-keys}}",
        "{assumeRole: {secretRef: {name: admin}}}",
    ));
    scene.api.put(
        "/api/v1/namespaces/shore/secrets/admin",
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    scene.run().await;
    assert_eq!(scene.condition("CredentialsReady")["reason"], "CredentialsIssued");
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    cluster["spec"]["objectStore"]["s3"]["endpoint"] = json!("http://other");
    scene.api.put(CLUSTER, cluster);
    let action = scene.try_run().await.unwrap();
    let condition = scene.condition("CredentialsReady");
    assert_eq!(
        (condition["status"].as_str(), condition["reason"].as_str()),
        (Some("False"), Some("RenewalFailed"))
    );
    assert_eq!(action, Action::requeue(LOOK_AGAIN));
}

#[tokio::test]
async fn what_cannot_be_read_of_events_and_endpoints_holds_up_nothing() {
    let scene = Scene::new(MANAGED);
    scene.api.hide("/endpointslices");
    scene.api.hide("/events");
    let changes = scene.run().await;
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
}

#[tokio::test]
async fn keys_from_before_their_store_was_written_down_are_known_by_the_status() {
    let scene = Scene::new(S3);
    scene.api.put(
        KEYS,
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    scene.run().await;
    let path = "/api/v1/namespaces/shore/secrets/tide-object-store";
    let mut kept = scene.api.get(path);
    kept["metadata"]["annotations"] = json!({});
    scene.api.put(path, kept);
    scene.store.state().trouble = Some(StoreError::Unreachable {
        endpoint: "http://s3.test:9000".into(),
        cause: "refused".into(),
    });
    let mut cluster = scene.api.get(CLUSTER);
    cluster["spec"]["service"] = json!({"port": 5353});
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    let service = scene.api.get("/api/v1/namespaces/shore/services/tide-dns");
    assert_eq!(service["spec"]["ports"][0]["port"], 5353);
}

/// Servers without the proxy could not reach the store, and with another way than the one that works neither.
#[tokio::test]
async fn a_proxy_that_cannot_be_told_and_a_way_on_which_the_store_does_not_open_send_no_server_there() {
    for (change, reason) in [
        (json!({"proxy": "http://proxy.test:99999"}), "InvalidSpec"),
        (json!({"proxy": "http://proxy.test:3128"}), "BucketMissing"),
        (json!({"pathStyle": false}), "BucketMissing"),
    ] {
        let scene = Scene::new(S3);
        scene.api.put(
            KEYS,
            json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
        );
        scene.run().await;
        let before = scene.api.get(SERVERS);
        let mut cluster = scene.api.get(CLUSTER);
        for (field, value) in change.as_object().unwrap() {
            cluster["spec"]["objectStore"]["s3"][field] = value.clone();
        }
        scene.api.put(CLUSTER, cluster);
        scene.store.state().trouble = Some(StoreError::BucketMissing {
            endpoint: "http://s3".into(),
            bucket: "crater".into(),
        });
        let changes = scene.run().await;
        assert!(
            !short(&changes).contains(&"statefulsets/tide".to_owned()),
            "{change}"
        );
        assert_eq!(scene.api.get(SERVERS), before, "{change}");
        assert_eq!(scene.condition("ObjectStoreReady")["reason"], reason, "{change}");

        // On the way that works they are sent there.
        scene.store.state().trouble = None;
        let sent = short(&scene.run().await).contains(&"statefulsets/tide".to_owned());
        assert_eq!(sent, reason != "InvalidSpec", "{change}");
    }
}
