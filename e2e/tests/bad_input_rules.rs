//! Promise: a spec that cannot work is refused by the API server with a message that says what to do instead. Every
//! rule of the installed schema is broken here on purpose: a rule without a case fails the test.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Error, ResourceExt};
use serde_json::{Value, json};
use zonetide_crds::{DnsCluster, DnsRestore, OWNED_SETTINGS, PAUSED_ANNOTATION};
use zonetide_e2e::{Bench, manifest};

#[tokio::test]
async fn every_rule_of_the_schema_refuses_with_its_message() {
    Bench::run("rules", async |bench| {
        let rules = messages_of_the_schema(bench, "dnsclusters").await;
        assert!(rules.len() > 20, "{rules:#?}");
        let clusters: Api<DynamicObject> = Api::namespaced_with(
            bench.client.clone(),
            &bench.namespace,
            &ApiResource::erase::<DnsCluster>(&()),
        );
        create(&clusters, &manifest::cluster("good", &manifest::managed(1)), true)
            .await
            .unwrap();

        let mut answers = Vec::new();
        for bad in bad_manifests() {
            answers.push(refusal(&bad, create(&clusters, &bad, true).await));
        }
        for base in [manifest::managed(1), three_nodes(), s3(), load_balancer()] {
            // Paused, so that the operator makes nothing of what is only here to be changed.
            let mut object = manifest::cluster("base", &base);
            manifest::merge(
                &mut object,
                &json!({"metadata": {"annotations": {PAUSED_ANNOTATION: "true"}}}),
            );
            create(&clusters, &object, false).await.unwrap();
            for change in bad_changes(&base) {
                let params = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                let patch = json!({"spec": change});
                answers.push(refusal(
                    &change,
                    clusters.patch("base", &params, &Patch::Merge(&patch)).await,
                ));
            }
            clusters
                .delete("base", &kube::api::DeleteParams::background())
                .await
                .unwrap();
        }

        all_are_seen(&rules, &answers);
    })
    .await;
}

#[tokio::test]
async fn every_rule_for_restores_refuses_with_its_message() {
    Bench::run("restore-rules", async |bench| {
        let rules = messages_of_the_schema(bench, "dnsrestores").await;
        assert_eq!(rules.len(), 2, "{rules:#?}");
        let restores: Api<DynamicObject> = Api::namespaced_with(
            bench.client.clone(),
            &bench.namespace,
            &ApiResource::erase::<DnsRestore>(&()),
        );
        let mut answers = Vec::new();
        for bad in [
            json!({}),
            json!({"zones": []}),
            json!({"all": false}),
            json!({"zones": ["a.example"], "all": true}),
        ] {
            let bad = restore(&bad);
            answers.push(refusal(&bad, create(&restores, &bad, true).await));
        }
        // Of a DnsCluster that is not there, so that nothing comes of it.
        create(&restores, &restore(&json!({"zones": ["a.example"]})), false)
            .await
            .unwrap();
        for change in [
            json!({"zones": ["b.example"]}),
            json!({"zones": null, "all": true}),
            json!({"at": "2026-11-30T10:00:01Z"}),
            json!({"cluster": "another"}),
            json!({"dryRun": true}),
            json!({"despiteGaps": true}),
        ] {
            let patch = json!({"spec": change});
            let answer = restores
                .patch("back", &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            answers.push(refusal(&change, answer));
        }
        all_are_seen(&rules, &answers);
    })
    .await;
}

fn restore(change: &Value) -> Value {
    let mut spec = json!({"cluster": "none", "at": "2026-11-30T10:00:00Z"});
    manifest::merge(&mut spec, change);
    json!({
        "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsRestore", "metadata": {"name": "back"}, "spec": spec,
    })
}

fn all_are_seen(rules: &BTreeSet<String>, answers: &[String]) {
    let unseen: Vec<&String> = rules
        .iter()
        .filter(|rule| !answers.iter().any(|answer| answer.contains(rule.as_str())))
        .collect();
    assert!(
        unseen.is_empty(),
        "rules whose message was never seen: {unseen:#?}\nanswers: {answers:#?}"
    );
}

async fn create(clusters: &Api<DynamicObject>, object: &Value, dry_run: bool) -> kube::Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    clusters
        .create(
            &PostParams {
                dry_run,
                ..PostParams::default()
            },
            &object,
        )
        .await
}

