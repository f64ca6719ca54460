use serde_json::json;
use zonetide_crds::{PowerDnsVersion, Reason};

use super::*;
use crate::objectstore::{GivenRequest, SourceRequest};
use crate::testing::{MANAGED, S3, fetched, plan, secret, settings};

fn refused(fetched: &Fetched) -> ValidateError {
    match validate(fetched, &settings()) {
        Ok(plan) => plan.servers.expect_err("it is accepted"),
        Err(error) => error,
    }
}

#[test]
fn instance_ids_begin_with_eight_characters_of_the_kubernetes_cluster() {
    assert_eq!(plan(MANAGED).instance("tide-1"), "0a1b2c3d-shore-tide-1");
}

#[test]
fn a_given_site_replaces_them() {
    let plan = plan("{objectStore: {managed: {}}, replication: {site: berlin}}");
    assert_eq!(plan.instance("tide-1"), "berlin-shore-tide-1");
}

#[test]
fn the_managed_bucket_is_reached_through_the_stores_service() {
    let bucket = plan(MANAGED).bucket;
    assert_eq!(bucket.endpoint, "http://tide-garage.shore.svc:3900");
    assert_eq!(bucket.region, "garage");
    assert_eq!(bucket.prefix, "shore/tide/");
}

#[test]
fn the_operator_itself_goes_to_the_address_of_the_stores_pod() {
    let url = |ip: Option<&str>| match plan(MANAGED).source_request(ip.map(|ip| ip.parse().unwrap())) {
        SourceRequest::Garage(request) => request.admin_url,
        _ => panic!("no managed store"),
    };
    assert_eq!(url(Some("10.0.0.7")), "http://10.0.0.7:3903");
    assert_eq!(url(Some("fd00::7")), "http://[fd00::7]:3903");
    assert_eq!(url(None), "http://tide-garage.shore.svc:3903");
}

#[test]
fn a_given_bucket_and_its_prefix_are_used_as_given() {
    let spec = S3.replace("bucket: crater", "bucket: crater, prefix: some/where/");
    let bucket = plan(&spec).bucket;
    assert_eq!(bucket.endpoint, "http://s3.test:9000");
    assert_eq!((bucket.region.as_str(), bucket.name.as_str()), ("moon", "crater"));
    assert_eq!(bucket.prefix, "some/where/");
    let bare = plan(&S3.replace("bucket: crater", "bucket: crater, prefix: ''"));
    assert_eq!(bare.bucket.prefix, "");
}

#[test]
fn a_version_other_than_the_datas_leaves_the_servers_as_they_are_and_the_store_goes_on() {
    let mut changed = fetched("{objectStore: {managed: {}}, powerdns: {version: '5.1'}}");
    changed.cluster.status = Some(serde_json::from_value(json!({"powerdnsVersion": "4.9"})).unwrap());
    let plan = validate(&changed, &settings()).unwrap();
    let error = plan.servers.expect_err("another version");
    assert_eq!(error.reason(), Reason::InvalidSpec);
    assert_eq!(
        error.to_string(),
        "spec.powerdns.version is \"5.1\", but the servers' data are of PowerDNS 4.9, and this release does not move them: write \"4.9\", or remove the field"
    );
    changed.cluster.spec.powerdns.version = None;
    let plan = validate(&changed, &settings()).unwrap();
    assert!(plan.servers.is_ok());
    assert_eq!(plan.origin.version, PowerDnsVersion::V4_9);
}

#[test]
fn keys_are_read_from_the_named_secret_without_line_breaks() {
    let StorePlan::Given(GivenRequest { keys: Ok(keys), .. }) = plan(S3).store else {
        panic!("no keys")
    };
    assert_eq!(
        (keys.access_key_id.as_str(), keys.secret_access_key.expose()),
        ("id", "s")
    );
}

#[test]
fn a_missing_secret_is_the_stores_trouble_and_names_what_to_create() {
    let mut fetched = fetched(S3);
    fetched.secrets.given_credentials = None;
    let plan = validate(&fetched, &settings()).unwrap();
    let StorePlan::Given(GivenRequest { keys: Err(error), .. }) = plan.store else {
        panic!("keys from nowhere")
    };
    assert_eq!(error.reason(), Reason::SecretMissing);
    assert_eq!(
        error.to_string(),
        "the Secret moon-keys is missing: create it with the keys access-key-id and secret-access-key"
    );
}

#[test]
fn a_secret_without_the_key_names_the_key_and_the_field() {
    let mut fetched = fetched(S3);
    fetched.secrets.given_credentials = Some(secret(&[("access-key-id", "id"), ("secret-access-key", " ")]));
    let plan = validate(&fetched, &settings()).unwrap();
    let StorePlan::Given(GivenRequest { keys: Err(error), .. }) = plan.store else {
        panic!("keys from nowhere")
    };
    let text = error.to_string();
    assert!(text.contains("moon-keys has no key secret-access-key"), "{text}");
    assert!(text.contains("secretRef.secretAccessKeyKey"), "{text}");
}

#[test]
fn an_api_key_is_made_once_and_kept() {
    let first = plan(MANAGED).servers.unwrap().api_key;
    assert!(first.expose().len() >= 32);
    assert_ne!(first, plan(MANAGED).servers.unwrap().api_key);

    let mut fetched = fetched(MANAGED);
    fetched.secrets.api_key = Some(secret(&[("api-key", "made-before")]));
    assert_eq!(
        validate(&fetched, &settings())
            .unwrap()
            .servers
            .unwrap()
            .api_key
            .expose(),
        "made-before"
    );
}

