//! Stores, buckets and prefixes.

use crate::helpers::{MANAGED, change_accepted, change_refused, cluster, refused, s3};

#[test]
fn a_full_s3_spec_is_accepted() {
    s3("endpoint: 'https://s3.example.com:9000', bucket: zones, prefix: a/b, region: auto, createBucket: true")
        .validate_cel()
        .unwrap();
}

#[test]
fn a_store_is_needed() {
    refused(&cluster("{objectStore: {}}"), "exactly one store: set managed");
}

#[test]
fn two_stores_are_one_too_many() {
    let both = "{objectStore: {managed: {}, s3: {endpoint: 'http://a', bucket: zones, credentials: {secretRef: {name: k}}}}}";
    refused(&cluster(both), "exactly one store: set managed");
}

#[test]
fn the_kind_of_store_cannot_change() {
    change_refused(
        &cluster(MANAGED),
        &s3("endpoint: 'http://a', bucket: zones"),
        "cannot change between managed and s3",
    );
}

#[test]
fn the_bucket_cannot_change() {
    change_refused(
        &s3("endpoint: 'http://a', bucket: zones"),
        &s3("endpoint: 'http://a', bucket: others"),
        "spec.objectStore.s3.bucket cannot change, the zones are in it: make a second DnsCluster",
    );
}

#[test]
fn the_prefix_cannot_change_appear_or_vanish() {
    let none = s3("endpoint: 'http://a', bucket: zones");
    let one = s3("endpoint: 'http://a', bucket: zones, prefix: one");
    let two = s3("endpoint: 'http://a', bucket: zones, prefix: two");
    for (old, new) in [(&none, &one), (&one, &none), (&one, &two)] {
        change_refused(old, new, "spec.objectStore.s3.prefix cannot change");
    }
    change_accepted(&one, &one);
}

#[test]
fn the_endpoint_may_move() {
    change_accepted(
        &s3("endpoint: 'http://a', bucket: zones"),
        &s3("endpoint: 'https://b', bucket: zones"),
    );
}

#[test]
fn an_endpoint_is_a_plain_http_url() {
    for endpoint in [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://key@s3.example.com",
        "https://a/bucket",
    ] {
        refused(
            &s3(&format!("endpoint: '{endpoint}', bucket: zones")),
            "must be a URL that starts with http:// or https://",
        );
    }
}

#[test]
fn what_the_operator_has_no_keys_for_cannot_be_removed_by_it() {
    let policy = |policy: &str, credentials: &str| {
        cluster(&format!(
            "{{objectStore: {{deletionPolicy: {policy}, s3: {{endpoint: 'http://a', bucket: zones, credentials: {credentials}}}}}}}"
        ))
    };
    let trusted = "{webIdentity: {roleArn: r}}";
    for destructive in ["DeleteObjects", "DeleteBucket"] {
        refused(
            &policy(destructive, trusted),
            "deletionPolicy must be Retain with credentials.webIdentity",
        );
        policy(destructive, "{secretRef: {name: k}}")
            .validate_cel()
            .unwrap();
    }
    policy("Retain", trusted).validate_cel().unwrap();
    change_accepted(
        &policy("DeleteBucket", "{secretRef: {name: k}}"),
        &policy("Retain", "{secretRef: {name: k}}"),
    );
}

#[test]
fn a_prefix_leads_nowhere_else() {
    for wrong in ["..", "a/../b", "./a", "a/."] {
        refused(
            &s3(&format!("endpoint: 'http://a', bucket: zones, prefix: '{wrong}'")),
            "must not have . or .. between slashes",
        );
    }
    s3("endpoint: 'http://a', bucket: zones, prefix: 'a..b/.c/d.'")
        .validate_cel()
        .unwrap();
}

