//! Everything that the managed Garage consists of: one node with one volume.

use std::marker::PhantomData;

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy},
        core::v1::{
            ConfigMap, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, HTTPGetAction, PodSpec,
            PodTemplateSpec, Probe, SecretKeySelector, Service, ServiceSpec, TCPSocketAction, Volume,
        },
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use sha2::{Digest, Sha256};
use zonetide_crds::ManagedStore;

use super::{
    Prepared, StoreResources, metadata,
    pod::{container_security, mount, pod_security, port, read_only, requests},
    secret,
    servers::{claim, keep_volumes},
    services::tcp,
};
use crate::{
    hex::hex,
    names::{
        CHECKSUM_ANNOTATION, GARAGE_ADMIN_PORT, GARAGE_ADMIN_TOKEN, GARAGE_RPC_PORT, GARAGE_RPC_SECRET,
        GARAGE_S3_PORT, Part,
    },
    reconcile::validate::{MANAGED_REGION, Plan, StorePlan},
};

/// The image is from scratch and has no user of its own.
const GARAGE_USER: i64 = 65532;
const CONFIG_FILE: &str = "/etc/garage/garage.toml";

/// The managed store, if the plan has one.
pub fn store(plan: &Plan) -> Option<StoreResources<Prepared>> {
    let StorePlan::Garage {
        rpc_secret,
        admin_token,
    } = &plan.store
    else {
        return None;
    };
    let managed = plan.spec.object_store.managed.as_ref()?;
    let name = plan.names.garage();
    let config = toml(plan);
    Some(StoreResources {
        secret: secret(
            plan,
            Part::Garage,
            name.clone(),
            [
                (GARAGE_RPC_SECRET, rpc_secret.clone()),
                (GARAGE_ADMIN_TOKEN, admin_token.clone()),
            ],
        ),
        service: Service {
            metadata: metadata(plan, Part::Garage, name.clone()),
            spec: Some(ServiceSpec {
                selector: Some(plan.names.selector(Part::Garage)),
                ports: Some(vec![tcp("s3", GARAGE_S3_PORT), tcp("admin", GARAGE_ADMIN_PORT)]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        },
        stateful_set: stateful_set(plan, managed, &config),
        config: ConfigMap {
            metadata: metadata(plan, Part::Garage, name),
            data: Some([("garage.toml".to_owned(), config)].into()),
            ..ConfigMap::default()
        },
        state: PhantomData,
    })
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

fn stateful_set(plan: &Plan, managed: &ManagedStore, config: &str) -> StatefulSet {
    StatefulSet {
        metadata: metadata(plan, Part::Garage, plan.names.garage()),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            selector: plan.names.label_selector(Part::Garage),
            service_name: Some(plan.names.garage()),
            // In order, a pod that cannot start would block the update that repairs it.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(keep_volumes()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(plan.names.labels(Part::Garage)),
                    annotations: Some([(CHECKSUM_ANNOTATION.to_owned(), checksum(plan, config))].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(plan, managed)),
            },
            volume_claim_templates: Some(vec![claim(
                &managed.storage.size,
                managed.storage.storage_class_name.clone(),
            )]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn pod(plan: &Plan, managed: &ManagedStore) -> PodSpec {
    let scheduling = plan.spec.scheduling.clone();
    PodSpec {
        containers: vec![container(plan, managed)],
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security(GARAGE_USER)),
        tolerations: (!scheduling.tolerations.is_empty()).then_some(scheduling.tolerations),
        node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
        priority_class_name: scheduling.priority_class_name,
        volumes: Some(vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: plan.names.garage(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn container(plan: &Plan, managed: &ManagedStore) -> Container {
    let from_secret = |variable: &str, key: &str| EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: plan.names.garage(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
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
        image: Some(
            managed
                .image
                .clone()
                .unwrap_or_else(|| plan.settings.garage_image.clone()),
        ),
        image_pull_policy: plan
            .settings
            .image_pull_policy
            .map(|policy| policy.as_str().to_owned()),
        command: Some(["/garage", "server", "--single-node"].map(str::to_owned).into()),
        env: Some(vec![
            EnvVar {
                name: "GARAGE_CONFIG_FILE".to_owned(),
                value: Some(CONFIG_FILE.to_owned()),
                ..EnvVar::default()
            },
            from_secret("GARAGE_RPC_SECRET", GARAGE_RPC_SECRET),
            from_secret("GARAGE_ADMIN_TOKEN", GARAGE_ADMIN_TOKEN),
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
        resources: Some(
            managed
                .resources
                .clone()
                .unwrap_or_else(|| requests("50m", "128Mi")),
        ),
        security_context: Some(container_security()),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/garage"),
            read_only("config", "/etc/garage"),
        ]),
        ..Container::default()
    }
}

/// Over the secrets too: a pod that still has another token than the Secret would refuse the operator for ever.
fn checksum(plan: &Plan, config: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(config);
    if let StorePlan::Garage {
        rpc_secret,
        admin_token,
    } = &plan.store
    {
        hash.update(rpc_secret.expose());
        hash.update(admin_token.expose());
    }
    hex(&hash.finalize()[..16])
}
