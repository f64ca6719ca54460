//! Admins' Secrets of other namespaces.

use super::*;

const ADMIN: &str = "/api/v1/namespaces/stores/secrets/admin";
const ENDPOINT: &str = "http://s3.test:9000";

fn foreign(scene_spec: &str) -> Scene {
    Scene::new(&S3.replace("{secretRef: {name: moon-keys}}", scene_spec))
}

fn roles() -> Scene {
    foreign("{assumeRole: {secretRef: {name: admin, namespace: stores}}}")
}

/// "id" and "s" in base64.
fn put(scene: &Scene, annotations: &Value) {
    scene.api.put(
        ADMIN,
        json!({
            "metadata": {"name": "admin", "namespace": "stores", "annotations": annotations},
            "data": {"access-key-id": "aWQ=", "secret-access-key": "cw==", "token": "aWQ="},
        }),
    );
}

fn grant() -> Value {
    json!({"zonetide.dev/allowed-namespaces": "shore", "zonetide.dev/allowed-endpoints": ENDPOINT})
}

fn message(scene: &Scene) -> String {
    scene.condition("ObjectStoreReady")["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_secret_of_another_namespace_is_used_when_it_allows_it_and_no_longer_when_it_does_not() {
    let scene = roles();
    put(&scene, &json!({}));
    let changes = scene.run().await;
    assert!(events(&changes).contains(&"NotGranted"), "{:?}", events(&changes));
    assert!(!short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "NotGranted");
    assert_eq!(scene.store.state().made, 0);

    put(&scene, &grant());
    let changes = scene.run().await;
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
    assert_eq!(scene.store.state().made, 1);

    put(&scene, &json!({}));
    let before = scene
        .api
        .get("/api/v1/namespaces/shore/secrets/tide-object-store");
    scene.run().await;
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "NotGranted");
    assert_eq!(
        scene
            .api
            .get("/api/v1/namespaces/shore/secrets/tide-object-store"),
        before,
        "running servers go on with what they have"
    );
    assert_eq!(scene.store.state().made, 1);
}

#[tokio::test]
async fn nobody_learns_which_secrets_another_namespace_has() {
    let missing = roles();
    missing.run().await;
    let others = roles();
    put(&others, &json!({"zonetide.dev/allowed-namespaces": "beach"}));
    others.run().await;
    let empty = roles();
    empty.api.put(
        ADMIN,
        json!({"metadata": {"name": "admin", "namespace": "stores"}}),
    );
    empty.run().await;
    assert_eq!(message(&missing), message(&others));
    assert_eq!(message(&missing), message(&empty));
    assert!(
        message(&missing).contains("stores/admin"),
        "{}",
        message(&missing)
    );
}

#[tokio::test]
async fn the_own_namespace_needs_no_grant_also_when_it_is_named() {
    for reference in ["{name: admin}", "{name: admin, namespace: shore}"] {
        let scene = foreign(&format!("{{assumeRole: {{secretRef: {reference}}}}}"));
        let data = json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}});
        scene.api.put("/api/v1/namespaces/shore/secrets/admin", data);
        scene.run().await;
        assert_eq!(
            scene.condition("ObjectStoreReady")["status"],
            "True",
            "{reference}"
        );
    }
}

#[tokio::test]
async fn a_token_for_garage_goes_to_a_named_server_only_and_opens_the_namespaces_buckets_only() {
    let garage = |bucket: &str, url: &str| {
        let spec = S3
            .replace("bucket: crater", &format!("bucket: {bucket}"))
            .replace(
                "{secretRef: {name: moon-keys}}",
                &format!(
                    "{{garage: {{adminEndpoint: '{url}', tokenSecretRef: {{name: admin, namespace: stores}}}}}}"
                ),
            );
        let scene = Scene::new(&spec);
        let mut annotations = grant();
        annotations["zonetide.dev/allowed-endpoints"] = json!("http://garage.stores.svc:3903");
        put(&scene, &annotations);
        scene
    };
    let right = "http://garage.stores.svc:3903";
    for (bucket, url, status) in [
        ("shore.zones", right, "True"),
        ("beach.zones", right, "False"),
        ("crater", right, "False"),
        ("shore.zones", "http://evil.test:3903", "False"),
    ] {
        let scene = garage(bucket, url);
        scene.run().await;
        assert_eq!(
            scene.condition("ObjectStoreReady")["status"],
            status,
            "{bucket} {url}"
        );
        assert_eq!(
            scene.store.state().made,
            usize::from(status == "True"),
            "{bucket} {url}"
        );
    }
}

#[tokio::test]
async fn a_token_for_cloudflare_acts_in_a_named_account_only() {
    let account = "0123456789abcdef0123456789abcdef";
    for (allowed, status) in [(account, "True"), ("ffffffffffffffffffffffffffffffff", "False")] {
        let scene = foreign(&format!(
            "{{r2: {{accountId: {account}, tokenSecretRef: {{name: admin, namespace: stores}}}}}}"
        ));
        put(
            &scene,
            &json!({"zonetide.dev/allowed-namespaces": "*", "zonetide.dev/allowed-accounts": allowed}),
        );
        scene.run().await;
        assert_eq!(scene.condition("ObjectStoreReady")["status"], status, "{allowed}");
    }
}

#[tokio::test]
async fn a_prefix_of_another_namespace_is_not_reached_with_a_secret_of_another() {
    let spec = S3
        .replace("bucket: crater", "bucket: crater, prefix: beach/tide")
        .replace(
            "{secretRef: {name: moon-keys}}",
            "{assumeRole: {secretRef: {name: admin, namespace: stores}}}",
        );
    let scene = Scene::new(&spec);
    put(&scene, &grant());
    scene.run().await;
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "NotGranted");
    assert!(
        message(&scene).contains("must lie under shore/"),
        "{}",
        message(&scene)
    );
}
