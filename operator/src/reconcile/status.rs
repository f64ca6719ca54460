//! Step 5: tells users what came of it, in the status and, when something changed, in Events.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use thiserror::Error;
use zonetide_crds::{ConditionType, DnsCluster, DnsClusterStatus, Reason};

use super::{
    api_pod,
    conditions::{self, Status, Verdict},
    credentials, expose,
    fetch::Fetched,
    instances,
    notices::{self, Notice},
    outcome::{Observed, Outcome},
    verdict::{ALWAYS, verdicts},
    version,
};
use crate::{
    agents::AgentReport,
    context::Context,
    error::is_namespace_ending,
    names::{MANAGER, Names, Part},
    objectstore::renewal::Held,
};

#[derive(Debug, Error)]
pub enum StatusError {
    #[error("failed to write the status of DnsCluster {name}")]
    Write { name: String, source: kube::Error },
    #[error("failed to write the status of DnsRestore {name}")]
    WriteRestore { name: String, source: kube::Error },
}

/// Writes the status if it differs from what is there, and tells of transitions.
pub async fn report(
    context: &Context,
    fetched: &Fetched,
    reports: &[AgentReport],
    outcome: &Outcome,
) -> Result<DnsClusterStatus, StatusError> {
    let cluster = &fetched.cluster;
    let old = cluster.status.clone().unwrap_or_default();
    let api_pod = api_pod::active(&fetched.pods);
    let held = fetched.secrets.object_store.as_ref().and_then(Held::read);
    let observed = Observed {
        pods: &fetched.pods,
        api_pod: api_pod.as_deref(),
        api_endpoints: fetched.api_endpoints.as_deref(),
        reports,
        refusals: Some(&fetched.refusals),
        held: held.as_ref(),
        now: Timestamp::now(),
    };
    let new = compute(cluster, observed, outcome);
    let reference = cluster.object_ref(&());
    // What was done is done, also if its status cannot be written.
    tell(context, &reference, notices::of(&old, outcome, observed)).await;
    if new == old {
        return Ok(new);
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
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(new),
        Err(source) => return Err(StatusError::Write { name, source }),
    }
    tell(context, &reference, notices::between(&old, &new)).await;
    Ok(new)
}

/// To the log and in Events.
pub(crate) async fn tell(context: &Context, reference: &ObjectReference, notices: Vec<Notice>) {
    for notice in notices {
        if notice.warning {
            tracing::warn!(reason = notice.reason, "{}", notice.note);
        } else {
            tracing::info!(reason = notice.reason, "{}", notice.note);
        }
        // An Event that gets lost is no reason to fail: the conditions say the same.
        if let Err(error) = context.events.publish(&notice.event(), reference).await
            && !is_namespace_ending(&error)
        {
            tracing::warn!(%error, reason = notice.reason, "failed to write an Event");
        }
    }
}

/// The new status. What an outcome says nothing about stays as it was.
pub fn compute(cluster: &DnsCluster, observed: Observed<'_>, outcome: &Outcome) -> DnsClusterStatus {
    let old = cluster.status.clone().unwrap_or_default();
    let mut status = old.clone();
    let names = Names {
        namespace: cluster.namespace().unwrap_or_default(),
        cluster: cluster.name_any(),
    };
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    status.replicas = count(observed.pods.len());
    status.ready_replicas = count(observed.ready());
    status.selector = Some(names.selector_text(Part::Dns));
    status.api_pod = observed.api_pod.map(str::to_owned);

    let halted = outcome
        .reconciled()
        .is_some_and(|of| of.paused || of.failed.is_some());
    let generation = cluster.metadata.generation;
    let known: Vec<ConditionType> = ALWAYS
        .into_iter()
        .filter(|type_| conditions::find(&status.conditions, *type_).is_some())
        .collect();
    let mut removed = Vec::new();
    let reconciled = outcome.reconciled();
    if !reconciled.is_some_and(|of| of.paused) {
        removed.push(ConditionType::Paused);
    }
    let exposed = reconciled.is_some_and(|of| of.exposure_failed.is_some());
    if outcome.plan().is_some() && !exposed && !expose::asked_for(&cluster.spec) {
        removed.push(ConditionType::Exposed);
    }
    let mut found = verdicts(outcome, observed, &known);
    let goes_on = |of: &Verdict| {
        matches!(
            of.reason,
            Reason::AllServersReady | Reason::UpToDate | Reason::RollingUpdate
        )
    };
    if version::is_still_doubted(&status.conditions, observed) {
        found.retain(|verdict| !goes_on(verdict));
    }
    status.conditions = conditions::update(&status.conditions, found, &removed, generation, observed.now);
    // Of a spec that was not carried out nobody is to believe that its servers are ready.
    let ready = |condition: &&mut Condition| {
        condition.type_ == ConditionType::Ready.as_str() && condition.status == Status::True.as_str()
    };
    if halted && let Some(ready) = status.conditions.iter_mut().find(ready) {
        ready.observed_generation = old.observed_generation.filter(|generation| *generation >= 0);
    }

    if !halted {
        status.observed_generation = generation;
    }
    if let Some(plan) = outcome.plan() {
        let known = status.object_store.unwrap_or_default();
        let urls = known.exposed.clone();
        let mut store = credentials::status(known, plan, outcome.store());
        if exposed {
            store.exposed = urls;
        }
        status.object_store = Some(store);
        // Before there are servers another may be chosen yet.
        if reconciled.is_some_and(|of| of.stateful_set.is_some()) {
            status.powerdns_version = Some(plan.origin.version);
        }
        status.instances = instances::own(&old, plan, observed);
        status.other_instances = instances::others(&old, plan, observed);
        status.retiring_instances = instances::retiring(&old, plan, observed);
    }
    status
}