/// What the API server says against it. Each case must be refused by a rule, not by something else.
fn refusal(case: &Value, answer: kube::Result<DynamicObject>) -> String {
    match answer {
        Ok(accepted) => panic!("{case} was accepted as {}", accepted.name_any()),
        Err(Error::Api(status)) if status.code == 422 => status.message.clone(),
        Err(error) => panic!("{case}: {error}"),
    }
}

/// The messages of all rules of an installed definition.
async fn messages_of_the_schema(bench: &Bench, plural: &str) -> BTreeSet<String> {
    let definitions: Api<CustomResourceDefinition> = Api::all(bench.client.clone());
    let definition = definitions.get(&format!("{plural}.zonetide.dev")).await.unwrap();
    let mut messages = BTreeSet::new();
    collect(
        &serde_json::to_value(&definition.spec.versions[0].schema).unwrap(),
        &mut messages,
    );
    messages
}

fn collect(schema: &Value, messages: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    let rules = value.as_array().unwrap();
                    messages.extend(rules.iter().map(|rule| {
                        let message = rule["message"].as_str();
                        message
                            .unwrap_or_else(|| panic!("rule without a message: {rule}"))
                            .to_owned()
                    }));
                } else {
                    collect(value, messages);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, messages)),
        _ => {}
    }
}

fn s3() -> Value {
    json!({
        "replicas": 1,
        "storage": {"size": "256Mi"},
        "objectStore": {"s3": {
            "endpoint": "http://store:3900",
            "bucket": "zones",
            "prefix": "a",
            "credentials": {"secretRef": {"name": "keys"}},
        }},
    })
}

fn load_balancer() -> Value {
    let mut spec = manifest::managed(1);
    manifest::merge(
        &mut spec,
        &json!({"service": {"type": "LoadBalancer", "loadBalancerClass": "example.com/a"}}),
    );
    spec
}

fn bad_manifests() -> Vec<Value> {
    let good = manifest::managed(1);
    let changed = |change: Value| {
        let mut spec = good.clone();
        manifest::merge(&mut spec, &change);
        manifest::cluster("bad", &spec)
    };
    let mut bad = vec![
        manifest::cluster(&"long".repeat(11), &good),
        manifest::cluster("with.dot", &good),
        manifest::cluster("0digit", &good),
        changed(json!({"replicas": 0})),
        changed(json!({"objectStore": {"managed": null}})),
        changed(json!({"objectStore": s3()["objectStore"]})),
        changed(json!({"storage": {"size": "63Mi"}})),
        changed(json!({"service": {"loadBalancerClass": "example.com/a"}})),
        changed(json!({"service": {"externalTrafficPolicy": "Local"}})),
        changed(json!({"replication": {"site": "two-words"}})),
        changed(json!({"replication": {"pollInterval": "0s"}})),
        changed(json!({"replication": {"pollInterval": "soon"}})),
        changed(json!({"replication": {"fullSnapshotInterval": "1 h"}})),
        changed(json!({"history": {"keep": "1h"}})),
        changed(json!({"protection": {"maxDeletedZonesPerMinute": 0}})),
        changed(json!({"replication": {"serveStaleFor": "a week"}})),
    ];
    for endpoint in [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://s3.example.com/bucket",
        "https://key@s3",
    ] {
        let mut spec = s3();
        manifest::merge(&mut spec, &json!({"objectStore": {"s3": {"endpoint": endpoint}}}));
        bad.push(manifest::cluster("bad", &spec));
    }
    for change in bad_stores() {
        let mut spec = s3();
        manifest::merge(&mut spec, &json!({"objectStore": change}));
        bad.push(manifest::cluster("bad", &spec));
    }
    bad.push(changed(
        json!({"objectStore": {"managed": {"keyLifetime": "59s"}}}),
    ));
    for store in [json!({"replicas": 2}), json!({"replicas": 3, "engine": "MinIO"})] {
        bad.push(changed(json!({"objectStore": {"managed": store}})));
    }
    let exposed =
        |expose: Value| changed(json!({"objectStore": {"managed": {"engine": "MinIO", "expose": expose}}}));
    bad.push(exposed(json!({})));
    bad.push(exposed(json!({"s3": {"host": "s3"}})));
    bad.push(exposed(
        json!({"s3": {"host": "a.example.org"}, "console": {"host": "a.example.org"}}),
    ));
    bad.push(changed(
        json!({"objectStore": {"managed": {"expose": {"console": {"host": "a.example.org"}}}}}),
    ));
    for value in ["a\nb", "\u{b}", " a", "a\t", "a\\", "a #b", "a+=b"] {
        bad.push(changed(
            json!({"powerdns": {"config": {"version-string": value}}}),
        ));
    }
    for (setting, _) in OWNED_SETTINGS {
        bad.push(changed(json!({"powerdns": {"config": {*setting: "1"}}})));
    }
    bad
}

