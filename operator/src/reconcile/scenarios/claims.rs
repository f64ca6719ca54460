//! The claims of volumes, which have no owner and would be pruned without the annotation.

use http::Method;

use super::*;

const ANNOTATION: &str = "argocd.argoproj.io/sync-options";

fn path(claim: &str) -> String {
    format!("/api/v1/namespaces/shore/persistentvolumeclaims/{claim}")
}

/// A claim as a `StatefulSet` makes it.
fn claim(scene: &Scene, name: &str, part: &str, annotations: &Value) {
    let labels = json!({"app.kubernetes.io/instance": "tide", "app.kubernetes.io/name": part});
    let metadata = json!({"name": name, "namespace": "shore", "labels": labels, "annotations": annotations, "resourceVersion": "7"});
    scene.api.put(&path(name), json!({"metadata": metadata}));
}

fn of_claims(changes: &[Change]) -> Vec<&Change> {
    let is_claims = |change: &&Change| change.path.contains("/persistentvolumeclaims/");
    changes.iter().filter(is_claims).collect()
}

#[tokio::test]
async fn old_and_new_claims_of_servers_and_store_are_kept_from_pruning_once() {
    let scene = Scene::new(MANAGED);
    claim(&scene, "data-tide-0", "zonetide-dns", &Value::Null);
    claim(
        &scene,
        "data-tide-garage-0",
        "zonetide-garage",
        &json!({"volume.kubernetes.io/selected-node": "n"}),
    );
    claim(&scene, "data-other-0", "somebody-elses", &Value::Null);
    let changes = scene.run().await;
    let found = of_claims(&changes);
    let patched: Vec<&str> = found.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(patched, [path("data-tide-0"), path("data-tide-garage-0")]);
    for patch in found {
        // Nothing but the annotation, and not over what others have changed since.
        let expected =
            json!({"metadata": {"annotations": {ANNOTATION: "Prune=false"}, "resourceVersion": "7"}});
        assert_eq!((&patch.method, &patch.body), (&Method::PATCH, &expected));
    }

    claim(&scene, "data-tide-1", "zonetide-dns", &Value::Null);
    let changes = scene.run().await;
    let patched: Vec<&str> = of_claims(&changes)
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(patched, [path("data-tide-1")]);
    assert!(of_claims(&scene.run().await).is_empty());
}

#[tokio::test]
async fn what_somebody_else_has_chosen_for_a_claim_stays() {
    let scene = Scene::new(MANAGED);
    claim(
        &scene,
        "data-tide-0",
        "zonetide-dns",
        &json!({ANNOTATION: "Prune=true"}),
    );
    claim(&scene, "data-tide-1", "zonetide-dns", &json!({ANNOTATION: ""}));
    assert!(of_claims(&scene.run().await).is_empty());
}

#[tokio::test]
async fn servers_do_not_wait_for_a_claim_that_cannot_be_annotated() {
    let scene = Scene::new(MANAGED);
    claim(&scene, "data-tide-0", "zonetide-dns", &Value::Null);
    scene.api.forbid(&path("data-tide-0"));
    let changes = scene.run().await;
    assert_eq!(of_claims(&changes).len(), 1);
    assert!(short(&changes).contains(&"statefulsets/tide".to_owned()));
    scene.api.allow_all();
    assert_eq!(of_claims(&scene.run().await).len(), 1, "it is tried again");
}

#[tokio::test]
async fn claims_are_kept_while_the_store_is_away_and_left_alone_while_paused() {
    let scene = Scene::new(MANAGED);
    claim(&scene, "data-tide-0", "zonetide-dns", &Value::Null);
    let mut cluster = scene.api.get(CLUSTER);
    cluster["metadata"]["annotations"] = json!({"zonetide.dev/paused": "true"});
    scene.api.put(CLUSTER, cluster.clone());
    assert!(of_claims(&scene.run().await).is_empty());

    cluster["metadata"]["annotations"] = json!({});
    scene.api.put(CLUSTER, cluster);
    scene.api.remove(GARAGE);
    assert_eq!(of_claims(&scene.run().await).len(), 1);
}
