//! What the pods of servers mount, but for what only some stores need.

use k8s_openapi::{
    api::core::v1::{ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::names::{Names, PEERS_TOKEN};

/// `config` is the `ConfigMap` with the files of this revision.
pub(super) fn volumes(names: &Names, config: &str) -> Vec<Volume> {
    vec![
        config_volume("config", config.to_owned()),
        config_volume("retired", names.retired()),
        secret_volume("api-key", names.api_key(), "api.conf"),
        secret_volume("peers", names.peers_secret(), PEERS_TOKEN),
        // As a whole: a server more must not change the pods of all others. And PowerDNS starts without it.
        Volume {
            name: "peers-tls".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names.peers_certificates()),
                default_mode: Some(0o440),
                optional: Some(true),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "object-store".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names.object_store()),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "run".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
        // For zones that a person edits. In memory, where a full one is an error for him: on disk it would evict the server.
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity("64Mi".to_owned())),
            }),
            ..Volume::default()
        },
    ]
}

fn config_volume(name: &str, config_map: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map,
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A Secret of which only one key becomes a file: PowerDNS reads every `*.conf` there, and what else somebody puts into
/// a Secret is not for the pods.
fn secret_volume(name: &str, secret: String, key: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: None,
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}
