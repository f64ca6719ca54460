//! The certificates of a private authority, for the agent: it reads them again when they change.

use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};
use serde_json::{Value, json};
use zonetide_crds::CaSecretRef;

use super::pod::read_only;
use crate::reconcile::plan::Plan;

const VOLUME: &str = "store-ca";
const DIR: &str = "/etc/zonetide-store-ca";
const FILE: &str = "ca.crt";

fn reference(plan: &Plan) -> Option<&CaSecretRef> {
    plan.spec.object_store.s3.as_ref()?.ca_secret_ref.as_ref()
}

/// The agent's `storage.options.tls`.
pub(super) fn options(plan: &Plan) -> Option<Value> {
    reference(plan).map(|_| json!({"ca_file": format!("{DIR}/{FILE}"), "watch_certs": true}))
}

pub(super) fn mount(plan: &Plan) -> Option<VolumeMount> {
    reference(plan).map(|_| read_only(VOLUME, DIR))
}

/// The one key of the Secret: beside it there may be a private one.
pub(super) fn volume(plan: &Plan) -> Option<Volume> {
    let reference = reference(plan)?;
    Some(Volume {
        name: VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(reference.name.clone()),
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath {
                key: reference.key.clone(),
                path: FILE.to_owned(),
                mode: None,
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    })
}
