//! The steps of a removal. Each reconcile begins with the first: what is done already costs a request.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use zonetide_crds::DeletionPolicy;

use super::told;
use crate::{
    context::Context,
    names::{INSTANCE_LABEL, NAME_LABEL},
    objectstore::{BucketRemoval, Keys, Own, Removed, Source, StoreError, Supply, renewal::Held},
    reconcile::{apply::ApplyError, fetch::Fetched, notices::Notice, plan::Plan, validate::validate},
};

/// How far it is.
pub(super) enum Step {
    /// Something must end first.
    Wait(String),
    /// There is more to do at once.
    Progress(String),
    /// Nothing is left to be undone.
    Done(Vec<Notice>),
}

/// What is in the way.
pub(super) enum Trouble {
    Api(ApplyError),
    Store(StoreError),
}

impl From<ApplyError> for Trouble {
    fn from(error: ApplyError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Does what can be done now.
pub(super) async fn take(context: &Context, fetched: &Fetched) -> Result<Step, Trouble> {
    let cluster = &fetched.cluster;
    if !super::needed(&cluster.spec) {
        return Ok(Step::Done(vec![]));
    }
    if !end_servers(context, fetched).await? {
        return Ok(Step::Wait(still_there("servers", &fetched.pods)));
    }
    if cluster.spec.object_store.managed.is_some() {
        return remove_volume(context, fetched).await;
    }
    let plan =
        validate(&without_making_it(fetched), &context.settings).map_err(|error| StoreError::Spec {
            message: error.to_string(),
        })?;
    let source = plan.source(&*context.sources, None)?;
    empty_store(&*source, &plan, fetched).await
}

/// A bucket that is gone is not made again.
fn without_making_it(fetched: &Fetched) -> Fetched {
    let mut fetched = fetched.clone();
    if let Some(s3) = &mut fetched.cluster.spec.object_store.s3 {
        s3.create_bucket = false;
    }
    fetched
}

/// Owner references would end them after the finalizer is gone, and until then they would store. True when all are gone.
async fn end_servers(context: &Context, fetched: &Fetched) -> Result<bool, Trouble> {
    let left = end_sets(context, fetched, |set| *set == fetched.cluster.name_any()).await?;
    Ok(!left && fetched.pods.is_empty())
}

async fn remove_volume(context: &Context, fetched: &Fetched) -> Result<Step, Trouble> {
    let left = end_sets(context, fetched, |_| true).await?;
    if left || !fetched.store_pods.is_empty() {
        return Ok(Step::Wait(still_there("the object store", &fetched.store_pods)));
    }
    let (namespace, name) = place(fetched);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let ours = ListParams::default().labels(&format!("{INSTANCE_LABEL}={name}"));
    let list = claims.list(&ours).await.map_err(|source| ApplyError::List {
        what: "PersistentVolumeClaims",
        source,
    })?;
    let mut notices = Vec::new();
    for claim in list.iter().filter(|claim| is_stores(claim, &name)) {
        delete(&claims, claim).await?;
        notices.push(told(
            "VolumeRemoved",
            format!(
                "removed the volume of the object store with all zones in it, PersistentVolumeClaim {}",
                claim.name_any()
            ),
        ));
    }
    Ok(Step::Done(notices))
}

/// Of the store, and not of the servers: their volumes always stay.
fn is_stores(claim: &PersistentVolumeClaim, cluster: &str) -> bool {
    let label = |key: &str| claim.labels().get(key).map(String::as_str);
    label(INSTANCE_LABEL) == Some(cluster)
        && ["zonetide-garage", "zonetide-minio"]
            .iter()
            .any(|part| label(NAME_LABEL) == Some(part))
}

async fn empty_store(source: &dyn Source, plan: &Plan, fetched: &Fetched) -> Result<Step, Trouble> {
    let policy = plan.spec.object_store.deletion_policy;
    let bucket = &plan.bucket;
    let mut notices = Vec::new();
    if policy != DeletionPolicy::Retain {
        let own = Own {
            instances: plan.instance(&format!("{}-", plan.names.cluster)),
        };
        match remove_objects(source, plan, fetched, &own).await {
            Ok((keys, removed)) => {
                let uploads = match removed.uploads {
                    0 => String::new(),
                    uploads => format!(" and {uploads} unfinished uploads"),
                };
                let note = format!(
                    "removed {} objects{uploads} of this cluster's servers under {} in bucket {} at {}",
                    removed.objects, bucket.prefix, bucket.name, bucket.endpoint
                );
                if !removed.done {
                    return Ok(Step::Progress(format!("{note}, and goes on")));
                }
                notices.push(told("ObjectsRemoved", note));
                if policy == DeletionPolicy::DeleteBucket {
                    notices.push(remove_bucket(source, plan, fetched, &keys).await?);
                }
            }
            // Nothing is left to be removed.
            Err(StoreError::BucketMissing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let ended = source.revoke_others(None).await?;
    if !ended.is_empty() {
        notices.push(told(
            "KeysEnded",
            format!(
                "ended {} keys to bucket {} at {}",
                ended.len(),
                bucket.name,
                bucket.endpoint
            ),
        ));
    }
    Ok(Step::Done(notices))
}

/// With the keys that the servers had, or new ones where those are gone or have ended.
async fn remove_objects(
    source: &dyn Source,
    plan: &Plan,
    fetched: &Fetched,
    own: &Own,
) -> Result<(Keys, Removed), StoreError> {
    let present = match source.supply() {
        Supply::Given(keys) => {
            let keys = keys?;
            let removed = source.remove_own(&keys, own).await?;
            return Ok((keys, removed));
        }
        Supply::ServiceAccount => return Err(StoreError::NotRemovable),
        Supply::Minted { .. } => fetched.secrets.object_store.as_ref().and_then(Held::read),
    };
    if let Some(held) = present.filter(|held| held.source == plan.source_id()) {
        match source.remove_own(&held.keys, own).await {
            Err(error) if error.is_about_keys() => {}
            other => return other.map(|removed| (held.keys, removed)),
        }
    }
    let keys = source.mint().await?.keys;
    let removed = source.remove_own(&keys, own).await?;
    Ok((keys, removed))
}

async fn remove_bucket(
    source: &dyn Source,
    plan: &Plan,
    fetched: &Fetched,
    keys: &Keys,
) -> Result<Notice, StoreError> {
    let (name, endpoint) = (&plan.bucket.name, &plan.bucket.endpoint);
    let status = fetched.cluster.status.as_ref();
    let ours = status
        .and_then(|status| status.object_store.as_ref())
        // The bucket of a spec never changes, but its endpoint may.
        .is_some_and(|store| {
            store.bucket_created == Some(true) && store.bucket == *name && store.endpoint == *endpoint
        });
    if !ours {
        let note =
            format!("bucket {name} at {endpoint} stays: the operator did not make it for this cluster");
        return Ok(told("BucketKept", note));
    }
    Ok(match source.remove_bucket(keys).await? {
        BucketRemoval::Removed => told("BucketRemoved", format!("removed bucket {name} at {endpoint}")),
        BucketRemoval::NotEmpty => told(
            "BucketKept",
            format!("bucket {name} at {endpoint} stays: there are objects of others in it, or old versions"),
        ),
    })
}

fn place(fetched: &Fetched) -> (String, String) {
    let cluster = &fetched.cluster;
    (cluster.namespace().unwrap_or_default(), cluster.name_any())
}

/// Ends the `StatefulSet`s of this cluster with such names. True while there are any.
async fn end_sets(
    context: &Context,
    fetched: &Fetched,
    which: impl Fn(&String) -> bool,
) -> Result<bool, ApplyError> {
    let (namespace, name) = place(fetched);
    let sets: Api<StatefulSet> = Api::namespaced(context.client.clone(), &namespace);
    let ours = ListParams::default().labels(&format!("{INSTANCE_LABEL}={name}"));
    let list = sets.list(&ours).await.map_err(|source| ApplyError::List {
        what: "StatefulSets",
        source,
    })?;
    let mut left = false;
    for set in list.iter().filter(|set| which(&set.name_any())) {
        // Another's of the same name is none of ours.
        let uid = fetched.cluster.uid();
        if set
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == uid.as_ref())
        {
            left = true;
            if set.metadata.deletion_timestamp.is_none() {
                delete(&sets, set).await?;
            }
        }
    }
    Ok(left)
}

/// This very object, not one that took its name since.
async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut params = DeleteParams::background();
    params.preconditions = Some(Preconditions {
        uid: object.uid(),
        resource_version: None,
    });
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(ApplyError::Delete {
            kind: K::kind(&()).into_owned(),
            name: object.name_any(),
            source,
        }),
    }
}

fn still_there(what: &str, pods: &[k8s_openapi::api::core::v1::Pod]) -> String {
    let mut names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    names.sort();
    if names.is_empty() {
        return format!("waiting for {what} to end");
    }
    format!("waiting for {what} to end: {}", names.join(", "))
}
