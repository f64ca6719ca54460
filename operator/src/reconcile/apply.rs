//! Step 4: sends what was built to the API server, by server-side apply: fields that others set stay theirs, and
//! sending the same again changes nothing.

use std::{collections::BTreeMap, fmt::Debug, marker::PhantomData};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Pod, Secret},
        networking::v1::Ingress,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    api_pod::LabelChange,
    ownership::{Taken, claim},
    plan::Plan,
};
use crate::{
    build::{self, Applied, Prepared, ServerResources, StoreResources},
    context::Context,
    names::{API_ACTIVE, API_LABEL, INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER},
};

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("failed to apply {kind} {name}")]
    Apply {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("{kind} {name} {taken}")]
    Taken {
        kind: String,
        name: String,
        taken: Taken,
    },
    #[error("failed to look at {kind} {name}")]
    Look {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("failed to list {what}")]
    List { what: &'static str, source: kube::Error },
    #[error("failed to delete {kind} {name}")]
    Delete {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("failed to set or remove the finalizer of DnsCluster {name}")]
    Finalizer { name: String, source: kube::Error },
    #[error("failed to label or annotate pod {pod}")]
    Pod { pod: String, source: kube::Error },
}

impl ApplyError {
    pub(super) fn taken(kind: &str, name: &str, taken: Taken) -> Self {
        Self::Taken {
            kind: kind.to_owned(),
            name: name.to_owned(),
            taken,
        }
    }
}

/// The managed store. Its `StatefulSet` is last: a pod must find what it mounts.
pub async fn store(
    context: &Context,
    prepared: StoreResources<Prepared>,
) -> Result<StoreResources<Applied>, ApplyError> {
    // No `..`: a new kind of object must be thought of here.
    let StoreResources {
        secret,
        config,
        service,
        disruption_budget,
        stateful_set,
        state: PhantomData,
    } = prepared;
    Ok(StoreResources {
        secret: apply(context, secret).await?,
        config: match config {
            Some(config) => Some(apply(context, config).await?),
            None => None,
        },
        service: apply(context, service).await?,
        disruption_budget: match disruption_budget {
            Some(budget) => Some(apply(context, budget).await?),
            None => None,
        },
        stateful_set: apply(context, stateful_set).await?,
        state: PhantomData,
    })
}

/// The Ingresses, and no others of the cluster's.
pub async fn ingresses(context: &Context, plan: &Plan) -> Result<(), ApplyError> {
    let wanted = build::ingresses(plan);
    let names: Vec<String> = wanted.iter().map(ResourceExt::name_any).collect();
    prune::<Ingress>(context, plan, "Ingresses", |name| {
        !names.iter().any(|wanted| wanted == name)
    })
    .await?;
    for ingress in wanted {
        apply(context, ingress).await?;
    }
    Ok(())
}

/// Takes away the files of other revisions than this `ConfigMap`'s, and those from before files had one.
pub async fn prune_configs(context: &Context, plan: &Plan, wanted: &str) -> Result<(), ApplyError> {
    let prefix = plan.names.config_prefix();
    let unversioned = prefix.trim_end_matches('-');
    let is_old = |name: &str| (name.starts_with(&prefix) || name == unversioned) && name != wanted;
    prune::<ConfigMap>(context, plan, "ConfigMaps", is_old).await
}

/// Deletes the cluster's own objects of a kind whose names are among the unwanted. Others of the same name are somebody else's.
async fn prune<K>(
    context: &Context,
    plan: &Plan,
    what: &'static str,
    unwanted: impl Fn(&str) -> bool,
) -> Result<(), ApplyError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &plan.names.namespace);
    let ours = format!(
        "{INSTANCE_LABEL}={},{MANAGED_BY_LABEL}={MANAGER}",
        plan.names.cluster
    );
    let found = api.list_metadata(&ListParams::default().labels(&ours)).await;
    let found = found.map_err(|source| ApplyError::List { what, source })?;
    let owned = found.iter().filter(|object| {
        let owners = object.owner_references();
        owners.iter().any(|owner| owner.uid == plan.owner.uid)
    });
    for object in owned {
        let name = object.name_any();
        if !unwanted(&name) {
            continue;
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        match api.delete(&name, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => {
                let kind = K::kind(&()).into_owned();
                return Err(ApplyError::Delete { kind, name, source });
            }
        }
    }
    Ok(())
}

