//! Has the agents remove the objects of servers that were scaled away.

use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::{
    apply::{self, ApplyError},
    fetch::Fetched,
    plan::Plan,
};
use crate::{build, context::Context, hex::hex, names::RETIRED_ANNOTATION};

/// Before the `StatefulSet` is applied: a server that comes back leaves the list before its pod starts.
pub(super) async fn tell(
    context: &Context,
    plan: &Plan,
    fetched: &Fetched,
    retiring: &[String],
) -> Result<(), ApplyError> {
    apply::config_map(context, build::retired(plan, retiring)).await?;
    // A change of the pod makes its kubelet look at what it mounts at once, instead of within minutes.
    let wanted = match retiring {
        [] => "none".to_owned(),
        some => hex(&Sha256::digest(some.join("\n"))[..6]),
    };
    for pod in fetched
        .pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
    {
        let told = pod.annotations().get(RETIRED_ANNOTATION);
        // A new pod has mounted the list as it was.
        if told != Some(&wanted) && !(told.is_none() && retiring.is_empty()) {
            let name = pod.name_any();
            apply::annotate_pod(context, &plan.names.namespace, &name, RETIRED_ANNOTATION, &wanted).await?;
        }
    }
    Ok(())
}
