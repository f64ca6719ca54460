//! The managed MinIO.

use k8s_openapi::api::core::v1::Probe;

use super::assert_restricted;
use crate::{
    build::store,
    testing::{MANAGED_MINIO, plan},
};

#[test]
fn minio_runs_alone_on_one_node_with_its_root_user_from_the_secret_and_no_configuration() {
    let [store, other] = [(), ()].map(|()| store(&plan(MANAGED_MINIO)).unwrap());
    assert!(store.config.is_none());
    assert_eq!(store.stateful_set.metadata.name.as_deref(), Some("tide-minio"));
    assert_eq!(store.secret.metadata.name.as_deref(), Some("tide-minio"));
    let template = store.stateful_set.spec.unwrap().template;
    let checksum = template.metadata.unwrap().annotations.unwrap()["zonetide.dev/config-checksum"].clone();
    let container = template.spec.unwrap().containers[0].clone();
    assert_eq!(container.image.as_deref(), Some("minio:test"));
    for (variable, key) in [
        ("MINIO_ROOT_USER", "root-user"),
        ("MINIO_ROOT_PASSWORD", "root-password"),
    ] {
        let env = container.env.iter().flatten().find(|env| env.name == variable);
        let from = env.unwrap().value_from.clone().unwrap().secret_key_ref.unwrap();
        assert_eq!((from.name.as_str(), from.key.as_str()), ("tide-minio", key));
        let bytes = &store.secret.data.as_ref().unwrap()[key].0;
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            !format!("{container:?}").contains(&text),
            "{key} is in the template"
        );
    }
    assert_ne!(
        other
            .stateful_set
            .spec
            .unwrap()
            .template
            .metadata
            .unwrap()
            .annotations
            .unwrap()["zonetide.dev/config-checksum"],
        checksum,
        "a pod with another password is not replaced"
    );
}

#[test]
fn minio_passes_the_restricted_level_and_is_asked_for_its_health() {
    let store = store(&plan(MANAGED_MINIO)).unwrap();
    let pod = store.stateful_set.spec.unwrap().template.spec.unwrap();
    assert_restricted(&pod);
    let path = |probe: Option<Probe>| probe.unwrap().http_get.unwrap().path.unwrap();
    assert_eq!(
        path(pod.containers[0].liveness_probe.clone()),
        "/minio/health/live"
    );
    assert_eq!(
        path(pod.containers[0].readiness_probe.clone()),
        "/minio/health/ready"
    );
}

#[test]
fn minio_has_a_home_that_it_may_write_to_without_which_it_does_not_start() {
    let store = store(&plan(MANAGED_MINIO)).unwrap();
    let pod = store.stateful_set.spec.unwrap().template.spec.unwrap();
    let container = &pod.containers[0];
    let home = container.env.iter().flatten().find(|env| env.name == "HOME");
    let mounts = container.volume_mounts.as_ref().unwrap();
    assert_eq!(
        home.unwrap().value.as_deref(),
        Some(mounts[0].mount_path.as_str())
    );
    assert_ne!(mounts[0].read_only, Some(true));
}
