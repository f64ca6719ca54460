use serde_json::json;

use super::*;
use crate::{
    objectstore::{SourceRequest, StoreError},
    reconcile::validate::validate,
    testing::{MANAGED_MINIO, fetched, plan, secret, settings},
};

const ROLE: &str = "{objectStore: {s3: {endpoint: 'http://s3.test:9000/', region: moon, bucket: crater, \
                    credentials: {assumeRole: {secretRef: {name: moon-admin}}}}}}";

fn request(plan: &Plan, ip: Option<&str>) -> AssumeRoleRequest {
    match plan.source_request(ip.map(|ip| ip.parse().unwrap())) {
        SourceRequest::AssumeRole(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_managed_minio_is_reached_through_its_service_and_by_the_operator_at_its_pod() {
    let plan = plan(MANAGED_MINIO);
    assert_eq!(plan.bucket.endpoint, "http://tide-minio.shore.svc:9000");
    assert_eq!(plan.bucket.prefix, "shore/tide/");
    let at = request(&plan, Some("fd00::7"));
    assert_eq!(at.bucket.endpoint, "http://[fd00::7]:9000");
    assert_eq!(at.sts_endpoint, at.bucket.endpoint);
    assert!(at.create_bucket && at.managed);
    assert_eq!(
        request(&plan, None).sts_endpoint,
        "http://tide-minio.shore.svc:9000"
    );
}

#[test]
fn its_root_user_and_password_are_made_once_and_kept() {
    let root = |plan: Plan| request(&plan, None).keys.unwrap();
    let first = root(plan(MANAGED_MINIO));
    assert_eq!(first.access_key_id.len(), 20);
    assert_eq!(first.secret_access_key.expose().len(), 64);
    assert_ne!(first, root(plan(MANAGED_MINIO)));

    let mut fetched = fetched(MANAGED_MINIO);
    fetched.secrets.minio = Some(secret(&[("root-user", "one"), ("root-password", "two")]));
    let kept = root(validate(&fetched, &settings()).unwrap());
    assert_eq!(
        (kept.access_key_id.as_str(), kept.secret_access_key.expose()),
        ("one", "two")
    );
}

#[test]
fn a_secret_that_has_lost_the_password_is_not_filled_in_silence() {
    let mut fetched = fetched(MANAGED_MINIO);
    fetched.secrets.minio = Some(secret(&[("root-user", "one")]));
    let error = validate(&fetched, &settings()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tide-minio has lost its key root-password"),
        "{error}"
    );
}

#[test]
fn minio_gets_no_lifetime_that_it_does_not_take() {
    let lifetime = |text: &str| {
        let spec = format!("{{objectStore: {{managed: {{engine: MinIO, keyLifetime: {text}}}}}}}");
        request(&plan(&spec), None).key_lifetime
    };
    assert_eq!(lifetime("1m"), SignedDuration::from_mins(15));
    assert_eq!(lifetime("2h"), SignedDuration::from_hours(2));
    assert_eq!(lifetime("720h"), SignedDuration::from_hours(168));
}

#[test]
fn a_role_is_asked_for_at_the_bucket_unless_the_spec_says_where() {
    let mut found = fetched(ROLE);
    found.secrets.admin = Some(secret(&[("access-key-id", "id\n"), ("secret-access-key", "s")]));
    let asked = request(&validate(&found, &settings()).unwrap(), None);
    assert_eq!(asked.sts_endpoint, "http://s3.test:9000");
    assert_eq!(asked.session_name, "zonetide-shore-tide");
    assert_eq!(asked.key_lifetime, SignedDuration::from_hours(1));
    assert_eq!((asked.role_arn, asked.create_bucket), (None, false));
    assert_eq!(asked.keys.unwrap().access_key_id, "id");

    let elsewhere = ROLE.replace(
        "assumeRole: {",
        "assumeRole: {stsEndpoint: 'http://sts.test/', roleArn: 'arn:x', keyLifetime: 2h, ",
    );
    let asked = request(&plan(&elsewhere), None);
    assert_eq!(asked.sts_endpoint, "http://sts.test");
    assert_eq!(asked.role_arn.as_deref(), Some("arn:x"));
    assert_eq!(asked.key_lifetime, SignedDuration::from_hours(2));
}

#[test]
fn a_missing_admin_secret_is_the_stores_trouble() {
    let error = request(&plan(ROLE), None).keys.unwrap_err();
    assert!(matches!(error, StoreError::SecretMissing { .. }));
    assert!(error.to_string().contains("moon-admin"), "{error}");
}

#[test]
fn keys_of_another_role_or_sts_are_not_good() {
    let id = |spec: &str| plan(spec).source_id();
    let role = ROLE.replace("assumeRole: {", "assumeRole: {roleArn: 'arn:x', ");
    assert_ne!(id(ROLE), id(&role));
    let sts = ROLE.replace("assumeRole: {", "assumeRole: {stsEndpoint: 'http://sts.test', ");
    assert_ne!(id(ROLE), id(&sts));
    assert_eq!(id(ROLE), id(&ROLE.replace("moon-admin", "another")));
}

#[test]
fn a_minio_that_runs_keeps_its_image_where_none_is_named_any_more() {
    let mut without = settings();
    without.minio_image = String::new();
    let mut fetched = fetched(MANAGED_MINIO);
    let image = |fetched: &Fetched, settings: &Settings| match validate(fetched, settings).unwrap().store {
        StorePlan::Minio { image, .. } => image,
        _ => panic!("no MinIO"),
    };
    assert_eq!(image(&fetched, &without), None);
    fetched.store_stateful_set = Some(
        serde_json::from_value(json!({
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "minio", "image": "running"}]}}},
        }))
        .unwrap(),
    );
    assert_eq!(image(&fetched, &without).as_deref(), Some("running"));
    assert_eq!(image(&fetched, &settings()).as_deref(), Some("minio:test"));
}
