//! Everything that the managed Garage consists of: one node with one volume.

use std::marker::PhantomData;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, ConfigMapVolumeSource, Container, EnvVar, HTTPGetAction, Probe, TCPSocketAction, Volume,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use zonetide_crds::ManagedStore;

use super::{
    Prepared, StoreResources, metadata,
    node::{Node, checksum, container_of, env_from, service, stateful_set},
    pod::{mount, port, read_only},
    secret,
    services::tcp,
};
use crate::{
    names::{
        GARAGE_ADMIN_PORT, GARAGE_ADMIN_TOKEN, GARAGE_RPC_PORT, GARAGE_RPC_SECRET, GARAGE_S3_PORT, Part,
    },
    reconcile::plan::{MANAGED_REGION, Plan},
    secret::SecretText,
};

/// The image is from scratch and has no user of its own.
const GARAGE_USER: i64 = 65532;
const CONFIG_FILE: &str = "/etc/garage/garage.toml";

/// The managed Garage.
pub(super) fn garage(
    plan: &Plan,
    managed: &ManagedStore,
    (rpc_secret, admin_token): (&SecretText, &SecretText),
) -> StoreResources<Prepared> {
    let name = plan.names.garage();
    let config = toml(plan);
    let node = Node {
        part: Part::Garage,
        name: name.clone(),
        user: GARAGE_USER,
        checksum: checksum(&[&config, rpc_secret.expose(), admin_token.expose()]),
        container: container(plan, managed),
        volumes: vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: name.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }],
    };
    StoreResources {
        secret: secret(
            plan,
            Part::Garage,
            name.clone(),
            [
                (GARAGE_RPC_SECRET, rpc_secret.clone()),
                (GARAGE_ADMIN_TOKEN, admin_token.clone()),
            ],
        ),
        service: service(
            plan,
            &node,
            vec![tcp("s3", GARAGE_S3_PORT), tcp("admin", GARAGE_ADMIN_PORT)],
        ),
        stateful_set: stateful_set(plan, managed, node),
        config: Some(ConfigMap {
            metadata: metadata(plan, Part::Garage, name),
            data: Some([("garage.toml".to_owned(), config)].into()),
            ..ConfigMap::default()
        }),
        state: PhantomData,
    }
}

/// Without secrets: those come from the environment.
fn toml(plan: &Plan) -> String {
    let any = plan.settings.any_address();
    let loopback = if plan.settings.ipv6_first {
        "[::1]"
    } else {
        "127.0.0.1"
    };
    format!(
        r#"# Written by the Zonetide operator.
metadata_dir = "/var/lib/garage/meta"
data_dir = "/var/lib/garage/data"
db_engine = "lmdb"
replication_factor = 1
# There is no other node to repair this one from.
metadata_fsync = true
data_fsync = true
# Compact copies of the metadata in meta/snapshots, of which Garage keeps the last two.
metadata_auto_snapshot_interval = "6h"
rpc_bind_addr = "{loopback}:{GARAGE_RPC_PORT}"
rpc_public_addr = "{loopback}:{GARAGE_RPC_PORT}"

[s3_api]
s3_region = "{MANAGED_REGION}"
api_bind_addr = "{any}:{GARAGE_S3_PORT}"

[admin]
api_bind_addr = "{any}:{GARAGE_ADMIN_PORT}"
"#
    )
}

fn container(plan: &Plan, managed: &ManagedStore) -> Container {
    let secret = plan.names.garage();
    let probe = |period, failures| Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String("s3".to_owned()),
            host: None,
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    Container {
        name: "garage".to_owned(),
        command: Some(["/garage", "server", "--single-node"].map(str::to_owned).into()),
        env: Some(vec![
            EnvVar {
                name: "GARAGE_CONFIG_FILE".to_owned(),
                value: Some(CONFIG_FILE.to_owned()),
                ..EnvVar::default()
            },
            env_from("GARAGE_RPC_SECRET", &secret, GARAGE_RPC_SECRET),
            env_from("GARAGE_ADMIN_TOKEN", &secret, GARAGE_ADMIN_TOKEN),
        ]),
        ports: Some(vec![
            port("s3", GARAGE_S3_PORT, "TCP"),
            port("admin", GARAGE_ADMIN_PORT, "TCP"),
        ]),
        // Healthy is more than listening: the layout is there and the data can be read and written.
        readiness_probe: Some(Probe {
            tcp_socket: None,
            http_get: Some(HTTPGetAction {
                path: Some("/health".to_owned()),
                port: IntOrString::String("admin".to_owned()),
                ..HTTPGetAction::default()
            }),
            ..probe(2, 3)
        }),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(30),
            ..probe(10, 6)
        }),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/garage"),
            read_only("config", "/etc/garage"),
        ]),
        ..container_of(
            plan,
            managed,
            managed.image.as_ref().unwrap_or(&plan.settings.garage_image),
        )
    }
}
