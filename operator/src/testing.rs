//! What tests build on. Names differ from the product's, so that a swapped name or label shows.

use std::{collections::BTreeMap, marker::PhantomData};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use serde_json::json;
use zonetide_crds::DnsCluster;

use crate::{
    build::{self, Applied, Prepared, ServerResources},
    objectstore::Keys,
    reconcile::{
        fetch::{Fetched, Secrets},
        keys::{Access, Obtained},
        outcome::{Reconciled, StoreOutcome},
        plan::Plan,
        refusals::Refusals,
        store_nodes::StoreNodes,
        validate::validate,
    },
    secret::SecretText,
    settings::{ExposeSettings, PowerDnsImages, Settings},
};

pub(crate) const MANAGED: &str = "{objectStore: {managed: {}}}";
pub(crate) const MANAGED_MINIO: &str = "{objectStore: {managed: {engine: MinIO}}}";
pub(crate) const S3: &str = "{objectStore: {s3: {endpoint: 'http://s3.test:9000/', region: moon, bucket: crater, \
                             credentials: {secretRef: {name: moon-keys}}}}}";

pub(crate) fn cluster(spec: &str) -> DnsCluster {
    serde_saphyr::from_str(&format!(
        "{{apiVersion: zonetide.dev/v1alpha1, kind: DnsCluster, spec: {spec}, \
         metadata: {{name: tide, namespace: shore, uid: cluster-uid, generation: 3}}}}"
    ))
    .unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        agent_image: "agent:test".into(),
        powerdns_images: PowerDnsImages {
            v5_1: "powerdns-5.1:test".into(),
            v4_9: "powerdns-4.9:test".into(),
        },
        garage_image: "garage:test".into(),
        cloudflare_api: "http://cloudflare.test/v4".into(),
        minio_image: "minio:test".into(),
        image_pull_policy: None,
        ipv6_first: false,
        kubelet_sleeps: true,
        expose: ExposeSettings {
            domains: vec!["tides.test".parse().unwrap()],
            ..ExposeSettings::default()
        },
        store_proxy: None,
    }
}

pub(crate) fn fetched(spec: &str) -> Fetched {
    Fetched {
        cluster: cluster(spec),
        kubernetes_uid: "0a1b2c3d-4e5f-6789-abcd-ef0123456789".into(),
        pods: vec![],
        store_pods: vec![],
        stateful_set: None,
        store_stateful_set: None,
        claims: vec![],
        unknown_claim: None,
        api_endpoints: None,
        refusals: Refusals::default(),
        secrets: Secrets {
            given_credentials: Some(secret(&[("access-key-id", "id\n"), ("secret-access-key", "s")])),
            ..Secrets::default()
        },
        taken: None,
    }
}

pub(crate) fn plan(spec: &str) -> Plan {
    validate(&fetched(spec), &settings()).unwrap()
}

pub(crate) fn keys() -> Keys {
    Keys {
        access_key_id: "id".into(),
        secret_access_key: SecretText::new("s"),
        session_token: None,
    }
}

pub(crate) fn access() -> Access {
    Access::Given(keys())
}

/// A cluster's objects as they are sent to the API server.
pub(crate) fn built_servers(plan: &Plan) -> ServerResources<Prepared> {
    build::servers(plan, plan.servers.as_ref().unwrap(), 0)
}

/// The same as if the API server had taken them.
pub(crate) fn applied_servers(plan: &Plan) -> ServerResources<Applied> {
    let ServerResources {
        service_account,
        api_key,
        peers_token,
        config,
        peers_service,
        dns_service,
        api_service,
        disruption_budget,
        stateful_set,
        state: PhantomData,
    } = built_servers(plan);
    ServerResources {
        service_account,
        api_key,
        peers_token,
        config,
        peers_service,
        dns_service,
        api_service,
        disruption_budget,
        stateful_set,
        state: PhantomData,
    }
}

/// What a reconcile came to whose areas are all well.
pub(crate) fn reconciled(plan: Plan, obtained: Obtained) -> Reconciled {
    Reconciled {
        stateful_set: Some(applied_servers(&plan).stateful_set),
        applied: true,
        plan: Some(Box::new(plan)),
        store: Some(Ok(StoreOutcome {
            bucket_created: false,
            obtained,
            settled: true,
            warnings: vec![],
            nodes: StoreNodes::default(),
        })),
        ..Reconciled::default()
    }
}

pub(crate) fn secret(data: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<String, ByteString> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    Secret {
        data: Some(data),
        ..Secret::default()
    }
}

/// A pod of the servers, made from the template with this revision.
pub(crate) fn pod(name: &str, ready: bool, revision: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "app.kubernetes.io/name": "zonetide-dns", "app.kubernetes.io/instance": "tide",
            "controller-revision-hash": revision,
        }},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    }))
    .unwrap()
}
