//! What the agents' reports mean for users: the condition `Replicating`. Pure.

use zonetide_crds::{ConditionType, Reason};

use super::{
    api_pod::is_ready,
    conditions::{Status, Verdict},
    outcome::Observed,
    plan::Plan,
    quote::quoted,
    verdict::verdict,
};
use crate::objectstore::StoreError;
use kube::ResourceExt;

/// More than these would hide the first.
const NAMED: usize = 3;

/// `store_error` is what the operator itself finds wrong with the store.
pub(super) fn replicating(plan: &Plan, store_error: Option<&StoreError>, observed: Observed<'_>) -> Verdict {
    let of = |status, reason, message: String| verdict(ConditionType::Replicating, status, reason, message);
    let bucket = &plan.bucket;

    let collisions: Vec<String> = observed
        .reported()
        .filter(|(_, status)| status.collides())
        .map(|(pod, _)| plan.instance(pod))
        .collect();
    if !collisions.is_empty() {
        let message = format!(
            "somebody else stores in {} as {}, the name of a server of this DnsCluster, which therefore stores \
             nothing until that has been quiet for five minutes; no change is lost. Stop the other one or give it another name: of \
             two DnsClusters with the same names, set spec.objectStore.deletionPolicy of one to Retain, since its objects have the \
             names of the other's, delete it, and apply it again with its own spec.replication.site, metadata.name or prefix",
            bucket.place(),
            listed(&collisions),
        );
        return of(Status::False, Reason::IdentityCollision, message);
    }

    let alone: Vec<String> = observed
        .reported()
        .filter_map(|(pod, status)| Some(format!("{pod} ({})", status.serves_without_store()?)))
        .collect();
    if !alone.is_empty() {
        let message = format!(
            "servers that started while bucket {} did not answer serve without it: {}; what was written elsewhere meanwhile comes when it is back",
            bucket.name,
            listed(&alone)
        );
        return of(Status::False, Reason::ServingWithoutStore, message);
    }

    let outside: Vec<String> = observed
        .reported()
        .filter_map(|(pod, status)| Some(format!("{pod} ({})", quoted(status.cannot_load()?))))
        .collect();
    if !outside.is_empty() {
        let message = format!(
            "servers that cannot load what is in bucket {} do not serve: {}; it is tried again",
            bucket.name,
            listed(&outside)
        );
        return of(Status::False, Reason::ReplicationFailing, message);
    }

    let failures: Vec<String> = observed
        .reported()
        .filter_map(|(pod, status)| Some(format!("{pod} ({})", quoted(&status.trouble()?))))
        .collect();
    if !failures.is_empty() {
        let message = format!(
            "servers answer and take changes, but not all exchange them: {}; it is tried again",
            listed(&failures)
        );
        return of(Status::False, Reason::ReplicationFailing, message);
    }

    // Agents give a store some time, and the operator has just asked.
    let pods = !observed.pods.is_empty();
    if let Some(error) = store_error.filter(|_| pods) {
        let message = format!(
            "servers answer and take changes, which reach bucket {} when it is back: {error}",
            bucket.name
        );
        return of(Status::False, Reason::ObjectStoreNotReady, message);
    }

    let ready = || observed.pods.iter().filter(|pod| is_ready(pod));
    let silent: Vec<String> = ready()
        .filter_map(|pod| {
            let name = pod.name_any();
            let report = observed.reports.iter().find(|report| report.pod == name)?;
            let error = report.status.as_ref().err()?;
            Some(format!("{name} ({})", quoted(error)))
        })
        .collect();
    if !silent.is_empty() {
        let message = format!(
            "the agents of ready servers do not answer the operator: {}; does a NetworkPolicy keep it from port {} of the pods?",
            listed(&silent),
            crate::names::AGENT_PORT,
        );
        return of(Status::Unknown, Reason::AgentsUnreachable, message);
    }
    if ready().next().is_none() {
        let message = "no server is ready yet".to_owned();
        return of(Status::Unknown, Reason::ServersStarting, message);
    }
    let message = format!(
        "the servers exchange their changes through {}, each under a name of its own",
        bucket.place()
    );
    of(Status::True, Reason::InSync, message)
}

/// The first few.
fn listed(texts: &[String]) -> String {
    let named = texts.iter().take(NAMED).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(NAMED) {
        0 => named,
        rest => format!("{named} and {rest} more"),
    }
}

#[cfg(test)]
#[path = "replication_tests.rs"]
mod tests;
