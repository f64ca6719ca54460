//! Whose an object is that bears a name which the operator would give. Pure.
//!
//! Server-side apply would write into any object of the name. Whoever may make a `DnsCluster` could so change an object that
//! they may not touch, and have it removed with the `DnsCluster`, or have the operator believe what is in it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use thiserror::Error;

use crate::names::{INSTANCE_LABEL, MANAGED_BY_LABEL, MANAGER};

/// An object of a name that the operator needs is not the `DnsCluster`'s.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Taken {
    /// The garbage collector comes for it, and the next reconcile finds the name free.
    #[error(
        "belongs to an earlier DnsCluster of this name and is not removed yet: if it stays, remove it yourself"
    )]
    ByPredecessor,
    #[error("belongs to {0}: remove it if it is not needed, or give the DnsCluster another name")]
    ByOwner(String),
    #[error(
        "was there before and is not this DnsCluster's: remove it if it is not needed, or give the DnsCluster another name"
    )]
    ByStranger,
}

/// Whether an object may be written for its `DnsCluster`.
///
/// One without a controller that bears the cluster's labels is taken back: a `DnsCluster` that was deleted with
/// `--cascade=orphan` left it, or a backup brought it back.
///
/// # Errors
/// Whose it is instead.
pub fn claim(found: &ObjectMeta, cluster: &OwnerReference) -> Result<(), Taken> {
    let owners = found.owner_references.iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) else {
        let label = |key| found.labels.as_ref()?.get(key).map(String::as_str);
        let is_ours =
            label(INSTANCE_LABEL) == Some(&*cluster.name) && label(MANAGED_BY_LABEL) == Some(MANAGER);
        return is_ours.then_some(()).ok_or(Taken::ByStranger);
    };
    if owner.uid == cluster.uid {
        return Ok(());
    }
    if (&owner.kind, &owner.name) == (&cluster.kind, &cluster.name) {
        return Err(Taken::ByPredecessor);
    }
    Err(Taken::ByOwner(format!("{} {}", owner.kind, owner.name)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(kind: &str, name: &str, uid: &str) -> OwnerReference {
        OwnerReference {
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            controller: Some(true),
            ..OwnerReference::default()
        }
    }

    fn claimed(meta: Value) -> Result<(), Taken> {
        let found = serde_json::from_value(meta).unwrap();
        claim(&found, &owner("DnsCluster", "tide", "cluster-uid"))
    }

    #[test]
    fn an_object_of_this_cluster_may_be_written() {
        let own = owner("DnsCluster", "tide", "cluster-uid");
        assert_eq!(claimed(json!({"ownerReferences": [own]})), Ok(()));
        let guest = json!({"kind": "Guest", "name": "g", "uid": "g", "apiVersion": "v1"});
        assert_eq!(claimed(json!({"ownerReferences": [guest, own]})), Ok(()));
    }

    #[test]
    fn an_object_of_another_owner_is_named_as_such() {
        let other = owner("StatefulSet", "moon", "1");
        assert_eq!(
            claimed(json!({"ownerReferences": [other]})),
            Err(Taken::ByOwner("StatefulSet moon".into()))
        );
        let earlier = owner("DnsCluster", "tide", "earlier-uid");
        assert_eq!(
            claimed(json!({"ownerReferences": [earlier]})),
            Err(Taken::ByPredecessor)
        );
    }

    #[test]
    fn an_object_without_an_owner_is_taken_back_by_its_labels_alone() {
        let labels =
            |instance, manager| json!({"labels": {INSTANCE_LABEL: instance, MANAGED_BY_LABEL: manager}});
        assert_eq!(claimed(labels("tide", MANAGER)), Ok(()));
        for stranger in [labels("moon", MANAGER), labels("tide", "helm"), json!({})] {
            assert_eq!(claimed(stranger), Err(Taken::ByStranger));
        }
        // Others than a controller leave it as free as none.
        let mut guest = owner("Guest", "g", "g");
        guest.controller = None;
        assert_eq!(
            claimed(json!({"ownerReferences": [guest]})),
            Err(Taken::ByStranger)
        );
    }
}
