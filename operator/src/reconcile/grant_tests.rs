use serde_json::json;

use super::*;

const S3: &str = "https://s3.store.test:9000";
const STS: &str = "https://sts.store.test";
const SECRET: (&str, &str) = ("stores", "admin");

fn bucket(name: &str, prefix: &str) -> Bucket {
    Bucket {
        path_style: true,
        endpoint: S3.into(),
        region: "moon".into(),
        name: name.into(),
        prefix: format!("{prefix}/schema-5/"),
    }
}

fn annotated(annotations: &[(&str, &str)]) -> Foreign {
    let mut object = json!({"metadata": {"annotations": {}}});
    for (key, value) in annotations {
        object["metadata"]["annotations"][format!("zonetide.dev/{key}")] = json!(value);
    }
    Foreign::Found(serde_json::from_value(object).unwrap())
}

fn both() -> String {
    format!("{S3}, {STS}")
}

/// With a source whose keys open a prefix.
fn by_prefix(foreign: &Foreign, bucket: &Bucket) -> Result<(), StoreError> {
    let wanted = Wanted {
        namespace: "shore",
        endpoints: vec![S3, STS],
        account: None,
        bucket,
        scope: Scope::Prefix,
    };
    allowed(foreign, SECRET, &wanted).map(drop)
}

/// With a source whose keys open a whole bucket.
fn by_bucket(foreign: &Foreign, bucket: &str) -> Result<(), StoreError> {
    let wanted = Wanted {
        namespace: "shore",
        endpoints: vec!["http://garage.store.test:3903/"],
        account: None,
        bucket: &self::bucket(bucket, "any"),
        scope: Scope::Bucket,
    };
    allowed(foreign, SECRET, &wanted).map(drop)
}

fn tide() -> Bucket {
    bucket("crater", "shore/tide")
}

#[test]
fn a_secret_that_names_the_namespace_and_every_endpoint_is_allowed() {
    let secret = annotated(&[
        ("allowed-namespaces", "beach, shore"),
        ("allowed-endpoints", &both()),
    ]);
    assert_eq!(by_prefix(&secret, &tide()), Ok(()));
}

#[test]
fn a_star_allows_every_namespace_but_no_endpoint() {
    let every = annotated(&[("allowed-namespaces", "*"), ("allowed-endpoints", &both())]);
    assert_eq!(by_prefix(&every, &tide()), Ok(()));
    let anywhere = annotated(&[("allowed-namespaces", "*"), ("allowed-endpoints", "*")]);
    assert!(by_prefix(&anywhere, &tide()).is_err());
}

#[test]
fn each_missing_part_of_a_grant_is_refused() {
    for annotations in [
        &[][..],
        &[("allowed-endpoints", both().as_str())],
        &[("allowed-namespaces", "shore")],
        &[("allowed-namespaces", "shore"), ("allowed-endpoints", S3)],
        &[("allowed-namespaces", "shore"), ("allowed-endpoints", STS)],
        &[("allowed-namespaces", "shores"), ("allowed-endpoints", &both())],
        &[("allowed-namespaces", "sh*"), ("allowed-endpoints", &both())],
        &[("allowed-namespaces", ""), ("allowed-endpoints", &both())],
        &[
            ("allowed-namespaces", "shore"),
            ("allowed-endpoints", &both()),
            ("allowed-buckets", "others"),
        ],
    ] {
        assert!(
            by_prefix(&annotated(annotations), &tide()).is_err(),
            "{annotations:?}"
        );
    }
}

#[test]
fn an_endpoint_is_another_one_with_another_port_scheme_or_a_longer_name() {
    for near in [
        "https://s3.store.test",
        "http://s3.store.test:9000",
        "https://s3.store.test:9000.evil.test",
        "https://s3.store.test:90",
    ] {
        let secret = annotated(&[
            ("allowed-namespaces", "shore"),
            ("allowed-endpoints", &format!("{near},{STS}")),
        ]);
        assert!(by_prefix(&secret, &tide()).is_err(), "{near}");
    }
    let other_case = format!("HTTPS://S3.store.test:9000/,{STS}/");
    let secret = annotated(&[
        ("allowed-namespaces", "shore"),
        ("allowed-endpoints", &other_case),
    ]);
    assert_eq!(by_prefix(&secret, &tide()), Ok(()));
}

