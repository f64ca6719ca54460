//! Step 5: tells users what came of it, in the status and, when something changed, in Events.

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use thiserror::Error;
use zonetide_crds::{ConditionType, DnsCluster, DnsClusterStatus, InstanceStatus, ObjectStoreStatus};

use super::{
    api_pod::{is_ready, ordinal},
    conditions,
    fetch::Fetched,
    notices,
    verdict::{Observed, Outcome, verdicts},
};
use crate::{
    context::Context,
    error::is_namespace_ending,
    names::{MANAGER, Names, Part},
};

#[derive(Debug, Error)]
pub enum StatusError {
    #[error("failed to write the status of DnsCluster {name}")]
    Write { name: String, source: kube::Error },
}

/// Writes the status if it differs from what is there, and tells of transitions.
pub async fn report(
    context: &Context,
    fetched: &Fetched,
    api_pod: Option<&str>,
    outcome: &Outcome,
) -> Result<(), StatusError> {
    let cluster = &fetched.cluster;
    let old = cluster.status.clone().unwrap_or_default();
    let new = compute(
        cluster,
        Observed {
            pods: &fetched.pods,
            api_pod,
        },
        outcome,
        Timestamp::now(),
    );
    if new == old {
        return Ok(());
    }
    let name = cluster.name_any();
    let api: Api<DnsCluster> =
        Api::namespaced(context.client.clone(), &cluster.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": DnsCluster::api_version(&()),
        "kind": DnsCluster::kind(&()),
        "metadata": {"name": name},
        "status": new,
    });
    match api
        .patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch))
        .await
    {
        Ok(_) => {}
        // Deleted while we worked: nobody to tell.
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(source) => return Err(StatusError::Write { name, source }),
    }
    let reference = cluster.object_ref(&());
    for notice in notices::between(&old, &new) {
        if notice.warning {
            tracing::warn!(reason = notice.reason, "{}", notice.note);
        } else {
            tracing::info!(reason = notice.reason, "{}", notice.note);
        }
        // An Event that gets lost is no reason to fail: the conditions say the same.
        if let Err(error) = context.events.publish(&notice.event(), &reference).await
            && !is_namespace_ending(&error)
        {
            tracing::warn!(%error, reason = notice.reason, "failed to write an Event");
        }
    }
    Ok(())
}

/// The new status. What an outcome says nothing about stays as it was.
pub fn compute(
    cluster: &DnsCluster,
    observed: Observed<'_>,
    outcome: &Outcome,
    now: Timestamp,
) -> DnsClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let names = Names {
        namespace: cluster.namespace().unwrap_or_default(),
        cluster: cluster.name_any(),
    };
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    status.replicas = count(observed.pods.len());
    status.ready_replicas = count(observed.ready());
    status.selector = Some(names.selector_text(Part::Dns));
    status.api_pod = observed.api_pod.map(str::to_owned);

    let generation = cluster.metadata.generation;
    let known: Vec<ConditionType> = [
        ConditionType::Ready,
        ConditionType::ObjectStoreReady,
        ConditionType::Progressing,
    ]
    .into_iter()
    .filter(|type_| conditions::find(&status.conditions, *type_).is_some())
    .collect();
    let removed: &[ConditionType] = if matches!(outcome, Outcome::Paused) {
        &[]
    } else {
        &[ConditionType::Paused]
    };
    status.conditions = conditions::update(
        &status.conditions,
        verdicts(outcome, observed, &known),
        removed,
        generation,
        now,
    );

    if !matches!(outcome, Outcome::Paused | Outcome::Failed(_)) {
        status.observed_generation = generation;
    }
    if let Some(plan) = outcome.plan() {
        status.object_store = Some(ObjectStoreStatus {
            endpoint: plan.bucket.endpoint.clone(),
            bucket: plan.bucket.name.clone(),
            prefix: plan.bucket.prefix.clone(),
        });
        let mut pods: Vec<_> = observed.pods.iter().collect();
        pods.sort_by_key(|pod| ordinal(pod));
        status.instances = pods
            .into_iter()
            .map(|pod| InstanceStatus {
                instance: plan.instance(&pod.name_any()),
                ready: is_ready(pod),
                pod: pod.name_any(),
            })
            .collect();
    }
    status
}
