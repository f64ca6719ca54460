//! The Ingresses of a managed store.

use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value, json};

use crate::{
    build::{ingresses, store},
    reconcile::validate::validate,
    testing::{MANAGED, MANAGED_MINIO, fetched, plan, settings},
};

const MINIO: &str = "{objectStore: {managed: {engine: MinIO, expose: {
    s3: {host: s3.tides.test, tlsSecretName: s3-tls}, console: {host: console.tides.test}}}}}";
const GARAGE: &str = "{objectStore: {managed: {expose: {s3: {host: s3.tides.test}}}}}";

fn value(ingress: &Ingress) -> Value {
    serde_json::to_value(ingress).unwrap()
}

#[test]
fn nothing_is_exposed_unasked() {
    for spec in [MANAGED, MANAGED_MINIO] {
        assert_eq!(ingresses(&plan(spec)), []);
    }
}

#[test]
fn each_host_leads_to_a_port_that_the_stores_service_has() {
    for (spec, service) in [(MINIO, "tide-minio"), (GARAGE, "tide-garage")] {
        let store = store(&plan(spec)).unwrap();
        assert_eq!(store.service.metadata.name.as_deref(), Some(service));
        let ports = store.service.spec.unwrap().ports.unwrap();
        for ingress in &ingresses(&plan(spec)) {
            let rules = ingress.spec.as_ref().unwrap().rules.as_ref().unwrap();
            let backend = rules[0].http.as_ref().unwrap().paths[0].backend.service.as_ref();
            assert_eq!(backend.unwrap().name, service);
            let port = backend.unwrap().port.as_ref().unwrap().name.clone();
            assert!(ports.iter().any(|known| known.name == port), "{port:?}");
        }
    }
    assert_eq!(ingresses(&plan(GARAGE)).len(), 1);
}

#[test]
fn an_ingress_is_for_one_host_and_owned_by_the_cluster() {
    let list = ingresses(&plan(MINIO));
    let [s3, console] = [value(&list[0]), value(&list[1])];
    assert_eq!(s3["metadata"]["name"], "tide-s3");
    assert_eq!(s3["metadata"]["ownerReferences"][0]["uid"], "cluster-uid");
    assert_eq!(
        s3["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "zonetide-operator"
    );
    assert_eq!(
        s3["spec"],
        json!({
            "rules": [{"host": "s3.tides.test", "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "tide-minio", "port": {"name": "s3"}}},
            }]}}],
            "tls": [{"hosts": ["s3.tides.test"], "secretName": "s3-tls"}],
        })
    );
    assert_eq!(console["metadata"]["name"], "tide-console");
    assert_eq!(console["spec"]["rules"][0]["host"], "console.tides.test");
    assert_eq!(console["spec"]["tls"], Value::Null);
}

#[test]
fn class_and_annotations_are_the_installations() {
    let mut settings = settings();
    settings.expose.ingress_class = Some("outside".into());
    settings.expose.annotations = [("a/b".to_owned(), "c".to_owned())].into();
    let plan = validate(&fetched(GARAGE), &settings).unwrap();
    let ingress = value(&ingresses(&plan)[0]);
    assert_eq!(ingress["spec"]["ingressClassName"], "outside");
    assert_eq!(ingress["metadata"]["annotations"], json!({"a/b": "c"}));
}

#[test]
fn minio_sends_browsers_to_the_console_where_that_is_exposed_and_has_no_other_address_of_its_own() {
    let variable = |spec: &str, name: &str| {
        let pod = store(&plan(spec))
            .unwrap()
            .stateful_set
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        env.into_iter().find(|variable| variable.name == name)?.value
    };
    let redirect = "MINIO_BROWSER_REDIRECT_URL";
    assert_eq!(
        variable(MINIO, redirect).as_deref(),
        Some("http://console.tides.test")
    );
    let tls = MINIO.replace("console.tides.test", "console.tides.test, tlsSecretName: c");
    assert_eq!(
        variable(&tls, redirect).as_deref(),
        Some("https://console.tides.test")
    );
    assert_eq!(variable(MANAGED_MINIO, redirect), None);
    assert_eq!(variable(MINIO, "MINIO_SERVER_URL"), None);
}