#[test]
fn the_peers_token_is_made_once_and_kept_with_the_lines_that_somebody_adds() {
    let first = plan(MANAGED).servers.unwrap().peers_token;
    assert_eq!(first.expose().len(), 64);
    assert_ne!(first, plan(MANAGED).servers.unwrap().peers_token);

    let mut fetched = fetched(MANAGED);
    // While a token is changed by hand there are two.
    fetched.secrets.peers = Some(secret(&[("token", "made-before\nthe-next-one\n")]));
    assert_eq!(
        validate(&fetched, &settings())
            .unwrap()
            .servers
            .unwrap()
            .peers_token
            .expose(),
        "made-before\nthe-next-one"
    );
    fetched.secrets.peers = Some(secret(&[("token", "\n")]));
    assert_eq!(
        refused(&fetched).to_string(),
        "the Secret tide-peers has lost its key token: delete it, another one is made"
    );
}

#[test]
fn the_stores_secrets_are_kept_too() {
    let mut fetched = fetched(MANAGED);
    fetched.secrets.garage = Some(secret(&[("rpc-secret", "one"), ("admin-token", "two")]));
    let StorePlan::Garage {
        rpc_secret,
        admin_token,
        ..
    } = validate(&fetched, &settings()).unwrap().store
    else {
        panic!("no managed store")
    };
    assert_eq!((rpc_secret.expose(), admin_token.expose()), ("one", "two"));
}

#[test]
fn a_secret_of_ours_that_lost_its_key_is_not_replaced_in_silence() {
    let mut fetched = fetched(MANAGED);
    fetched.secrets.api_key = Some(secret(&[("something", "else")]));
    let error = refused(&fetched);
    assert_eq!(
        error.to_string(),
        "the Secret tide-api-key has lost its key api-key: delete it, another one is made"
    );
}

#[test]
fn a_given_api_key_must_be_there_and_fit_on_a_line() {
    const SPEC: &str = "{objectStore: {managed: {}}, powerdns: {apiKeySecretRef: {name: mine, key: k}}}";
    let mut fetched = fetched(SPEC);
    let error = refused(&fetched);
    assert_eq!(error.reason(), Reason::SecretMissing);
    assert!(error.to_string().contains("the Secret mine"), "{error}");

    for bad in [
        "",
        "short",
        "with a blank in it",
        "with#number-sign",
        "two\nlines-of-text",
    ] {
        fetched.secrets.given_api_key = Some(secret(&[("k", bad)]));
        assert!(
            matches!(refused(&fetched), ValidateError::ApiKeyUnusable { .. }),
            "{bad:?}"
        );
    }
    fetched.secrets.given_api_key = Some(secret(&[("k", "correct-horse\n")]));
    assert_eq!(
        validate(&fetched, &settings())
            .unwrap()
            .servers
            .unwrap()
            .api_key
            .expose(),
        "correct-horse"
    );
}

#[test]
fn a_value_that_powerdns_would_read_otherwise_is_refused_with_its_setting_also_in_objects_older_than_the_rule()
 {
    for (config, expected) in [
        (
            r#"{dnsupdate: "yes\\"}"#,
            "the value of dnsupdate in spec.powerdns.config must not end with a backslash",
        ),
        (
            r#"{version-string: "served by #1"}"#,
            "the value of version-string in spec.powerdns.config must not have a # after a blank",
        ),
    ] {
        let spec = format!("{{objectStore: {{managed: {{}}}}, powerdns: {{config: {config}}}}}");
        let error = refused(&fetched(&spec));
        assert_eq!(error.reason(), Reason::InvalidSpec);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn an_api_key_that_powerdns_would_read_otherwise_is_refused_given_or_made_and_not_shown() {
    const SPEC: &str = "{objectStore: {managed: {}}, powerdns: {apiKeySecretRef: {name: mine, key: k}}}";
    for (key, reason) in [
        ("correct-horse\\", "must not end with a backslash"),
        ("correct-horse+=", "must not have +="),
    ] {
        let mut given = fetched(SPEC);
        given.secrets.given_api_key = Some(secret(&[("k", key)]));
        let mut own = fetched(MANAGED);
        own.secrets.api_key = Some(secret(&[("api-key", key)]));
        for (fetched, which) in [(&given, "mine under k"), (&own, "tide-api-key under api-key")] {
            let error = refused(fetched);
            assert_eq!(error.reason(), Reason::SecretMissing);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("the API key in the Secret {which} {reason}")),
                "{text}"
            );
            assert!(!text.contains("horse"), "{text}");
        }
    }
}

#[test]
fn a_setting_cannot_smuggle_in_another_one() {
    for (config, expected) in [
        ("{\"default-ttl=1\\nlaunch\": x}", "names have only a-z"),
        ("{default-ttl: \"1\\nlaunch=bind\"}", "must not have line breaks"),
        ("{launch: bind}", "must not set launch"),
        ("{\"allow-axfr-ips+\": x}", "names have only a-z"),
    ] {
        let spec = format!("{{objectStore: {{managed: {{}}}}, powerdns: {{config: {config}}}}}");
        let error = refused(&fetched(&spec));
        assert_eq!(error.reason(), Reason::InvalidSpec);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