/// What is wrong with a bucket and its keys.
fn bad_stores() -> Vec<Value> {
    let s3 = |change: Value| json!({"s3": change});
    let keys = |change: Value| {
        let mut credentials = json!({"secretRef": null});
        manifest::merge(&mut credentials, &change);
        json!({"s3": {"credentials": credentials}})
    };
    let (admin, token) = (json!({"name": "admin"}), json!({"name": "token"}));
    let role = |change: Value| {
        let mut role = json!({"secretRef": admin});
        manifest::merge(&mut role, &change);
        keys(json!({"assumeRole": role}))
    };
    let garage = |change: Value| {
        let mut garage = json!({"adminEndpoint": "http://garage:3903", "tokenSecretRef": token});
        manifest::merge(&mut garage, &change);
        keys(json!({"garage": garage}))
    };
    let trusted = json!({"webIdentity": {"roleArn": "arn:aws:iam::123456789012:role/dns"}});
    let mut unremovable = keys(trusted.clone());
    unremovable["deletionPolicy"] = json!("DeleteObjects");
    let mut elsewhere = trusted;
    elsewhere["webIdentity"]["stsEndpoint"] = json!("sts.example.com");
    let mut known = keys(json!({"r2": {"accountId": "0123456789abcdef".repeat(2), "tokenSecretRef": token}}));
    let authority = json!({"s3": {"endpoint": "https://store:3900", "caSecretRef": {"name": "ca"}}});
    manifest::merge(&mut known, &authority);
    vec![
        s3(json!({"caSecretRef": {"name": "ca"}})),
        known,
        s3(json!({"prefix": "a/../b"})),
        s3(json!({"pathStyle": false, "bucket": "with.dot"})),
        s3(json!({"pathStyle": false, "endpoint": "http://10.0.0.1:9000"})),
        s3(json!({"proxy": "proxy.example.com:3128"})),
        s3(json!({"credentials": {"assumeRole": {"secretRef": admin}}})),
        keys(json!({})),
        role(json!({"keyLifetime": "14m"})),
        role(json!({"keyLifetime": "13h"})),
        role(json!({"stsEndpoint": "sts.example.com"})),
        garage(json!({"adminEndpoint": "http://garage:3903/v2"})),
        garage(json!({"keyLifetime": "30s"})),
        keys(
            json!({"r2": {"accountId": "0123456789abcdef".repeat(2), "tokenSecretRef": token, "keyLifetime": "169h"}}),
        ),
        keys(json!({"webIdentity": {}})),
        keys(elsewhere),
        unremovable,
    ]
}

fn three_nodes() -> Value {
    let mut spec = manifest::managed(1);
    manifest::merge(&mut spec, &json!({"objectStore": {"managed": {"replicas": 3}}}));
    spec
}

/// Changes that the rules refuse once an object with this spec exists.
fn bad_changes(base: &Value) -> Vec<Value> {
    if base["objectStore"]["s3"].is_object() {
        return vec![
            json!({"objectStore": {"s3": {"bucket": "other"}}}),
            json!({"objectStore": {"s3": {"prefix": "b"}}}),
            json!({"objectStore": {"s3": {"prefix": null}}}),
            json!({"objectStore": {"s3": null, "managed": {}}}),
        ];
    }
    if base["objectStore"]["managed"]["replicas"] == 3 {
        return vec![json!({"objectStore": {"managed": {"replicas": 1}}})];
    }
    if base["service"].is_object() {
        return vec![json!({"service": {"loadBalancerClass": "example.com/b"}})];
    }
    vec![
        json!({"objectStore": {"managed": null, "s3": s3()["objectStore"]["s3"]}}),
        json!({"objectStore": {"managed": {"storage": {"size": "1Gi"}}}}),
        json!({"objectStore": {"managed": {"storage": {"storageClassName": "other"}}}}),
        json!({"objectStore": {"managed": {"engine": "MinIO"}}}),
        json!({"storage": {"size": "1Gi"}}),
        json!({"storage": {"storageClassName": "other"}}),
        json!({"replication": {"site": "other"}}),
    ]
}
