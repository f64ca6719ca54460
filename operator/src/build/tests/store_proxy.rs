use super::*;
use crate::{objectstore::StoreProxy, reconcile::plan::Plan};

/// The plan of an operator that was installed with a proxy.
fn behind(spec: &str, url: &str) -> Plan {
    let mut settings = crate::testing::settings();
    settings.store_proxy = StoreProxy::parse(url, ".svc,.moon.test");
    crate::reconcile::validate::validate(&crate::testing::fetched(spec), &settings).unwrap()
}

fn variables(resources: &ServerResources<Prepared>) -> Vec<(String, String)> {
    let template = &resources.stateful_set.spec.as_ref().unwrap().template;
    let pod = template.spec.as_ref().unwrap();
    let all = agent_of(pod).env.clone().unwrap();
    let proxies = all
        .into_iter()
        .filter(|variable| variable.name.ends_with("_PROXY"));
    proxies
        .map(|variable| {
            let secret = variable.value_from.and_then(|from| from.secret_key_ref);
            let from = secret.map(|secret| format!("{}/{}", secret.name, secret.key));
            (variable.name, from.or(variable.value).unwrap())
        })
        .collect()
}

#[test]
fn the_agent_has_the_stores_proxy_in_its_environment_out_of_a_secret_and_another_one_replaces_the_servers() {
    let one = built_servers(&behind(S3, "http://tide:hush@proxy.test:3128"));
    let pairs = [
        ("HTTP_PROXY", "tide-peers/store-proxy"),
        ("HTTPS_PROXY", "tide-peers/store-proxy"),
        ("NO_PROXY", ".svc,.moon.test"),
    ];
    assert_eq!(
        variables(&one),
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let data = one.peers_token.data.as_ref().unwrap();
    assert_eq!(data["store-proxy"].0, b"http://tide:hush@proxy.test:3128");
    let open = serde_json::to_string(&(&one.stateful_set, &one.config)).unwrap();
    assert!(!open.contains("hush"), "{open}");
    let other = built_servers(&behind(S3, "http://tide:ebb@proxy.test:3128"));
    assert_ne!(checksum_of(&one), checksum_of(&other));
}

#[test]
fn a_store_of_the_operators_own_is_never_behind_a_proxy_and_a_spec_goes_before_the_operator() {
    let proxy = "http://proxy.test:3128";
    let spec = |own: &str| S3.replace("bucket: crater", &format!("bucket: crater, proxy: '{own}'"));
    for direct in [
        behind(MANAGED, proxy),
        behind(crate::testing::MANAGED_MINIO, proxy),
        behind(&spec("none"), proxy),
        plan(S3),
    ] {
        let resources = built_servers(&direct);
        assert!(variables(&resources).is_empty() && direct.proxy == Ok(None));
        assert_eq!(resources.peers_token.data.unwrap().len(), 1);
    }
    let own = built_servers(&behind(&spec("http://own.test:8080/"), proxy));
    assert_eq!(
        own.peers_token.data.as_ref().unwrap()["store-proxy"].0,
        b"http://own.test:8080"
    );
    let exceptions = variables(&own).pop().unwrap();
    assert_eq!(
        exceptions,
        ("NO_PROXY".to_owned(), String::new()),
        "those are the operator's"
    );
}
