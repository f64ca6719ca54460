//! The agents' certificates: who has one, and that they are renewed whatever else is wrong.

use super::*;
use crate::peer_certificates::PeerCertificates;

const AUTHORITY: &str = "/api/v1/namespaces/shore/secrets/tide-peers-ca";
const SERVERS_OF: &str = "/api/v1/namespaces/shore/secrets/tide-peers-tls";

fn kept(scene: &Scene) -> PeerCertificates {
    let secret = |path: &str| serde_json::from_value(scene.api.get(path)).unwrap();
    PeerCertificates::read(Some(&secret(AUTHORITY)), Some(&secret(SERVERS_OF)))
}

fn pods(scene: &Scene) -> Vec<String> {
    kept(scene).servers.into_keys().collect()
}

/// A cluster whose two servers run.
async fn serving() -> Scene {
    let scene = Scene::new(MANAGED);
    scene.server("tide-0");
    scene.server("tide-1");
    scene.run().await;
    scene
}

fn patch(scene: &Scene, change: impl FnOnce(&mut Value)) {
    let mut cluster = scene.api.get(CLUSTER);
    change(&mut cluster);
    scene.api.put(CLUSTER, cluster);
}

/// Whatever was in it.
fn spoil(scene: &Scene, path: &str) {
    let mut secret = scene.api.get(path);
    // "garbage", and bytes that are no text, in base64.
    secret["data"] = json!({"ca.crt": "Z2FyYmFnZQ==", "ca.key": "//79", "tide-0.crt": "//79"});
    scene.api.put(path, secret);
}

#[tokio::test]
async fn each_server_has_a_certificate_and_keeps_it() {
    let scene = serving().await;
    assert_eq!(pods(&scene), ["tide-0", "tide-1"]);
    let first = (scene.api.get(AUTHORITY), scene.api.get(SERVERS_OF));
    scene.run().await;
    assert_eq!((scene.api.get(AUTHORITY), scene.api.get(SERVERS_OF)), first);
}

#[tokio::test]
async fn a_new_server_has_a_certificate_before_it_is_made_and_the_others_are_not_replaced() {
    let scene = serving().await;
    let template = scene.api.get(SERVERS)["spec"]["template"].clone();
    let before = kept(&scene);
    patch(&scene, |cluster| cluster["spec"]["replicas"] = json!(3));
    let changes = short(&scene.run().await);
    let at = |path: &str| changes.iter().position(|change| change == path).unwrap();
    assert!(at("secrets/tide-peers-tls") < at("statefulsets/tide"));
    assert_eq!(pods(&scene), ["tide-0", "tide-1", "tide-2"]);
    let after = kept(&scene);
    assert_eq!(after.changed(&before).collect::<Vec<_>>(), ["tide-2"]);
    assert_eq!(scene.api.get(SERVERS)["spec"]["template"], template);
}

#[tokio::test]
async fn a_server_that_is_scaled_away_has_a_certificate_until_its_pod_is_gone() {
    let scene = serving().await;
    patch(&scene, |cluster| cluster["spec"]["replicas"] = json!(1));
    scene.run().await;
    assert_eq!(pods(&scene), ["tide-0", "tide-1"]);
    scene.api.remove("/api/v1/namespaces/shore/pods/tide-1");
    scene.run().await;
    assert_eq!(pods(&scene), ["tide-0"]);
}

#[tokio::test]
async fn secrets_that_cannot_be_read_are_replaced_and_servers_go_on() {
    for path in [AUTHORITY, SERVERS_OF] {
        let scene = serving().await;
        let before = kept(&scene);
        spoil(&scene, path);
        let changes = scene.run().await;
        assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
        let after = kept(&scene);
        assert_eq!(pods(&scene), ["tide-0", "tide-1"]);
        assert_eq!(after.changed(&before).count(), 2, "{path}");
        assert_eq!(after.authority == before.authority, path == SERVERS_OF);
        // Agents that have the old ones yet are believed.
        let own = before.authority.certificate.as_str();
        assert!(after.believed.contains(own), "{path}");
        assert!(after.believed.starts_with(&after.authority.certificate));
    }
}

#[tokio::test]
async fn they_are_renewed_while_the_cluster_is_paused_its_spec_is_wrong_or_its_store_is_away() {
    let wrong = |cluster: &mut Value| cluster["spec"]["powerdns"] = json!({"config": {"No-Such": "x"}});
    let paused =
        |cluster: &mut Value| cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    let elsewhere = |cluster: &mut Value| {
        cluster["spec"]["objectStore"] = serde_json::to_value(&self::cluster(S3).spec.object_store).unwrap();
    };
    for change in [wrong as fn(&mut Value), paused, elsewhere] {
        let scene = serving().await;
        patch(&scene, change);
        spoil(&scene, SERVERS_OF);
        let changes = short(&scene.run().await);
        assert!(!changes.contains(&"statefulsets/tide".to_owned()));
        assert_eq!(pods(&scene), ["tide-0", "tide-1"]);
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_written_keep_no_server_from_a_change() {
    let scene = serving().await;
    scene.api.forbid(SERVERS_OF);
    let error = scene.try_run().await.unwrap_err();
    assert!(
        error.describe().contains("tide-peers-tls"),
        "{}",
        error.describe()
    );
    let changes = scene.api.take_changes();
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
}

#[tokio::test]
async fn no_private_key_is_in_what_anybody_sees() {
    let scene = serving().await;
    let kept = kept(&scene);
    let seen = format!("{}{}", scene.api.get(CLUSTER), scene.api.get(SERVERS));
    let config = scene.mounted_file("agent.yaml");
    for pair in kept.servers.values().chain([&kept.authority]) {
        let line = pair.key.expose().lines().nth(1).unwrap();
        assert!(!seen.contains(line) && !config.contains(line));
    }
}
