//! Promise: where the store trusts the pods' service account there are no keys: servers share the bucket, and whoever has
//! another service account is not let in.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use zonetide_crds::{ConditionType, Reason};
use zonetide_e2e::answers::{self, address};
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::trusting_minio::{TrustingMinio, policy};
use zonetide_e2e::{Bench, contact, names, readiness};
use zonetide_testbed::eventually;

const ZONE: &str = "trusted.example.";
const RECORDS: u8 = 5;
const AUDIENCE: &str = "minio";
const BUCKET: &str = "zones";
/// For the operator to look at an agent that has tried for a while.
const NOTICED: Duration = Duration::from_mins(2);

fn spec(minio: &TrustingMinio, replicas: i32) -> Value {
    json!({
        "replicas": replicas,
        "storage": {"size": "256Mi"},
        "objectStore": {"s3": {
            "endpoint": minio.endpoint(),
            "bucket": BUCKET,
            "credentials": {"webIdentity": {
                "roleArn": "arn:minio:iam:::role/zonetide",
                "audience": AUDIENCE,
                "stsEndpoint": minio.endpoint(),
            }},
        }},
    })
}

/// The Secrets with something that an access key has.
async fn with_keys(bench: &Bench) -> Vec<String> {
    let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), &bench.namespace);
    let list = secrets.list(&ListParams::default()).await.unwrap();
    let has_key = |secret: &Secret| {
        let mut entries = secret.data.iter().flatten();
        entries.any(|(name, value)| name.contains("access-key") && !value.0.is_empty())
    };
    list.iter()
        .filter(|secret| has_key(secret))
        .map(ResourceExt::name_any)
        .collect()
}

#[tokio::test]
async fn servers_share_a_bucket_that_trusts_their_service_account_and_a_stranger_is_refused() {
    Bench::run("web-identity", async |bench| {
        let minio = TrustingMinio::start(bench, AUDIENCE).await.unwrap();
        minio.make_bucket(BUCKET).await.unwrap();
        let account = format!("system:serviceaccount:{}:dns", bench.namespace);
        let prefix = format!("{}/dns/", bench.namespace);
        minio
            .put_policy(&account, &policy(BUCKET, &prefix))
            .await
            .unwrap();

        let cluster = bench.apply("dns", &spec(&minio, 2)).await;
        let stranger = bench.apply("stranger", &spec(&minio, 1)).await;
        let object = await_ready(&cluster).await;
        for kind in [ConditionType::ObjectStoreReady, ConditionType::CredentialsReady] {
            let condition = readiness::expect(&object, kind, "True").unwrap();
            assert_eq!(condition.reason, Reason::ServiceAccountTrusted.as_str());
            eprintln!("{}: {}", condition.type_, condition.message);
        }
        let store = object.status.unwrap().object_store.unwrap();
        assert_eq!(store.source.as_deref(), Some("webIdentity"));
        assert!(store.prefix.starts_with(&prefix), "{store:?}");
        assert!(store.credentials_expire_at.is_none(), "{store:?}");

        answers::make_zone(&cluster, "dns-0", ZONE, RECORDS)
            .await
            .unwrap();
        let api = cluster.powerdns("dns-1").await.unwrap();
        let last = format!("r{}.{ZONE}", RECORDS - 1);
        answers::everywhere(&cluster, &last, &address(RECORDS - 1), Instant::now())
            .await
            .unwrap();
        let back = format!("back.{ZONE}");
        api.replace(ZONE, &back, "A", &["192.0.2.99"]).await.unwrap();
        answers::everywhere(&cluster, &back, "192.0.2.99", Instant::now())
            .await
            .unwrap();

        // Each has stored what was written on it.
        contact::settled(&cluster).await.unwrap();
        let instances = cluster.get().await.unwrap().status.unwrap().instances;
        assert_eq!(instances.len(), 2);
        let objects = minio.list(BUCKET, &prefix).await.unwrap();
        for of in instances {
            assert!(objects.contains(&of.instance), "nothing of {of:?}: {objects}");
        }
        assert_eq!(with_keys(bench).await, Vec::<String>::new());

        let refused = eventually(NOTICED, "the stranger is refused", async || {
            let object = stranger.get().await.map_err(|error| error.to_string())?;
            readiness::expect(&object, ConditionType::Replicating, "False")
        })
        .await;
        eprintln!("stranger: {}: {}", refused.reason, refused.message);
        let account = format!("system:serviceaccount:{}:stranger", bench.namespace);
        for named in ["do not serve", "stranger-0", "are defined", &account] {
            assert!(refused.message.contains(named), "no {named}: {}", refused.message);
        }
        let object = stranger.get().await.unwrap();
        readiness::expect(&object, ConditionType::Ready, "False").unwrap();
        assert_eq!(
            stranger
                .pods_behind(&names::dns_service("stranger"))
                .await
                .unwrap(),
            Vec::<String>::new()
        );
        let strange = minio
            .list(BUCKET, &format!("{}/stranger/", bench.namespace))
            .await;
        assert!(!strange.unwrap().contains("<Key>"), "it has stored something");

        // As soon as it may, it does.
        let prefix = format!("{}/stranger/", bench.namespace);
        minio
            .put_policy(&account, &policy(BUCKET, &prefix))
            .await
            .unwrap();
        await_ready(&stranger).await;
    })
    .await;
}
