//! Step 1: everything that a reconcile looks at, read once.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, Pod, Secret},
};
use kube::{Api, Resource as _, ResourceExt, api::ListParams};
use thiserror::Error;
use zonetide_crds::{DnsCluster, DnsClusterSpec, Engine};

use super::{
    admin, api_service,
    claims::{self, Claim},
    grant::Foreign,
    origin,
    ownership::{Taken, claim},
    refusals::{self, Refusals},
};
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
    /// The servers' `StatefulSet`, and the managed store's, where there are any.
    pub stateful_set: Option<StatefulSet>,
    pub store_stateful_set: Option<StatefulSet>,
    /// The claims of volumes, which stay when a DnsCluster is deleted.
    pub claims: Vec<Claim>,
    /// A claim that servers would take, and that nobody has labelled or annotated. Looked for when there is nothing else.
    pub unknown_claim: Option<String>,
    /// The pods that the Service of the API leads to; None when that cannot be read.
    pub api_endpoints: Option<Vec<String>>,
    /// What the API server says of pods that cannot be made.
    pub refusals: Refusals,
    pub secrets: Secrets,
    /// A Secret of a name that we would give, and that is not this cluster's. It is not among the `secrets`.
    pub taken: Option<(String, Taken)>,
}

impl Fetched {
    /// Eight characters that stand for this Kubernetes cluster.
    pub fn short_uid(&self) -> String {
        let alphanumeric = self.kubernetes_uid.chars().filter(char::is_ascii_alphanumeric);
        alphanumeric.take(8).collect()
    }
}

/// The Secrets that a spec names, and those that we made and keep.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What `spec.powerdns.apiKeySecretRef` names.
    pub given_api_key: Option<Secret>,
    /// What `spec.objectStore.s3.credentials.secretRef` names.
    pub given_credentials: Option<Secret>,
    /// What `spec.objectStore.s3.caSecretRef` names.
    pub ca: Option<Secret>,
    /// What the source of the keys names: an admin's keys or token.
    pub admin: Option<Secret>,
    /// The same, when it is another namespace's. Only `admin::granted` says whether it may be used.
    pub foreign_admin: Foreign,
    /// `NAME-api-key`.
    pub api_key: Option<Secret>,
    /// `NAME-peers`.
    pub peers: Option<Secret>,
    /// `NAME-peers-ca`.
    pub peers_authority: Option<Secret>,
    /// `NAME-peers-tls`.
    pub peers_certificates: Option<Secret>,
    /// `NAME-object-store`.
    pub object_store: Option<Secret>,
    /// `NAME-garage`.
    pub garage: Option<Secret>,
    /// `NAME-minio`.
    pub minio: Option<Secret>,
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
    let (secrets, taken) = secrets(context, &cluster, &names).await?;
    let (pods, store_pods) = pods(context, &names).await?;
    let engine = engine(&cluster.spec);
    let store_name = engine.map(|engine| match engine {
        Engine::Garage => names.garage(),
        Engine::MinIO => names.minio(),
    });
    let stateful_set = own_set(context, &cluster, Some(&names.cluster)).await?;
    let store_stateful_set = own_set(context, &cluster, store_name.as_ref()).await?;
    let is_known = origin::is_known_without_claims(&cluster, stateful_set.as_ref());
    let (claims, unknown_claim) = match claims::fetch(context, &names, is_known).await {
        Ok(found) => found,
        Err(error) if is_known => {
            tracing::warn!(%error, "cannot look at the PersistentVolumeClaims: Argo CD may prune them");
            (Vec::new(), None)
        }
        Err(source) => {
            return Err(FetchError::Get {
                what: "the PersistentVolumeClaims of DnsCluster",
                name: name.to_owned(),
                source,
            });
        }
    };
    let lacking = [
        (&stateful_set, pods.len()),
        (&store_stateful_set, store_pods.len()),
    ];
    Ok(Some(Fetched {
        kubernetes_uid: kubernetes_uid(context).await?,
        refusals: refusals::fetch(context, namespace, lacking).await,
        api_endpoints: api_service::endpoints(context, &names).await,
        cluster,
        pods,
        store_pods,
        stateful_set,
        store_stateful_set,
        claims,
        unknown_claim,
        secrets,
        taken,
    }))
}

fn engine(spec: &DnsClusterSpec) -> Option<Engine> {
    spec.object_store.managed.as_ref().map(|managed| managed.engine)
}

