//! A bucket that is somebody else's for the DnsClusters under test: that of another one's managed store.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::{Handle, names};

pub struct SharedBucket {
    pub endpoint: String,
    pub name: String,
    /// ID and secret.
    pub keys: [String; 2],
}

impl SharedBucket {
    /// That of a DnsCluster with a managed store, which is ready.
    pub async fn of(store: &Handle) -> Result<Self> {
        let status = store.get().await?.status.and_then(|status| status.object_store);
        let status = status.context("a DnsCluster that is ready names its bucket")?;
        let secret = names::object_store_secret(&store.name);
        Ok(Self {
            endpoint: status.endpoint,
            name: status.bucket,
            keys: [
                store.secret_value(&secret, "access-key-id").await?,
                store.secret_value(&secret, "secret-access-key").await?,
            ],
        })
    }

    /// A spec of one server in it, with the keys of this Secret.
    pub fn spec(&self, endpoint: &str, prefix: &str, secret: &str) -> Value {
        json!({
            "replicas": 1,
            "storage": {"size": "256Mi"},
            "objectStore": {"s3": {
                "endpoint": endpoint,
                "region": "garage",
                "bucket": self.name,
                "prefix": prefix,
                "credentials": {"secretRef": {"name": secret}},
            }},
        })
    }
}

/// Makes or changes a Secret with an access key, where the bench is.
pub async fn put_secret(bench: &Bench, name: &str, [id, key]: [&str; 2]) -> Result<()> {
    let value = |text: &str| ByteString(text.as_bytes().to_vec());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            ("access-key-id".to_owned(), value(id)),
            ("secret-access-key".to_owned(), value(key)),
        ])),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), &bench.namespace);
    secrets
        .patch(
            name,
            &PatchParams::apply("zonetide-e2e").force(),
            &Patch::Apply(&secret),
        )
        .await?;
    Ok(())
}
