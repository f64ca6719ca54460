//! Sees to it that each agent has a certificate by which the others know it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    apply::{self, ApplyError},
    fetch::Fetched,
    instances,
    plan::Plan,
};
use crate::{
    build,
    context::Context,
    peer_certificates::{PeerCertificates, Server},
};

/// Whether servers have some already: those are renewed whatever else is wrong.
pub(super) fn are_there(fetched: &Fetched) -> bool {
    fetched.secrets.peers_authority.is_some() || fetched.secrets.peers_certificates.is_some()
}

/// Makes what is missing or will end soon, and writes both Secrets. Servers do without what cannot be made: they meet in the bucket.
pub(super) async fn keep(
    context: &Context,
    plan: &Plan,
    fetched: &Fetched,
    now: Timestamp,
) -> Result<(), ApplyError> {
    let secrets = &fetched.secrets;
    let found = PeerCertificates::read(
        secrets.peers_authority.as_ref(),
        secrets.peers_certificates.as_ref(),
    );
    let name = plan.names.peers_authority_name();
    let renewed = match found.renewed(&name, &servers(plan, fetched), now) {
        Ok(renewed) => renewed,
        Err(error) => {
            tracing::warn!(%error, "no certificates for agents, it is tried again");
            return Ok(());
        }
    };
    for secret in build::peer_certificates(plan, &renewed) {
        apply::secret(context, secret).await?;
    }
    let made: Vec<&str> = renewed.changed(&found).collect();
    if !made.is_empty() {
        let authority = renewed.authority != found.authority;
        tracing::info!(pods = ?made, new_authority = authority, "made certificates for agents");
    }
    Ok(())
}

/// Those that there are and those that there will be.
fn servers(plan: &Plan, fetched: &Fetched) -> Vec<Server> {
    let set = fetched.stateful_set.as_ref();
    let asked_for = set.and_then(|set| set.spec.as_ref()?.replicas);
    let there = set.and_then(|set| Some(set.status.as_ref()?.replicas));
    let number = [Some(plan.spec.replicas), asked_for, there].into_iter().flatten();
    let wanted = 0..number.max().unwrap_or_default();
    let pods: BTreeSet<String> = wanted
        .map(|number| format!("{}-{number}", plan.names.cluster))
        .chain(fetched.pods.iter().map(ResourceExt::name_any))
        .filter(|pod| instances::number(plan, &plan.instance(pod)).is_some())
        .collect();
    pods.into_iter()
        .map(|pod| Server {
            instance: plan.stored_instance(&pod),
            pod,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{MANAGED, fetched, plan, pod};

    fn pods(plan: &Plan, fetched: &Fetched) -> Vec<String> {
        let servers = servers(plan, fetched).into_iter();
        servers.map(|server| server.pod).collect()
    }

    #[test]
    fn servers_that_are_wanted_and_those_that_are_still_there_have_one() {
        let plan = plan(MANAGED);
        let mut found = fetched(MANAGED);
        assert_eq!(pods(&plan, &found), ["tide-0", "tide-1"]);

        let set = |asked_for: i32, there: i32| {
            serde_json::from_value(json!({
                "spec": {"replicas": asked_for, "selector": {}, "template": {}}, "status": {"replicas": there},
            }))
            .unwrap()
        };
        found.stateful_set = Some(set(3, 0));
        assert_eq!(pods(&plan, &found), ["tide-0", "tide-1", "tide-2"]);
        found.stateful_set = Some(set(1, 3));
        assert_eq!(pods(&plan, &found), ["tide-0", "tide-1", "tide-2"]);

        // The one that ends now is no longer counted.
        found.stateful_set = Some(set(2, 2));
        found.pods = vec![pod("tide-2", false, "new")];
        assert_eq!(pods(&plan, &found), ["tide-0", "tide-1", "tide-2"]);
        found.pods.clear();
        assert_eq!(pods(&plan, &found), ["tide-0", "tide-1"]);
    }

    #[test]
    fn a_pod_that_only_bears_the_labels_has_none() {
        let mut found = fetched(MANAGED);
        found.pods = ["tide-x", "tide-", "moon-2", "tide-02", "tide-4000000000"]
            .map(|name| pod(name, true, "new"))
            .into();
        assert_eq!(
            pods(&plan(MANAGED), &found),
            ["tide-0", "tide-1", "tide-4000000000"]
        );
    }

    #[test]
    fn a_server_is_named_as_the_names_of_its_objects_have_it() {
        let found = fetched(MANAGED);
        let named = servers(&plan(MANAGED), &found);
        assert_eq!(named[1].instance, "0a1b2c3d-shore-tide-1");
        let mut dotted = plan(MANAGED);
        dotted.names.cluster = "ti.de".into();
        assert_eq!(
            servers(&dotted, &found)[0],
            Server {
                pod: "ti.de-0".into(),
                instance: "0a1b2c3d-shore-ti-de-0".into(),
            }
        );
    }
}
