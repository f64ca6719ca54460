//! Store and keys: the managed store, the bucket, and keys that open it. It goes on while a `DnsCluster` is paused or its servers
//! cannot be made: keys end by themselves.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use zonetide_crds::PowerDnsVersion;

use super::{
    api_pod::is_ready,
    apply,
    fetch::Fetched,
    keys::{self, Access},
    origin,
    outcome::StoreOutcome,
    plan::{Plan, StorePlan},
    store_nodes::{self, Served},
    verdict::{is_observed, is_updated},
};
use crate::{agents::AgentReport, build, context::Context, error::Error, objectstore::StoreError};

/// Makes the store, the bucket and the keys, writes these down and hands them over. While `paused` the store itself is left alone.
///
/// # Errors
/// When a request to the API server fails. What is wrong with the store is in the result.
pub(super) async fn reconcile(
    context: &Context,
    plan: &Plan,
    fetched: &Fetched,
    reports: &[AgentReport],
    paused: bool,
) -> Result<Result<StoreOutcome, StoreError>, Error> {
    if let StorePlan::Minio { image: None, .. } = plan.store {
        return Ok(Err(StoreError::NoMinioImage));
    }
    let managed = match Box::pin(managed(context, plan, fetched, paused)).await? {
        Ok(managed) => managed,
        Err(error) => return Ok(Err(error)),
    };
    let address = managed.as_ref().map(|of| of.address);
    let source = match plan.source(&*context.sources, address) {
        Ok(source) => source,
        Err(error) => return Ok(Err(error)),
    };
    let opened = keys::open(&*source, plan, fetched, Timestamp::now()).await;
    let (bucket_created, obtained) = match opened {
        Ok(ready) => ready,
        Err(error) => return Ok(Err(through_proxy(plan, error))),
    };
    apply::secret(context, build::object_store(plan, &obtained.access)).await?;
    if plan.origin.is_new
        && let (Some(keys), Some(older)) = (obtained.access.keys(), older_prefix(plan))
    {
        match source.has_objects(keys, &older).await {
            Ok(false) => {}
            Ok(true) => {
                return Ok(Err(StoreError::OlderObjects {
                    bucket: plan.bucket.name.clone(),
                    prefix: older,
                }));
            }
            Err(error) => return Ok(Err(through_proxy(plan, error))),
        }
    }
    let settled = match &obtained.access {
        Access::Made(held) => keys::hand_over(context, plan, &*source, fetched, held, reports).await?,
        Access::Given(_) | Access::ServiceAccount => true,
    };
    let warnings = match obtained.access.keys() {
        Some(keys) => source.warnings(keys).await,
        None => Vec::new(),
    };
    Ok(Ok(StoreOutcome {
        bucket_created,
        obtained,
        settled,
        warnings,
        nodes: managed.map(|of| of.nodes).unwrap_or_default(),
    }))
}

/// Sees to the store itself, if the operator runs one.
async fn managed(
    context: &Context,
    plan: &Plan,
    fetched: &Fetched,
    paused: bool,
) -> Result<Result<Option<Served>, StoreError>, Error> {
    let wanted = store_nodes::are_wanted(plan);
    if wanted || store_nodes::are_there(plan, fetched) {
        if !wanted && fetched.store_stateful_set.is_none() {
            return Ok(Err(StoreError::Shrunk));
        }
        let nodes = store_nodes::reconcile(context, plan, fetched, paused || !wanted);
        let mut served = Box::pin(nodes).await?;
        if let Ok(served) = &mut served
            && !wanted
        {
            served.nodes.note = Some(StoreError::Shrunk.to_string());
        }
        return Ok(served.map(Some));
    }
    let Some(store) = build::store(plan) else {
        return Ok(Ok(None));
    };
    let stateful_set = if paused {
        fetched.store_stateful_set.clone()
    } else {
        Some(Box::pin(apply::store(context, store)).await?.stateful_set)
    };
    let address = stateful_set.and_then(|set| serving_address(&set, &fetched.store_pods));
    Ok(address.map_or_else(
        || Err(store_nodes::starting(fetched)),
        |address| Ok(Some(Served::alone(address))),
    ))
}

fn through_proxy(plan: &Plan, error: StoreError) -> StoreError {
    error.through(plan.proxy.as_ref().ok().and_then(Option::as_ref))
}

/// Where an earlier release would have stored for this spec. In a managed store that is new nothing can be.
fn older_prefix(plan: &Plan) -> Option<String> {
    plan.spec.object_store.s3.as_ref()?;
    let (new, older) = (&plan.bucket.prefix, origin::older_prefix(&plan.bucket.prefix));
    // Whoever names that place and the version means it.
    let is_meant = older == *new && plan.origin.version == PowerDnsVersion::V4_9;
    (!new.is_empty() && !is_meant).then_some(older)
}

/// The address of a pod that is ready and made from the newest template.
fn serving_address(stateful_set: &StatefulSet, pods: &[Pod]) -> Option<IpAddr> {
    let pod = pods
        .iter()
        .filter(|_| is_observed(stateful_set))
        .find(|pod| is_ready(pod) && is_updated(pod, stateful_set))?;
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}
