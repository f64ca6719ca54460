//! Keys that are made, renewed and ended.

use super::*;
use crate::{names::KEYS_ANNOTATION, objectstore::renewal::Held};

const SECRET: &str = "/api/v1/namespaces/shore/secrets/tide-object-store";

fn held(scene: &Scene) -> Held {
    Held::read(&serde_json::from_value(scene.api.get(SECRET)).unwrap()).unwrap()
}

/// The agents use the key with this ID from now on.
fn agents_use(scene: &Scene, id: &str) {
    let used = Keys {
        access_key_id: id.into(),
        ..keys()
    };
    scene.agents.0.lock().unwrap().store_key = Some(used.fingerprint());
}

/// A cluster of two servers that use the first key.
async fn serving() -> Scene {
    let scene = Scene::new(MANAGED);
    scene.server("tide-0");
    scene.server("tide-1");
    agents_use(&scene, "made-1");
    scene.run().await;
    assert_eq!(scene.store.state().alive, ["made-1"]);
    scene
}

/// Makes the present key as old as it is when it has to be renewed.
fn age(scene: &Scene, hours: i64) {
    let mut secret = scene.api.get(SECRET);
    let mut held = held(scene);
    held.made -= SignedDuration::from_hours(hours);
    held.expires = held.expires.map(|end| end - SignedDuration::from_hours(hours));
    secret["metadata"]["annotations"] = json!(held.annotations());
    scene.api.put(SECRET, secret);
}

#[tokio::test]
async fn a_renewed_key_is_brought_to_the_servers_and_the_old_one_ended_when_all_use_it() {
    let scene = serving().await;
    assert!(!held(&scene).supersedes, "nothing else is left to be ended");
    age(&scene, 17);

    scene.run().await;
    assert_eq!(held(&scene).keys.access_key_id, "made-2");
    let path = "/api/v1/namespaces/shore/pods/tide-1";
    let nudged = scene.api.get(path)["metadata"]["annotations"][KEYS_ANNOTATION].clone();
    assert_eq!(nudged, json!(held(&scene).keys.fingerprint()));
    assert_eq!(
        scene.store.state().alive,
        ["made-1", "made-2"],
        "servers use the first"
    );

    let again = scene.run().await;
    assert!(!short(&again).contains(&"pods/tide-1".to_owned()), "nudged once");
    assert_eq!(scene.store.state().alive, ["made-1", "made-2"], "they still do");
    agents_use(&scene, "made-2");
    scene.run().await;
    assert_eq!(scene.store.state().alive, ["made-2"]);
    assert!(!held(&scene).supersedes);
}

#[tokio::test]
async fn the_annotation_renews_once() {
    let scene = serving().await;
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/renew-credentials": "now"});
    scene.api.put(CLUSTER, cluster);
    scene.run().await;
    agents_use(&scene, "made-2");
    scene.run().await;
    scene.run().await;
    assert_eq!(scene.store.state().made, 2);
    assert_eq!(held(&scene).keys.access_key_id, "made-2");
}

#[tokio::test]
async fn keys_that_cannot_be_renewed_go_on_and_ended_ones_stop_nothing_that_runs() {
    let scene = serving().await;
    age(&scene, 17);
    let away = StoreError::ManagedUnreachable {
        endpoint: "http://fake".into(),
        cause: "refused".into(),
    };
    scene.store.state().minting = Some(away);
    let changes = scene.run().await;
    assert_eq!(events(&changes), ["RenewalFailed"]);
    assert_eq!(held(&scene).keys.access_key_id, "made-1");
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
    assert_eq!(scene.condition("CredentialsReady")["reason"], "RenewalFailed");

    age(&scene, 7);
    scene.run().await;
    assert_eq!(
        scene.condition("ObjectStoreReady")["reason"],
        "EndpointUnreachable"
    );
    assert_eq!(scene.condition("CredentialsReady")["reason"], "KeysExpired");
    scene.store.state().minting = None;
    let changes = scene.run().await;
    assert!(
        events(&changes).contains(&"CredentialsRenewed"),
        "{:?}",
        events(&changes)
    );
    assert_eq!(scene.condition("CredentialsReady")["reason"], "CredentialsIssued");
    assert_eq!(held(&scene).keys.access_key_id, "made-2");
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
}

