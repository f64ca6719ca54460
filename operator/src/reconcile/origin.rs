//! What a `DnsCluster` was made as: the PowerDNS that its data are of, and how its prefix is formed. Both stay for as long as there
//! are data, so they are read from what there is before they are taken from the spec. Pure.
//!
//! Releases before `spec.powerdns.version` knew 4.9 alone, appended `/schema-5/` to every prefix, and annotated nothing: what they
//! made is told by the lack of the annotation.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{Resource, ResourceExt};
use zonetide_crds::{DnsCluster, PowerDnsVersion};

use super::{fetch::Fetched, plan::ValidateError};
use crate::names::VERSION_ANNOTATION;

/// What earlier releases appended to a prefix.
pub const APPENDED: &str = "schema-5/";

/// What a `DnsCluster` was made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub version: PowerDnsVersion,
    /// An earlier release made it.
    pub is_older: bool,
    /// Nothing of it is there yet.
    pub is_new: bool,
}

impl Origin {
    /// # Errors
    /// When a later release made it, or a claim is there that nobody knows.
    pub fn of(fetched: &Fetched) -> Result<Self, ValidateError> {
        let cluster = &fetched.cluster;
        let claims: Vec<Option<&str>> = fetched.claims.iter().map(annotation).collect();
        let set = fetched.stateful_set.as_ref().map(of_set);
        let annotated = set.flatten().or_else(|| claims.iter().flatten().next().copied());
        let is_older = match set {
            // What its claims are made from can never change.
            Some(made) => made.is_none(),
            None => annotated.is_none() && (!claims.is_empty() || has_older_prefix(cluster)),
        };
        if let Some(name) = &fetched.unknown_claim {
            return Err(ValidateError::ClaimUnknown(name.clone()));
        }
        let version = match (recorded(cluster), annotated) {
            (Some(version), _) => version,
            (None, Some(text)) => read(text)?,
            (None, None) if is_older => PowerDnsVersion::V4_9,
            (None, None) => cluster.spec.powerdns.version.unwrap_or(PowerDnsVersion::V5_1),
        };
        let is_new = set.is_none() && claims.is_empty() && !is_older && recorded(cluster).is_none();
        Ok(Self {
            version,
            is_older,
            is_new,
        })
    }

    /// Where its objects are, for this prefix of its spec.
    pub(super) fn prefix(self, given: &str) -> String {
        if self.is_older {
            older_prefix(given)
        } else {
            given.to_owned()
        }
    }

    /// What is written on its `StatefulSets` and claims.
    pub fn annotation(self) -> Option<(String, String)> {
        (!self.is_older).then(|| (VERSION_ANNOTATION.to_owned(), self.version.as_str().to_owned()))
    }
}

/// What an earlier release made of a prefix, which may be written in full as well.
pub(super) fn older_prefix(given: &str) -> String {
    if given.ends_with(&format!("/{APPENDED}")) {
        return given.to_owned();
    }
    format!("{}/{APPENDED}", given.trim_end_matches('/'))
}

/// Nothing is asked of claims: the status or the servers say enough.
pub(super) fn is_known_without_claims(cluster: &DnsCluster, stateful_set: Option<&StatefulSet>) -> bool {
    recorded(cluster).is_some() || stateful_set.is_some()
}

fn recorded(cluster: &DnsCluster) -> Option<PowerDnsVersion> {
    cluster.status.as_ref()?.powerdns_version
}

/// Of its claims' template, which nobody can change, or else its own.
fn of_set(set: &StatefulSet) -> Option<&str> {
    let templates = set
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_claim_templates.as_ref());
    match templates.and_then(|templates| templates.first()) {
        Some(template) => annotation(template),
        None => annotation(set),
    }
}

fn annotation<K: Resource>(object: &K) -> Option<&str> {
    object.annotations().get(VERSION_ANNOTATION).map(String::as_str)
}

/// The status is all that is left, and what it says is not what the spec does.
fn has_older_prefix(cluster: &DnsCluster) -> bool {
    let store = cluster
        .status
        .as_ref()
        .and_then(|status| status.object_store.as_ref());
    let given = cluster
        .spec
        .object_store
        .s3
        .as_ref()
        .and_then(|s3| s3.prefix.as_deref());
    store.is_some_and(|store| {
        store.prefix.ends_with(&format!("/{APPENDED}")) && given != Some(store.prefix.as_str())
    })
}

