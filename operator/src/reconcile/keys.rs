//! The keys that servers use: given, made, renewed before they end, and old ones ended when no server uses them any more.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use zonetide_crds::RENEW_ANNOTATION;

use super::{apply, fetch::Fetched, plan::Plan};
use crate::{
    agents::AgentReport,
    build,
    context::Context,
    error::Error,
    names::KEYS_ANNOTATION,
    objectstore::{
        Keys, Source, StoreError, Supply,
        renewal::{self, Held, Need, need},
    },
};

/// How servers get into the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Given(Keys),
    Made(Held),
    /// The store trusts the pods' service account.
    ServiceAccount,
}

impl Access {
    pub fn keys(&self) -> Option<&Keys> {
        match self {
            Self::Given(keys) => Some(keys),
            Self::Made(held) => Some(&held.keys),
            Self::ServiceAccount => None,
        }
    }
}

/// Keys that open the bucket, and how they came about.
#[derive(Clone, Debug)]
pub struct Obtained {
    pub access: Access,
    /// Why there are new ones, when there are.
    pub renewed: Option<&'static str>,
    /// Why there are no new ones, when there should be. The present ones open the bucket.
    pub failing: Option<StoreError>,
}

impl From<Access> for Obtained {
    fn from(access: Access) -> Self {
        Self {
            access,
            renewed: None,
            failing: None,
        }
    }
}

/// Sees to it that there is a bucket, and keys which open it. True when the bucket was made now.
pub async fn open(
    source: &dyn Source,
    plan: &Plan,
    fetched: &Fetched,
    now: Timestamp,
) -> Result<(bool, Obtained), StoreError> {
    let (bucket_created, trouble) = match source.prepare().await {
        Ok(made) => (made, None),
        // Keys that were made before may be good for long without it.
        Err(error) if error.is_about_admin() => (false, Some(error)),
        Err(error) => return Err(error),
    };
    match (obtain(source, plan, fetched, now).await, trouble) {
        (Ok(obtained), None) => Ok((bucket_created, obtained)),
        (Ok(obtained), Some(trouble)) => {
            let failing = Some(obtained.failing.unwrap_or(trouble));
            Ok((bucket_created, Obtained { failing, ..obtained }))
        }
        (Err(_), Some(first)) => Err(first),
        (Err(error), None) => Err(error),
    }
}

/// Sees to it that there are keys which open the bucket.
pub async fn obtain(
    source: &dyn Source,
    plan: &Plan,
    fetched: &Fetched,
    now: Timestamp,
) -> Result<Obtained, StoreError> {
    let lifetime = match source.supply() {
        Supply::Given(keys) => {
            let keys = keys?;
            source.check(&keys).await?;
            return Ok(Access::Given(keys).into());
        }
        Supply::ServiceAccount => return Ok(Access::ServiceAccount.into()),
        Supply::Minted { lifetime } => lifetime,
    };
    let held = fetched.secrets.object_store.as_ref().and_then(Held::read);
    let asked = fetched.cluster.annotations().get(RENEW_ANNOTATION);
    let id = plan.source_id();
    let mut needed = need(held.as_ref(), &id, asked.map(String::as_str), lifetime, now);
    // Keys that the store refuses before their time have been ended by somebody.
    if let Some(held) = held.as_ref().filter(|_| !matches!(needed, Need::Must(_)))
        && let Err(error) = source.check(&held.keys).await
    {
        if !error.is_about_keys() {
            return Err(error);
        }
        needed = Need::Must("the store did not accept them any more");
    }
    let (why, present) = match (needed, held) {
        (Need::None, Some(held)) => return Ok(Access::Made(held).into()),
        (Need::Wish(why), present) => (why, present),
        (Need::Must(why), _) => (why, None),
        (Need::None, None) => ("there were none", None),
    };
    let made = make(source, id, asked.cloned(), present.as_ref(), now).await;
    match (made, present) {
        (Ok(held), _) => Ok(Obtained {
            access: Access::Made(held),
            renewed: Some(why),
            failing: None,
        }),
        (Err(error), Some(present)) => Ok(Obtained {
            access: Access::Made(present),
            renewed: None,
            failing: Some(error),
        }),
        (Err(error), None) => Err(error),
    }
}