#[tokio::test]
async fn a_key_that_somebody_ended_is_replaced() {
    let scene = serving().await;
    scene.store.state().alive.clear();
    scene.run().await;
    assert_eq!(scene.store.state().alive, ["made-2"]);
    assert_eq!(held(&scene).keys.access_key_id, "made-2");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_ended_with_the_next_renewal() {
    let scene = serving().await;
    // Made, and not written down.
    scene.store.state().alive.push("lost".into());
    age(&scene, 17);
    scene.run().await;
    agents_use(&scene, "made-2");
    scene.run().await;
    assert_eq!(scene.store.state().alive, ["made-2"]);
}

#[tokio::test]
async fn an_admins_secret_that_is_gone_is_told_and_stops_nothing_while_the_keys_are_good() {
    const ADMIN: &str = "/api/v1/namespaces/shore/secrets/moon-admin";
    let scene = Scene::new(
        "{objectStore: {s3: {endpoint: 'http://s3.test:9000/', region: moon, bucket: crater, \
         credentials: {assumeRole: {secretRef: {name: moon-admin}}}}}}",
    );
    scene.server("tide-0");
    scene.server("tide-1");
    agents_use(&scene, "made-1");
    // Without it there is nothing to begin with.
    scene.run().await;
    assert_eq!(scene.condition("ObjectStoreReady")["reason"], "SecretMissing");
    scene.api.put(
        ADMIN,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "moon-admin", "namespace": "shore"},
            "data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="},
        }),
    );
    scene.run().await;
    assert_eq!(scene.condition("CredentialsReady")["status"], "True");

    scene.api.remove(ADMIN);
    scene.run().await;
    assert_eq!(scene.condition("ObjectStoreReady")["status"], "True");
    let told = scene.condition("CredentialsReady");
    assert_eq!(told["reason"], "RenewalFailed");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("the Secret moon-admin is missing"), "{message}");
    assert_eq!(held(&scene).keys.access_key_id, "made-1");
}

#[tokio::test]
async fn an_authority_that_is_missing_or_broken_is_the_stores_trouble_and_leaves_servers_as_they_are() {
    const CA: &str = "/api/v1/namespaces/shore/secrets/moon-ca";
    let spec = S3
        .replace("http://", "https://")
        .replace("bucket: crater", "bucket: crater, caSecretRef: {name: moon-ca}");
    let scene = Scene::new(&spec);
    // "id" and "s" in base64.
    scene.api.put(
        KEYS,
        json!({"data": {"access-key-id": "aWQ=", "secret-access-key": "cw=="}}),
    );
    let pem = include_bytes!("../../../../agent/tests/tls/ca.pem");
    let good = json!({"data": {"ca.crt": k8s_openapi::ByteString(pem.to_vec())}});
    for (secret, reason) in [
        (None, "SecretMissing"),
        (Some(json!({"data": {"ca.crt": "bW9vbg=="}})), "SecretMissing"),
    ] {
        scene.api.put(CA, good.clone());
        scene.run().await;
        assert_eq!(scene.condition("ObjectStoreReady")["reason"], "BucketReady");
        match secret {
            Some(secret) => scene.api.put(CA, secret),
            None => scene.api.remove(CA),
        }
        let before = scene.api.get(SERVERS);
        let changes = short(&scene.run().await);
        let condition = scene.condition("ObjectStoreReady");
        assert_eq!(condition["reason"], reason);
        assert!(
            condition["message"].as_str().unwrap().contains("moon-ca"),
            "{condition}"
        );
        assert!(
            !changes.contains(&"secrets/tide-object-store".to_owned()),
            "{changes:?}"
        );
        assert_eq!(scene.api.get(SERVERS), before);
    }
}