#[test]
fn a_managed_store_has_one_node_or_three_of_garage_and_never_goes_back_to_one() {
    let nodes = |replicas: i32| cluster(&format!("{{objectStore: {{managed: {{replicas: {replicas}}}}}}}"));
    for good in [1, 3] {
        nodes(good).validate_cel().unwrap();
    }
    for bad in [0, 2, 4] {
        refused(&nodes(bad), "spec.objectStore.managed.replicas must be 1 or 3");
    }
    refused(
        &cluster("{objectStore: {managed: {replicas: 3, engine: MinIO}}}"),
        "spec.objectStore.managed.replicas must be 1 with engine MinIO",
    );
    change_accepted(&cluster(MANAGED), &nodes(3));
    for back in [nodes(1), cluster(MANAGED)] {
        change_refused(
            &nodes(3),
            &back,
            "spec.objectStore.managed.replicas cannot go from 3 to 1",
        );
    }
}

#[test]
fn the_engine_of_a_managed_store_is_chosen_once() {
    let engine = |engine: &str| cluster(&format!("{{objectStore: {{managed: {{engine: {engine}}}}}}}"));
    engine("MinIO").validate_cel().unwrap();
    change_refused(
        &engine("Garage"),
        &engine("MinIO"),
        "spec.objectStore.managed.engine cannot change, the zones are in its bucket",
    );
    change_accepted(&cluster(MANAGED), &engine("Garage"));
}

#[test]
fn a_private_authority_needs_tls_and_a_store_that_may_have_one() {
    let ca = "bucket: zones, caSecretRef: {name: moon-ca}";
    let https = s3(&format!("endpoint: 'https://s3.moon.test', {ca}"));
    https.validate_cel().unwrap();
    let s3_store = https.spec.object_store.s3.unwrap();
    assert_eq!(s3_store.ca_secret_ref.unwrap().key, "ca.crt");
    let plain = s3(&format!("endpoint: 'http://s3.moon.test', {ca}"));
    refused(&plain, "begins with https:// only");
    let r2 = cluster(&format!(
        "{{objectStore: {{s3: {{endpoint: 'https://s3.moon.test', {ca}, credentials: {{r2: {{accountId: 0123456789abcdef0123456789abcdef, tokenSecretRef: {{name: moon}}}}}}}}}}}}"
    ));
    refused(&r2, "everybody trusts Cloudflare's certificates");
}

#[test]
fn a_bucket_goes_into_the_name_of_the_host_only_where_it_makes_a_name() {
    let host_style = |endpoint: &str, bucket: &str| {
        s3(&format!(
            "endpoint: '{endpoint}', bucket: {bucket}, pathStyle: false"
        ))
    };
    let store = s3("endpoint: 'http://a', bucket: zones").spec.object_store.s3;
    assert!(store.unwrap().path_style);
    for endpoint in [
        "https://s3.moon.test",
        "http://s3.moon.test:9000/",
        "http://1.2.moon.test",
    ] {
        host_style(endpoint, "zones").validate_cel().unwrap();
    }
    s3("endpoint: 'http://192.0.2.1', bucket: zones.moon.test")
        .validate_cel()
        .unwrap();
    refused(
        &host_style("https://s3.moon.test", "zones.moon.test"),
        "pathStyle must be true with a dot in the name of the bucket",
    );
    for address in [
        "http://192.0.2.1",
        "http://192.0.2.1:9000/",
        "https://[2001:db8::1]:9000",
    ] {
        refused(
            &host_style(address, "zones"),
            "pathStyle must be true with an address in spec.objectStore.s3.endpoint",
        );
    }
}

#[test]
fn a_proxy_is_a_url_without_a_password_or_none() {
    let proxy = |proxy: &str| s3(&format!("endpoint: 'http://a', bucket: zones, proxy: '{proxy}'"));
    for right in ["none", "http://proxy.moon.test:3128", "https://192.0.2.1/"] {
        proxy(right).validate_cel().unwrap();
    }
    for wrong in [
        "direct",
        "proxy.moon.test:3128",
        "socks5://proxy.moon.test",
        "http://tide:hush@proxy.moon.test",
    ] {
        refused(&proxy(wrong), "spec.objectStore.s3.proxy must be none, or a URL");
    }
}
