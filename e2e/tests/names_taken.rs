//! Promise: an object that has a name which the operator would give, and is somebody else's, stays as it is, whoever makes a
//! DnsCluster; a condition names it, and the DnsCluster goes on once it is gone.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::{Bench, Handle, manifest, readiness};
use zonetide_testbed::eventually;

/// For a condition to follow what was done: the operator retries in growing steps, and a store starts before servers do.
const NOTICED: Duration = Duration::from_mins(3);

async fn refused(cluster: &Handle, named: &str) {
    let what = format!("{named} is in the way");
    let message = eventually(NOTICED, &what, async || {
        let object = cluster.get().await.map_err(|error| error.to_string())?;
        let condition = readiness::expect(&object, ConditionType::Ready, "False")?;
        if condition.reason == Reason::ReconcileFailed.as_str() && condition.message.contains(named) {
            Ok(condition.message)
        } else {
            Err(readiness::summary(&object))
        }
    })
    .await;
    eprintln!("{message}");
    assert!(message.contains("remove it if it is not needed"), "{message}");
}

/// An object of somebody else, which is in the way.
struct Stranger<K> {
    api: Api<K>,
    name: String,
    version: Option<String>,
}

impl<K> Stranger<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    async fn make(bench: &Bench, name: &str, mut object: Value) -> Self {
        let api: Api<K> = Api::namespaced(bench.client.clone(), &bench.namespace);
        object["metadata"] = json!({"name": name});
        let object = serde_json::from_value(object).unwrap();
        let made = api.create(&PostParams::default(), &object).await.unwrap();
        Self {
            api,
            name: name.to_owned(),
            version: made.resource_version(),
        }
    }

    /// Nobody has written to it.
    async fn goes(self) {
        let found = self.api.get_metadata(&self.name).await.unwrap();
        assert_eq!(found.resource_version(), self.version);
        self.api
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn objects_of_others_are_left_alone_and_named_until_they_are_gone() {
    Bench::run("names-taken", async |bench| {
        let secret: Stranger<Secret> =
            Stranger::make(bench, "dns-api-key", json!({"stringData": {"api-key": "theirs"}})).await;
        let service: Stranger<Service> =
            Stranger::make(bench, "dns-dns", json!({"spec": {"ports": [{"port": 80}]}})).await;
        let cluster = bench.apply("dns", &manifest::managed(1)).await;
        refused(&cluster, "Secret dns-api-key was there before").await;
        secret.goes().await;
        refused(&cluster, "Service dns-dns was there before").await;
        service.goes().await;
        await_ready(&cluster).await;
    })
    .await;
}