async fn make(
    source: &dyn Source,
    id: String,
    renewed_for: Option<String>,
    present: Option<&Held>,
    now: Timestamp,
) -> Result<Held, StoreError> {
    let minted = source.mint().await?;
    if let Err(error) = source.check(&minted.keys).await {
        // Else each try would leave one behind.
        let keep = present.map(|held| held.keys.access_key_id.as_str());
        if let Err(second) = source.revoke_others(keep).await {
            tracing::warn!(error = %second, "failed to end keys that do not open the bucket");
        }
        return Err(error);
    }
    Ok(Held {
        keys: minted.keys,
        made: now,
        expires: minted.expires,
        source: id,
        renewed_for,
        supersedes: true,
    })
}

/// Whether servers have keys for the store that the plan says, as far as is known: the operator may be unable to ask.
pub fn are_known(plan: &Plan, fetched: &Fetched) -> bool {
    let Some(kept) = fetched.secrets.object_store.as_ref() else {
        return false;
    };
    match renewal::source(kept) {
        Some(source) => *source == plan.source_id(),
        // From before it was written down for all keys.
        None => {
            let status = fetched.cluster.status.as_ref();
            let known = status.and_then(|status| status.object_store.as_ref());
            known.is_some_and(|known| {
                let bucket = &plan.bucket;
                (&known.endpoint, &known.bucket, &known.prefix)
                    == (&bucket.endpoint, &bucket.name, &bucket.prefix)
                    && known.source.as_deref() == plan.spec.object_store.source()
            })
        }
    }
}

/// Whether every server that runs says that it uses these keys. Pods that do not run yet may have been given older ones, but read
/// the Secret again like all others.
fn all_use(fingerprint: &String, fetched: &Fetched, reports: &[AgentReport]) -> bool {
    let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
    let running: Vec<String> = fetched
        .pods
        .iter()
        .filter(|pod| runs(pod))
        .map(ResourceExt::name_any)
        .collect();
    let uses = |name: &String| {
        let mut said = reports.iter().filter(|report| report.pod == *name);
        said.any(|report| {
            report
                .status
                .as_ref()
                .is_ok_and(|status| status.store_key.as_ref() == Some(fingerprint))
        })
    };
    !running.is_empty() && running.iter().all(uses)
}

/// Brings new keys to the servers, and ends the old ones when all use the new. True when that is so, and there is no need to
/// look again soon.
pub async fn hand_over(
    context: &Context,
    plan: &Plan,
    source: &dyn Source,
    fetched: &Fetched,
    held: &Held,
    reports: &[AgentReport],
) -> Result<bool, Error> {
    if !held.supersedes {
        return Ok(true);
    }
    let fingerprint = held.keys.fingerprint();
    // A change of the pod makes its kubelet look at what it mounts at once, instead of within minutes.
    for pod in &fetched.pods {
        if pod.annotations().get(KEYS_ANNOTATION) != Some(&fingerprint) {
            apply::annotate_pod(
                context,
                &plan.names.namespace,
                &pod.name_any(),
                KEYS_ANNOTATION,
                &fingerprint,
            )
            .await?;
        }
    }
    if !all_use(&fingerprint, fetched, reports) {
        return Ok(false);
    }
    match source.revoke_others(Some(&held.keys.access_key_id)).await {
        Ok(ended) => {
            if !ended.is_empty() {
                tracing::info!(keys = ?ended, "ended old keys, all servers use the new one");
            }
            let settled = Held {
                supersedes: false,
                ..held.clone()
            };
            let secret = build::object_store(plan, &Access::Made(settled));
            apply::secret(context, secret).await?;
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(%error, "failed to end old keys, it is tried again");
            Ok(false)
        }
    }
}
