//! Promise: an admin's Secret of another namespace is used only if it says so itself, for servers and buckets that it names;
//! whoever may only make DnsClusters does not learn whether it exists, and it is picked up as soon as it allows it.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::{Bench, Handle, readiness};
use zonetide_testbed::eventually;

const NOTICED: Duration = Duration::from_mins(2);

/// The admin's side: a Garage of its own, in a namespace of its own.
struct Admin<'a> {
    bench: &'a Bench,
    s3: String,
    api: String,
    token: String,
}

impl Admin<'_> {
    async fn put(&self, annotations: &[(&str, &str)]) {
        let annotate = |(key, value): &(&str, &str)| (format!("zonetide.dev/{key}"), (*value).to_owned());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("admin".to_owned()),
                annotations: Some(annotations.iter().map(annotate).collect()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(
                "token".to_owned(),
                ByteString(self.token.clone().into_bytes()),
            )])),
            ..Secret::default()
        };
        let params = PatchParams::apply("zonetide-e2e").force();
        self.secrets()
            .patch("admin", &params, &Patch::Apply(&secret))
            .await
            .unwrap();
    }

    async fn remove(&self) {
        self.secrets()
            .delete("admin", &DeleteParams::default())
            .await
            .unwrap();
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.bench.client.clone(), &self.bench.namespace)
    }

    fn spec(&self, bucket: &str) -> Value {
        json!({
            "replicas": 1,
            "storage": {"size": "256Mi"},
            "objectStore": {"s3": {
                "endpoint": self.s3,
                "region": "garage",
                "bucket": bucket,
                "createBucket": true,
                "credentials": {"garage": {
                    "adminEndpoint": self.api,
                    "tokenSecretRef": {"name": "admin", "namespace": self.bench.namespace},
                }},
            }},
        })
    }
}

async fn refused(cluster: &Handle) -> String {
    let what = format!("{} is not granted", cluster.name);
    let condition = eventually(NOTICED, &what, async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let condition = readiness::expect(&object, ConditionType::ObjectStoreReady, "False")?;
        if condition.reason == Reason::NotGranted.as_str() {
            Ok(condition)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
    eprintln!("{}", condition.message);
    condition.message
}

#[tokio::test]
async fn a_secret_of_another_namespace_is_used_by_grant_only_and_opens_only_what_is_the_namespaces() {
    Bench::run("grants-admin", async |stores| {
        let store = stores.managed("store", 1).await;
        let status = store.get().await.unwrap().status.unwrap().object_store.unwrap();
        let admin = Admin {
            bench: stores,
            api: status.endpoint.replace(":3900", ":3903"),
            s3: status.endpoint,
            token: store.secret_value("store-garage", "admin-token").await.unwrap(),
        };
        Bench::run("grants-user", async |user| {
            let own = format!("{}.zones", user.namespace);
            let cluster = user.apply("dns", &admin.spec(&own)).await;
            let missing = refused(&cluster).await;
            admin.put(&[("allowed-namespaces", "others")]).await;
            assert_eq!(
                refused(&cluster).await,
                missing,
                "it tells whether there is such a Secret"
            );

            let everything = [
                ("allowed-namespaces", user.namespace.as_str()),
                ("allowed-endpoints", &admin.api),
            ];
            admin.put(&everything).await;
            await_ready(&cluster).await;

            // The bucket of the store's own cluster, and its name.
            let theirs = user.apply("theirs", &admin.spec(&status.bucket)).await;
            refused(&theirs).await;
            // A server of somebody's own.
            let mut elsewhere = admin.spec(&own);
            elsewhere["objectStore"]["s3"]["credentials"]["garage"]["adminEndpoint"] =
                json!(format!("http://evil.{}.svc:3903", user.namespace));
            let elsewhere = user.apply("elsewhere", &elsewhere).await;
            refused(&elsewhere).await;

            admin.remove().await;
            refused(&cluster).await;
            admin.put(&everything).await;
            await_ready(&cluster).await;

            // Its keys are ended with it: that needs the Secret.
            for handle in [&theirs, &elsewhere, &cluster] {
                handle.delete().await.unwrap();
                let what = format!("{} is gone", handle.name);
                eventually(Duration::from_mins(5), &what, async || {
                    match handle.clusters().get_opt(&handle.name).await {
                        Ok(None) => Ok(()),
                        other => Err(format!("{other:?}")),
                    }
                })
                .await;
            }
        })
        .await;
    })
    .await;
}
