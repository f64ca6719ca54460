//! Volumes outlive their `DnsCluster`, so its claims have no owner. But they bear the label by which Argo CD may tell what an application
//! has, `app.kubernetes.io/instance`, so it would take them for something that was removed from Git and delete them. An annotation
//! keeps it from that. Claim templates of a `StatefulSet` cannot change, so it is given to the claims themselves.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::json;

use super::fetch::Fetched;
use crate::{
    context::Context,
    names::{
        ARGO_CD_ANNOTATION, ARGO_CD_KEEPS, INSTANCE_LABEL, MANAGER, NAME_LABEL, Names, Part,
        VERSION_ANNOTATION,
    },
};

const PARTS: [Part; 3] = [Part::Dns, Part::Garage, Part::Minio];

/// A claim without what it asks for.
pub type Claim = PartialObjectMeta<PersistentVolumeClaim>;

/// The claims of the cluster's servers and managed store. Where it is not known what it was made as, those too that only have the
/// names of its claims, as some that were restored from a backup: such a one without an annotation is named.
pub(super) async fn fetch(
    context: &Context,
    names: &Names,
    is_known: bool,
) -> Result<(Vec<Claim>, Option<String>), kube::Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &names.namespace);
    let mut claims = list(&api, names).await?;
    let mut unknown = None;
    if claims.is_empty() && !is_known {
        let all = api.list_metadata(&ListParams::default()).await?.items;
        for claim in all.into_iter().filter(|claim| has_name_of_ours(claim, names)) {
            if claim.annotations().contains_key(VERSION_ANNOTATION) {
                claims.push(claim);
            } else {
                unknown = Some(claim.name_any());
            }
        }
    }
    Ok((claims, unknown))
}

/// `data-NAME-0` and so on, of servers and managed store, and not labelled as another DnsCluster's: `dns-garage` has servers whose
/// claims are named like those of the managed store of `dns`.
fn has_name_of_ours(claim: &Claim, names: &Names) -> bool {
    let name = claim.name_any();
    let pods = [names.cluster.clone(), names.garage(), names.minio()];
    let labelled = claim.labels().get(INSTANCE_LABEL);
    claim.metadata.deletion_timestamp.is_none()
        && labelled.is_none_or(|cluster| *cluster == names.cluster)
        && pods.iter().any(|of| {
            let number = name
                .strip_prefix("data-")
                .and_then(|name| name.strip_prefix(of.as_str()));
            let number = number
                .and_then(|number| number.strip_prefix('-'))
                .unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

async fn list(api: &Api<PersistentVolumeClaim>, names: &Names) -> Result<Vec<Claim>, kube::Error> {
    let params = ListParams::default().labels(&selector(names));
    let claims = api.list_metadata(&params).await?;
    Ok(claims
        .items
        .into_iter()
        .filter(|claim| is_ours(claim, names))
        .collect())
}

/// Annotates the claims that lack the annotation. Another value is somebody's choice and stays. Servers do not wait for this: what
/// goes wrong is logged, and tried again by the next reconcile.
pub(super) async fn keep(context: &Context, fetched: &Fetched) {
    let namespace = fetched.cluster.namespace().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    for claim in fetched.claims.iter().filter(|claim| is_unprotected(claim)) {
        annotate(&api, claim).await;
    }
}

/// The claims of all parts.
fn selector(names: &Names) -> String {
    let parts: Vec<String> = PARTS
        .iter()
        .filter_map(|part| names.selector(*part).remove(NAME_LABEL))
        .collect();
    format!(
        "{INSTANCE_LABEL}={},{NAME_LABEL} in ({})",
        names.cluster,
        parts.join(",")
    )
}

fn is_ours(claim: &Claim, names: &Names) -> bool {
    let labels = claim.labels();
    PARTS.iter().any(|part| {
        let mut wanted = names.selector(*part).into_iter();
        wanted.all(|(key, value)| labels.get(&key) == Some(&value))
    })
}

fn is_unprotected(claim: &Claim) -> bool {
    claim.metadata.deletion_timestamp.is_none() && !claim.annotations().contains_key(ARGO_CD_ANNOTATION)
}

async fn annotate(api: &Api<PersistentVolumeClaim>, claim: &Claim) {
    let name = claim.name_any();
    // Not over a value that somebody has set since.
    let patch = json!({"metadata": {
        "resourceVersion": claim.resource_version(),
        "annotations": {ARGO_CD_ANNOTATION: ARGO_CD_KEEPS},
    }});
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch_metadata(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
        Err(error) => {
            tracing::warn!(%error, claim = name, "cannot annotate a PersistentVolumeClaim: Argo CD may prune it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, cluster: Option<&str>) -> Claim {
        let labels = cluster.map(|cluster| json!({INSTANCE_LABEL: cluster}));
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    }

    #[test]
    fn a_restored_volume_is_known_by_its_name_unless_it_is_labelled_as_another_clusters() {
        let names = Names {
            namespace: "zone".into(),
            cluster: "dns".into(),
        };
        for (name, cluster, ours) in [
            ("data-dns-0", None, true),
            ("data-dns-12", Some("dns"), true),
            ("data-dns-garage-0", None, true),
            ("data-dns-garage-0", Some("dns"), true),
            ("data-dns-garage-0", Some("dns-garage"), false),
            ("data-dns-garage-x", None, false),
            ("data-dnsx-0", None, false),
            ("data-dns-", None, false),
        ] {
            assert_eq!(
                has_name_of_ours(&claim(name, cluster), &names),
                ours,
                "{name} of {cluster:?}"
            );
        }
    }
}