/// Those that are the cluster's or that its spec names, and one that has a name of ours and is somebody else's.
async fn secrets(
    context: &Context,
    cluster: &DnsCluster,
    names: &Names,
) -> Result<(Secrets, Option<(String, Taken)>), FetchError> {
    let (spec, namespace) = (&cluster.spec, names.namespace.as_str());
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let run = |wanted: Engine, name: String| (engine(spec) == Some(wanted)).then_some(name);
    let api_key = spec.powerdns.api_key_secret_ref.as_ref();
    let s3 = spec.object_store.s3.as_ref();
    let given = s3.and_then(|s3| s3.credentials.secret_ref.as_ref());
    let ca = s3.and_then(|s3| s3.ca_secret_ref.as_ref());
    let mut taken = None;
    let mut own = |secret: Option<Secret>| {
        let secret = secret?;
        match claim(
            &secret.metadata,
            &cluster.controller_owner_ref(&()).unwrap_or_default(),
        ) {
            Ok(()) => return Some(secret),
            Err(whose) => taken = Some((secret.name_any(), whose)),
        }
        None
    };
    let secrets = Secrets {
        ca: get_named(&api, ca.map(|of| of.name.clone())).await?,
        given_api_key: get_named(&api, api_key.map(|of| of.name.clone())).await?,
        given_credentials: get_named(&api, given.map(|of| of.name.clone())).await?,
        admin: admin_secret(&api, spec, namespace).await?,
        foreign_admin: foreign_admin(context, spec, namespace).await?,
        api_key: own(get(&api, "the Secret", &names.api_key()).await?),
        peers: own(get(&api, "the Secret", &names.peers_secret()).await?),
        peers_authority: own(get(&api, "the Secret", &names.peers_authority()).await?),
        peers_certificates: own(get(&api, "the Secret", &names.peers_certificates()).await?),
        object_store: own(get(&api, "the Secret", &names.object_store()).await?),
        garage: own(get_named(&api, run(Engine::Garage, names.garage())).await?),
        minio: own(get_named(&api, run(Engine::MinIO, names.minio())).await?),
    };
    Ok((secrets, taken))
}

/// The servers' and the managed store's.
async fn pods(context: &Context, names: &Names) -> Result<(Vec<Pod>, Vec<Pod>), FetchError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &names.namespace);
    let selector = format!("{INSTANCE_LABEL}={},{MANAGED_BY_LABEL}={MANAGER}", names.cluster);
    let list = api.list(&ListParams::default().labels(&selector)).await;
    let list = list.map_err(|source| FetchError::Get {
        what: "the pods",
        name: selector,
        source,
    })?;
    let servers = names.selector(Part::Dns);
    Ok(list.items.into_iter().partition(|pod| is_selected(pod, &servers)))
}

/// Somebody else's is none of ours; it is named when ours is to be written.
async fn own_set(
    context: &Context,
    cluster: &DnsCluster,
    name: Option<&String>,
) -> Result<Option<StatefulSet>, FetchError> {
    let Some(name) = name else { return Ok(None) };
    let api: Api<StatefulSet> =
        Api::namespaced(context.client.clone(), &cluster.namespace().unwrap_or_default());
    let owner = cluster.controller_owner_ref(&()).unwrap_or_default();
    let set = get(&api, "the StatefulSet", name).await?;
    Ok(set.filter(|set| claim(&set.metadata, &owner).is_ok()))
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

/// Only of the cluster's own namespace: whoever may write there may read it anyway.
async fn admin_secret(
    own: &Api<Secret>,
    spec: &DnsClusterSpec,
    namespace: &str,
) -> Result<Option<Secret>, FetchError> {
    match admin::named(spec) {
        Some(named) if named.namespace.is_none_or(|other| other == namespace) => {
            get(own, "the Secret", named.name).await
        }
        _ => Ok(None),
    }
}

/// Of another namespace. What it is good for is not looked at here.
async fn foreign_admin(
    context: &Context,
    spec: &DnsClusterSpec,
    namespace: &str,
) -> Result<Foreign, FetchError> {
    let Some((other, name)) = admin::named(spec).and_then(|named| Some((named.namespace?, named.name)))
    else {
        return Ok(Foreign::Missing);
    };
    if other == namespace {
        return Ok(Foreign::Missing);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), other);
    match secrets.get_opt(name).await {
        Ok(found) => Ok(found.map_or(Foreign::Missing, |secret| Foreign::Found(Box::new(secret)))),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Foreign::Unreadable),
        Err(source) => Err(FetchError::Get {
            what: "the Secret",
            name: format!("{other}/{name}"),
            source,
        }),
    }
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
