use crate::{
    objectstore::{SourceRequest, StoreError},
    reconcile::{plan::Plan, validate::validate},
    testing::{S3, fetched, plan, secret, settings},
};
use jiff::SignedDuration;

const GARAGE: &str = "{objectStore: {s3: {endpoint: 'http://garage.test:3900', region: garage, bucket: crater, createBucket: true, \
                      credentials: {garage: {adminEndpoint: 'http://garage.test:3903/', tokenSecretRef: {name: moon}, keyLifetime: 2h}}}}}";
const R2: &str = "{objectStore: {s3: {endpoint: 'https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com', region: auto, bucket: crater, \
                  credentials: {r2: {accountId: 0123456789abcdef0123456789abcdef, tokenSecretRef: {name: moon, key: api}}}}}}";

fn planned(spec: &str, admin: Option<&[(&str, &str)]>) -> Plan {
    let mut fetched = fetched(spec);
    fetched.secrets.admin = admin.map(secret);
    validate(&fetched, &settings()).unwrap()
}

#[test]
fn the_keys_of_an_existing_garage_have_a_name_that_no_other_cluster_has() {
    let SourceRequest::Garage(request) = planned(GARAGE, Some(&[("token", "t\n")])).source_request(None)
    else {
        panic!("no request to Garage")
    };
    assert_eq!(request.key_name, "zonetide shore/tide 0a1b2c3d");
    assert_eq!(request.admin_url, "http://garage.test:3903");
    assert_eq!(request.admin_token.expose(), "t");
    assert_eq!(request.key_lifetime, SignedDuration::from_hours(2));
    assert!(request.create_bucket && !request.managed);
    assert_eq!(request.bucket.prefix, "shore/tide/");
}

#[test]
fn cloudflares_token_goes_where_the_operator_was_told_to_send_it() {
    let SourceRequest::R2(request) = planned(R2, Some(&[("api", "t")])).source_request(None) else {
        panic!("no request to Cloudflare")
    };
    assert_eq!(request.api_url, "http://cloudflare.test/v4");
    assert_eq!(request.account, "0123456789abcdef0123456789abcdef");
    assert_eq!(request.key_lifetime, SignedDuration::from_hours(24));
    assert!(!request.create_bucket);
}

#[test]
fn a_missing_token_is_the_stores_trouble_and_names_what_to_create() {
    for (spec, key) in [(GARAGE, "token"), (R2, "api")] {
        let SourceRequest::Unusable { error, .. } = planned(spec, None).source_request(None) else {
            panic!("a token from nowhere")
        };
        assert_eq!(
            error,
            StoreError::TokenMissing {
                name: "moon".into(),
                key: key.into()
            }
        );
        assert_eq!(error.reason().as_str(), "SecretMissing");
        let SourceRequest::Unusable { error, .. } = planned(spec, Some(&[(key, " ")])).source_request(None)
        else {
            panic!("a token of blanks")
        };
        assert!(
            error.to_string().contains(&format!("has no key {key}"))
                && error.to_string().contains("tokenSecretRef.key"),
            "{error}"
        );
    }
}

#[test]
fn keys_of_one_source_are_of_no_use_to_another() {
    let ids = [
        planned(GARAGE, None).source_id(),
        planned(GARAGE, Some(&[("token", "t")])).source_id(),
        planned(R2, None).source_id(),
    ];
    assert_eq!(ids[0], ids[1], "a token that comes later makes no other keys");
    assert_ne!(ids[0], ids[2]);
}

const CA: &str = include_str!("../../../agent/tests/tls/ca.pem");

fn with_ca(spec: &str, ca: Option<&[(&str, &str)]>) -> Result<Option<String>, StoreError> {
    let spec = spec
        .replace("http://", "https://")
        .replace("bucket: crater", "bucket: crater, caSecretRef: {name: moon-ca}");
    let mut fetched = fetched(&spec);
    fetched.secrets.ca = ca.map(secret);
    let ca = validate(&fetched, &settings()).unwrap().ca?;
    Ok(ca.map(|ca| ca.pem().to_owned()))
}

#[test]
fn the_stores_authority_is_read_from_the_named_secret_and_what_is_wrong_with_it_said() {
    assert_eq!(plan(S3).ca, Ok(None));
    let right = with_ca(S3, Some(&[("ca.crt", CA)])).unwrap();
    assert_eq!(right.as_deref(), Some(CA.trim()));
    for (secret, parts) in [
        (None, ["the Secret moon-ca is missing", "with the key ca.crt"]),
        (
            Some([("tls.crt", CA)].as_slice()),
            ["the Secret moon-ca has no key ca.crt", "caSecretRef.key"],
        ),
        (
            Some([("ca.crt", "moon")].as_slice()),
            ["ca.crt in the Secret moon-ca", "in PEM"],
        ),
    ] {
        let error = with_ca(S3, secret).unwrap_err();
        assert_eq!(error.reason().as_str(), "SecretMissing");
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_token_of_another_namespace_does_not_go_to_whom_only_an_own_authority_vouches_for() {
    let ca = [("ca.crt", CA)];
    assert!(with_ca(GARAGE, Some(&ca)).is_ok());
    let own = GARAGE.replace("{name: moon}", "{name: moon, namespace: shore}");
    assert!(with_ca(&own, Some(&ca)).is_ok());
    let foreign = GARAGE.replace("{name: moon}", "{name: moon, namespace: stores}");
    assert_eq!(with_ca(&foreign, Some(&ca)), Err(StoreError::CaNotGranted));
    assert_eq!(StoreError::CaNotGranted.reason().as_str(), "NotGranted");
}

#[test]
fn a_token_of_another_namespace_does_not_go_through_a_proxy_of_the_specs_choice() {
    let through = |spec: &str, token: &str| {
        let spec = spec
            .replace(
                "bucket: crater",
                "bucket: crater, proxy: 'http://proxy.test:3128'",
            )
            .replace("{name: moon", &format!("{{name: moon{token}"));
        validate(&fetched(&spec), &settings()).unwrap().proxy
    };
    for spec in [GARAGE, R2] {
        for own in ["", ", namespace: shore"] {
            assert!(through(spec, own).unwrap().is_some());
        }
        let foreign = through(spec, ", namespace: stores");
        assert_eq!(foreign, Err(StoreError::ProxyNotGranted));
    }
    assert_eq!(StoreError::ProxyNotGranted.reason().as_str(), "NotGranted");
}
