//! Everything that the managed Garage consists of: one node with one volume, or three.

use std::marker::PhantomData;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, HTTPGetAction, Probe,
        TCPSocketAction, Volume,
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
    store_nodes::{self, StoreStage},
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
/// Makes a layout of one node by itself. By this argument it shows in a pod that it is of a store with one node.
pub const SINGLE_NODE: &str = "--single-node";

/// The managed Garage: with a stage one of three nodes, else one of one.
pub(super) fn garage(
    plan: &Plan,
    managed: &ManagedStore,
    (rpc_secret, admin_token): (&SecretText, &SecretText),
    stage: Option<StoreStage>,
) -> StoreResources<Prepared> {
    let name = plan.names.garage();
    let config = toml(plan, stage.is_some());
    // A pod of one node may still be there when the others are made, and be started again with its own file.
    let config_name = match stage {
        Some(_) => plan.names.garage_nodes(),
        None => name.clone(),
    };
    let node = Node {
        part: Part::Garage,
        name: name.clone(),
        user: GARAGE_USER,
        checksum: checksum(&[&config, rpc_secret.expose(), admin_token.expose()]),
        init_container: stage.map(|_| store_nodes::fresh_layout(plan)),
        container: container(plan, managed, stage.is_none()),
        volumes: vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: config_name.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }],
        stage,
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
        disruption_budget: stage.and_then(|stage| store_nodes::disruption_budget(plan, stage)),
        config: Some(ConfigMap {
            metadata: metadata(plan, Part::Garage, config_name),
            data: Some([("garage.toml".to_owned(), config)].into()),
            ..ConfigMap::default()
        }),
        state: PhantomData,
    }
}

/// Without secrets: those come from the environment.
fn toml(plan: &Plan, three: bool) -> String {
    let any = plan.settings.any_address();
    let loopback = if plan.settings.ipv6_first {
        "[::1]"
    } else {
        "127.0.0.1"
    };
    let (factor, why_fsync) = if three {
        (3, "A loss of power may take all three at once.")
    } else {
        (1, "There is no other node to repair this one from.")
    };
    // Three find their public address by themselves, and the operator tells each where the others are.
    let rpc = if three {
        format!("rpc_bind_addr = \"{any}:{GARAGE_RPC_PORT}\"")
    } else {
        let address = format!("{loopback}:{GARAGE_RPC_PORT}");
        format!("rpc_bind_addr = \"{address}\"\nrpc_public_addr = \"{address}\"")
    };
    format!(
        r#"# Written by the Zonetide operator.
metadata_dir = "/var/lib/garage/meta"
data_dir = "/var/lib/garage/data"
db_engine = "lmdb"
replication_factor = {factor}
# {why_fsync}
metadata_fsync = true
data_fsync = true
# Compact copies of the metadata in meta/snapshots, of which Garage keeps the last two.
metadata_auto_snapshot_interval = "6h"
{rpc}

[s3_api]
s3_region = "{MANAGED_REGION}"
api_bind_addr = "{any}:{GARAGE_S3_PORT}"

[admin]
api_bind_addr = "{any}:{GARAGE_ADMIN_PORT}"
"#
    )
}

fn container(plan: &Plan, managed: &ManagedStore, single: bool) -> Container {
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
        command: Some(command(single)),
        env: Some(vec![
            EnvVar {
                name: "GARAGE_CONFIG_FILE".to_owned(),
                value: Some(CONFIG_FILE.to_owned()),
                ..EnvVar::default()
            },
            env_from("GARAGE_RPC_SECRET", &secret, GARAGE_RPC_SECRET),
            env_from("GARAGE_ADMIN_TOKEN", &secret, GARAGE_ADMIN_TOKEN),
        ]),
        ports: Some(ports(single)),
        readiness_probe: Some(if single {
            // Healthy is more than listening: the layout is there and the data can be read and written.
            Probe {
                tcp_socket: None,
                http_get: Some(HTTPGetAction {
                    path: Some("/health".to_owned()),
                    port: IntOrString::String("admin".to_owned()),
                    ..HTTPGetAction::default()
                }),
                ..probe(2, 3)
            }
        } else {
            store_nodes::readiness(probe(2, 3))
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

fn command(single: bool) -> Vec<String> {
    let single = single.then_some(SINGLE_NODE);
    ["/garage", "server"]
        .into_iter()
        .chain(single)
        .map(str::to_owned)
        .collect()
}

fn ports(single: bool) -> Vec<ContainerPort> {
    let mut ports = vec![
        port("s3", GARAGE_S3_PORT, "TCP"),
        port("admin", GARAGE_ADMIN_PORT, "TCP"),
    ];
    if !single {
        ports.push(port("rpc", GARAGE_RPC_PORT, "TCP"));
    }
    ports
}
