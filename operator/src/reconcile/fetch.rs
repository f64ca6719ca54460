//! Step 1: everything that a reconcile looks at, read once.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{Api, ResourceExt, api::ListParams};
use thiserror::Error;
use zonetide_crds::DnsCluster;

use crate::{
    context::Context,
    names::{INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER, Names, Part},
};

#[derive(Debug, Error)]
pub enum FetchError {
    #[error("failed to read {what} {name}")]
    Get {
        what: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error(
        "the namespace kube-system has no UID, so there is no name for this cluster: set spec.replication.site"
    )]
    NoSite,
}

/// What there is now.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub cluster: DnsCluster,
    /// UID of the namespace kube-system, which stands for this Kubernetes cluster.
    pub kubernetes_uid: String,
    /// The servers' pods.
    pub pods: Vec<Pod>,
    /// The managed store's pods.
    pub store_pods: Vec<Pod>,
    pub secrets: Secrets,
}

/// The Secrets that a spec names, and those that we made and keep.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What `spec.powerdns.apiKeySecretRef` names.
    pub given_api_key: Option<Secret>,
    /// What `spec.objectStore.s3.credentials.secretRef` names.
    pub given_credentials: Option<Secret>,
    /// `NAME-api-key`.
    pub api_key: Option<Secret>,
    /// `NAME-garage`.
    pub garage: Option<Secret>,
}

/// None when the cluster is gone.
pub async fn fetch(context: &Context, namespace: &str, name: &str) -> Result<Option<Fetched>, FetchError> {
    // Not from the cache: that may lag behind the status we wrote ourselves, and transitions would be told twice.
    let clusters: Api<DnsCluster> = Api::namespaced(context.client.clone(), namespace);
    let Some(cluster) = get(&clusters, "the DnsCluster", name).await? else {
        return Ok(None);
    };
    let names = Names {
        namespace: namespace.to_owned(),
        cluster: name.to_owned(),
    };
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);

    let managed = cluster.spec.object_store.managed.is_some();
    let given_api_key = cluster
        .spec
        .powerdns
        .api_key_secret_ref
        .as_ref()
        .map(|reference| reference.name.clone());
    let given_credentials = cluster
        .spec
        .object_store
        .s3
        .as_ref()
        .map(|s3| s3.credentials.secret_ref.name.clone());
    let secrets = Secrets {
        given_api_key: get_named(&secrets, given_api_key).await?,
        given_credentials: get_named(&secrets, given_credentials).await?,
        api_key: get(&secrets, "the Secret", &names.api_key()).await?,
        garage: get_named(&secrets, managed.then(|| names.garage())).await?,
    };

    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("{INSTANCE_LABEL}={name},{MANAGED_BY_LABEL}={MANAGER}");
    let pods = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(|source| FetchError::Get {
            what: "the pods",
            name: selector,
            source,
        })?;
    let (pods, store_pods) = pods
        .items
        .into_iter()
        .partition(|pod| is_selected(pod, &names.selector(Part::Dns)));

    Ok(Some(Fetched {
        kubernetes_uid: kubernetes_uid(context).await?,
        cluster,
        pods,
        store_pods,
        secrets,
    }))
}

fn is_selected(pod: &Pod, selector: &BTreeMap<String, String>) -> bool {
    selector
        .iter()
        .all(|(key, value)| pod.labels().get(key) == Some(value))
}

/// Read once: it never changes.
async fn kubernetes_uid(context: &Context) -> Result<String, FetchError> {
    context
        .kubernetes_uid
        .get_or_try_init(|| async {
            let namespaces: Api<Namespace> = Api::all(context.client.clone());
            let system = namespaces
                .get("kube-system")
                .await
                .map_err(|source| FetchError::Get {
                    what: "the namespace",
                    name: "kube-system".to_owned(),
                    source,
                })?;
            system.uid().ok_or(FetchError::NoSite)
        })
        .await
        .cloned()
}

async fn get_named(api: &Api<Secret>, name: Option<String>) -> Result<Option<Secret>, FetchError> {
    match name {
        Some(name) => get(api, "the Secret", &name).await,
        None => Ok(None),
    }
}

async fn get<K>(api: &Api<K>, what: &'static str, name: &str) -> Result<Option<K>, FetchError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.get_opt(name).await.map_err(|source| FetchError::Get {
        what,
        name: name.to_owned(),
        source,
    })
}