#[test]
fn a_missing_secret_and_one_that_does_not_allow_it_get_the_same_answer() {
    let missing = by_prefix(&Foreign::Missing, &tide()).unwrap_err();
    let others = annotated(&[("allowed-namespaces", "beach"), ("allowed-endpoints", &both())]);
    assert_eq!(by_prefix(&others, &tide()).unwrap_err(), missing);
    assert_eq!(missing.reason().as_str(), "NotGranted");
    let text = missing.to_string();
    for named in [
        "stores/admin",
        "allowed-namespaces with shore",
        &format!("allowed-endpoints with {S3},{STS}"),
    ] {
        assert!(text.contains(named), "{text}");
    }
    assert_eq!(
        by_bucket(&Foreign::Missing, "crater"),
        by_bucket(&annotated(&[("allowed-namespaces", "shore")]), "crater"),
    );
}

#[test]
fn with_keys_to_a_prefix_that_lies_under_the_namespace_by_whole_parts() {
    let secret = annotated(&[("allowed-namespaces", "*"), ("allowed-endpoints", &both())]);
    for prefix in ["shore/tide", "shore", "shore/a/b/c"] {
        assert_eq!(by_prefix(&secret, &bucket("crater", prefix)), Ok(()), "{prefix}");
    }
    for prefix in [
        "beach/tide",
        "shores/tide",
        "shore-2/tide",
        "shor",
        "a/shore/tide",
        "shore/../beach/tide",
        "shore/./tide",
        "shore//tide",
        "SHORE/tide",
    ] {
        let error = by_prefix(&secret, &bucket("crater", prefix)).unwrap_err();
        assert_eq!(error.reason().as_str(), "NotGranted", "{prefix}");
        assert!(error.to_string().contains("must lie under shore/"), "{error}");
    }
}

#[test]
fn the_answer_to_a_foreign_prefix_does_not_depend_on_the_secret() {
    let elsewhere = bucket("crater", "beach/tide");
    let granted = annotated(&[("allowed-namespaces", "*"), ("allowed-endpoints", &both())]);
    assert_eq!(
        by_prefix(&granted, &elsewhere),
        by_prefix(&Foreign::Missing, &elsewhere)
    );
}

#[test]
fn with_keys_to_a_bucket_it_is_named_after_the_namespace_or_named_by_the_secret() {
    let url = "http://garage.store.test:3903";
    let plain = annotated(&[("allowed-namespaces", "*"), ("allowed-endpoints", url)]);
    for own in ["shore.zones", "shore.a.b"] {
        assert_eq!(by_bucket(&plain, own), Ok(()), "{own}");
    }
    for other in [
        "crater",
        "beach.zones",
        "shore",
        "shore-zones",
        "shores.zones",
        "a.shore.b",
    ] {
        assert!(by_bucket(&plain, other).is_err(), "{other}");
    }
    let naming = |buckets: &str| {
        annotated(&[
            ("allowed-namespaces", "*"),
            ("allowed-endpoints", url),
            ("allowed-buckets", buckets),
        ])
    };
    assert_eq!(by_bucket(&naming("crater, valley"), "crater"), Ok(()));
    assert_eq!(by_bucket(&naming("*"), "crater"), Ok(()));
    assert!(by_bucket(&naming("crate"), "crater").is_err());
    assert!(
        by_bucket(&naming("crater"), "shore.zones").is_err(),
        "a list is all that is allowed"
    );
    assert!(by_bucket(&naming(""), "shore.zones").is_err());
}

#[test]
fn an_account_must_be_named_and_no_endpoint_is_asked_for_where_none_is_of_the_specs_choice() {
    let (account, other) = (
        "0123456789abcdef0123456789abcdef",
        "ffffffffffffffffffffffffffffffff",
    );
    let bucket = tide();
    let wanted = Wanted {
        namespace: "shore",
        endpoints: vec![],
        account: Some(account),
        bucket: &bucket,
        scope: Scope::Prefix,
    };
    let with = |account: &str| annotated(&[("allowed-namespaces", "shore"), ("allowed-accounts", account)]);
    assert!(allowed(&with(account), SECRET, &wanted).is_ok());
    let error = allowed(&with(other), SECRET, &wanted).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("allowed-accounts with {account}")),
        "{error}"
    );
    assert!(!error.to_string().contains("allowed-endpoints"), "{error}");
    assert!(allowed(&annotated(&[("allowed-namespaces", "shore")]), SECRET, &wanted).is_err());
}

#[test]
fn an_operator_for_one_namespace_says_that_it_cannot_read_others() {
    let error = by_prefix(&Foreign::Unreadable, &tide()).unwrap_err();
    assert_eq!(error.reason().as_str(), "NotGranted");
    assert!(error.to_string().contains("watchNamespace"), "{error}");
}