fn read(text: &str) -> Result<PowerDnsVersion, ValidateError> {
    let mut all = PowerDnsVersion::ALL.into_iter();
    all.find(|version| version.as_str() == text)
        .ok_or_else(|| ValidateError::VersionUnknown(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        reconcile::claims::Claim,
        testing::{MANAGED, S3, fetched},
    };

    const V49: &str = "{objectStore: {managed: {}}, powerdns: {version: '4.9'}}";

    fn set(annotations: &Value) -> StatefulSet {
        serde_json::from_value(json!({"metadata": {"name": "tide", "annotations": annotations}})).unwrap()
    }

    fn claim(annotations: &Value) -> Claim {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-tide-0", "annotations": annotations},
        }))
        .unwrap()
    }

    fn of(fetched: &Fetched) -> (&'static str, bool, bool) {
        let origin = Origin::of(fetched).unwrap();
        (origin.version.as_str(), origin.is_older, origin.is_new)
    }

    fn annotated(version: &str) -> Value {
        json!({VERSION_ANNOTATION: version})
    }

    #[test]
    fn a_new_one_is_what_its_spec_says_or_the_newest() {
        assert_eq!(of(&fetched(MANAGED)), ("5.1", false, true));
        assert_eq!(of(&fetched(V49)), ("4.9", false, true));
    }

    #[test]
    fn what_an_earlier_release_made_stays_at_4_9_also_when_only_its_volumes_or_its_status_are_left() {
        let mut with_set = fetched(MANAGED);
        with_set.stateful_set = Some(set(&Value::Null));
        assert_eq!(of(&with_set), ("4.9", true, false));

        let mut with_claim = fetched(MANAGED);
        with_claim.claims = vec![claim(&json!({"volume.kubernetes.io/selected-node": "n"}))];
        assert_eq!(of(&with_claim), ("4.9", true, false));

        let mut with_status = fetched(MANAGED);
        with_status.cluster.status = Some(
            serde_json::from_value(json!({"objectStore": {
                "endpoint": "e", "bucket": "b", "prefix": "shore/tide/schema-5/"}}))
            .unwrap(),
        );
        assert_eq!(of(&with_status), ("4.9", true, false));
    }

    #[test]
    fn what_this_release_made_is_told_by_its_servers_and_volumes_whatever_the_spec_says_now() {
        let mut with_set = fetched(V49);
        with_set.stateful_set = Some(set(&annotated("5.1")));
        assert_eq!(of(&with_set), ("5.1", false, false));

        let mut with_claim = fetched(MANAGED);
        with_claim.claims = vec![claim(&annotated("4.9"))];
        assert_eq!(of(&with_claim), ("4.9", false, false));
    }

    /// Someone who annotates what an earlier release made, or strips what this one did, changes no template.
    #[test]
    fn what_the_templates_of_claims_say_goes_before_what_anybody_can_change() {
        let with = |annotations: &Value, template: &Value| {
            serde_json::from_value(json!({
                "metadata": {"name": "tide", "annotations": annotations},
                "spec": {"selector": {}, "template": {}, "volumeClaimTemplates": [{"metadata": {"annotations": template}}]},
            }))
            .unwrap()
        };
        let mut older = fetched(MANAGED);
        older.stateful_set = Some(with(&annotated("4.9"), &Value::Null));
        older.claims = vec![claim(&annotated("4.9"))];
        assert_eq!(of(&older), ("4.9", true, false));
        let mut newer = fetched(MANAGED);
        newer.stateful_set = Some(with(&Value::Null, &annotated("5.1")));
        assert_eq!(of(&newer), ("5.1", false, false));
    }

    #[test]
    fn a_claim_that_nobody_knows_is_not_guessed_at() {
        let mut unknown = fetched(MANAGED);
        unknown.unknown_claim = Some("data-tide-0".into());
        let error = Origin::of(&unknown).unwrap_err().to_string();
        for part in ["data-tide-0", "zonetide.dev/powerdns-version=4.9"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_version_of_a_later_release_is_not_guessed_at() {
        let mut later = fetched(MANAGED);
        later.claims = vec![claim(&annotated("6.0"))];
        let error = Origin::of(&later).unwrap_err().to_string();
        assert!(
            error.contains("PowerDNS 6.0") && error.contains("upgrade Zonetide"),
            "{error}"
        );
    }

    #[test]
    fn a_prefix_is_used_as_it_is_and_an_earlier_releases_goes_on() {
        let new = Origin::of(&fetched(S3)).unwrap();
        for prefix in ["", "a", "a/b/", "a/schema-5/"] {
            assert_eq!(new.prefix(prefix), prefix);
        }
        let older = Origin {
            is_older: true,
            ..new
        };
        assert_eq!(older.prefix("a/b/"), "a/b/schema-5/");
        assert_eq!(older.prefix("a/b"), "a/b/schema-5/");
        assert_eq!(older.prefix("a/b/schema-5/"), "a/b/schema-5/");
    }

    #[test]
    fn a_prefix_that_a_spec_ends_in_schema_5_itself_is_no_sign_of_an_earlier_release() {
        let spec = S3.replace("bucket: crater", "bucket: crater, prefix: a/schema-5/");
        let mut joined = fetched(&spec);
        joined.cluster.status = Some(
            serde_json::from_value(json!({"objectStore": {
                "endpoint": "e", "bucket": "crater", "prefix": "a/schema-5/"}}))
            .unwrap(),
        );
        assert_eq!(of(&joined), ("5.1", false, true));
    }
}
