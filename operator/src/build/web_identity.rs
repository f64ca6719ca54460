//! What lets the agent into a bucket by the pods' service account: annotations of it, and a token of its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use super::pod::read_only;
use crate::reconcile::plan::{Plan, StorePlan};
use zonetide_crds::WebIdentity;

const VOLUME: &str = "web-identity";
const DIR: &str = "/var/run/secrets/zonetide.dev/web-identity";
const FILE: &str = "token";
/// The kubelet renews it when four fifths of this are over.
const TOKEN_SECONDS: i64 = 3600;

/// What the spec wants on the service account, for something in the cluster that acts on it.
pub(super) fn annotations(plan: &Plan) -> Option<BTreeMap<String, String>> {
    web_identity(plan)?.service_account_annotations.clone()
}

/// The names are those that AWS' SDKs, and what injects them on EKS, have agreed on.
pub(super) fn environment(plan: &Plan) -> Vec<EnvVar> {
    let Some((identity, role)) = with_token(plan) else {
        return Vec::new();
    };
    let file = format!("{DIR}/{FILE}");
    let mut list = vec![
        ("AWS_ROLE_ARN", role),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.as_str()),
        ("AWS_REGION", plan.bucket.region.as_str()),
    ];
    if let Some(endpoint) = &identity.sts_endpoint {
        list.push(("AWS_ENDPOINT_URL_STS", endpoint.trim_end_matches('/')));
    }
    let variable = |(name, value): (&str, &str)| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    list.into_iter().map(variable).collect()
}

pub(super) fn mount(plan: &Plan) -> Option<VolumeMount> {
    with_token(plan).map(|_| read_only(VOLUME, DIR))
}

/// A token that is good for the store's STS and not for the API server.
pub(super) fn volume(plan: &Plan) -> Option<Volume> {
    let (identity, _) = with_token(plan)?;
    let token = ServiceAccountTokenProjection {
        audience: Some(identity.audience.clone()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: FILE.to_owned(),
    };
    Some(Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            // What the API server would fill in.
            default_mode: Some(0o644),
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(token),
                ..VolumeProjection::default()
            }]),
        }),
        ..Volume::default()
    })
}

fn web_identity(plan: &Plan) -> Option<&WebIdentity> {
    match &plan.store {
        StorePlan::WebIdentity(identity) => Some(identity),
        _ => None,
    }
}

/// Where a role is named, the operator sees to the token. Else something in the cluster does, by the annotations.
fn with_token(plan: &Plan) -> Option<(&WebIdentity, &str)> {
    let identity = web_identity(plan)?;
    Some((identity, identity.role_arn.as_deref()?))
}