/// The DNS servers. First what pods mount or run as, then what leads to them; the `StatefulSet`, which makes pods, is
/// last, so that a pod never starts with half of a change.
pub async fn servers(
    context: &Context,
    prepared: ServerResources<Prepared>,
) -> Result<ServerResources<Applied>, ApplyError> {
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
    } = prepared;
    Ok(ServerResources {
        service_account: apply(context, service_account).await?,
        api_key: apply(context, api_key).await?,
        peers_token: apply(context, peers_token).await?,
        config: apply(context, config).await?,
        peers_service: apply(context, peers_service).await?,
        dns_service: apply(context, dns_service).await?,
        api_service: apply(context, api_service).await?,
        disruption_budget: apply(context, disruption_budget).await?,
        stateful_set: apply(context, stateful_set).await?,
        state: PhantomData,
    })
}

/// Moves the label of the API pod, in the order given.
pub async fn api_labels(
    context: &Context,
    namespace: &str,
    changes: &[LabelChange],
) -> Result<(), ApplyError> {
    for change in changes {
        let (pod, value) = match change {
            LabelChange::Remove(pod) => (pod, json!(null)),
            LabelChange::Add(pod) => (pod, json!(API_ACTIVE)),
        };
        let patch = json!({"metadata": {"labels": {API_LABEL: value}}});
        patch_pod(context, namespace, pod, &patch).await?;
    }
    Ok(())
}

/// One Secret by itself.
pub async fn secret(context: &Context, secret: Secret) -> Result<Secret, ApplyError> {
    apply(context, secret).await
}

/// One `ConfigMap` by itself.
pub async fn config_map(context: &Context, config_map: ConfigMap) -> Result<ConfigMap, ApplyError> {
    apply(context, config_map).await
}

/// Sets an annotation of a pod.
pub async fn annotate_pod(
    context: &Context,
    namespace: &str,
    pod: &str,
    key: &str,
    value: &str,
) -> Result<(), ApplyError> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    patch_pod(context, namespace, pod, &patch).await
}

/// Sets an annotation of a pod, and with it sets a label or takes it away: not of another one that has its name by now.
pub async fn mark_pod(
    context: &Context,
    namespace: &str,
    pod: &Pod,
    label: Option<(&str, Option<&str>)>,
    (key, value): (&str, String),
) -> Result<(), ApplyError> {
    let labels: BTreeMap<_, _> = label.into_iter().collect();
    let patch = json!({"metadata": {"uid": pod.uid(), "labels": labels, "annotations": {key: value}}});
    match patch_pod(context, namespace, &pod.name_any(), &patch).await {
        Err(ApplyError::Pod {
            source: kube::Error::Api(status),
            ..
        }) if status.is_conflict() => Ok(()),
        patched => patched,
    }
}

async fn patch_pod(context: &Context, namespace: &str, pod: &str, patch: &Value) -> Result<(), ApplyError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = PatchParams::default();
    match pods.patch_metadata(pod, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        // It went while we looked; the next reconcile comes for that.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(ApplyError::Pod {
            pod: pod.to_owned(),
            source,
        }),
    }
}

/// Writes an object, unless there is one of its name that is not the cluster's.
async fn apply<K>(context: &Context, mut object: K) -> Result<K, ApplyError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let found = api.get_metadata_opt(&name).await;
    let found = found.map_err(|source| ApplyError::Look {
        kind: kind.clone(),
        name: name.clone(),
        source,
    })?;
    if let Some(found) = found {
        for cluster in object.owner_references() {
            claim(found.meta(), cluster).map_err(|taken| ApplyError::taken(&kind, &name, taken))?;
        }
        // Should another take its place meanwhile, the API server refuses.
        object.meta_mut().uid = found.uid();
    }
    api.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(|source| ApplyError::Apply { kind, name, source })
}
