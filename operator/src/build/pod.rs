//! The pod of a DNS server: the agent as a native sidecar, and PowerDNS.

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector,
        PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
        SeccompProfile, SecurityContext, TopologySpreadConstraint, VolumeMount, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::config::{
    API_DIR, COMPILED_CONFIG_DIR, CONFIG_DIR, DATA_DIR, PDNS_CONF, PEERS_DIR, PEERS_TLS_DIR, RETIRED_DIR,
    SOCKET_DIR, STORE_DIR,
};
use super::{probes, store_ca, store_proxy, volumes::volumes, web_identity};
use crate::{
    names::{AGENT_PORT, API_PORT, CHECKSUM_ANNOTATION, DNS_PORT, Names, PEERS_PORT, PROBES_PORT, Part},
    reconcile::plan::Plan,
};

/// The agent's configuration.
const AGENT_CONFIG: &str = "/etc/zonetide/agent.yaml";

/// Starts the agent, starts it again when it ends, and answers the kubelet, whatever becomes of it.
const SUPERVISED_AGENT: [&str; 7] = [
    "--log-format",
    "json",
    "supervise",
    "--",
    "--config",
    AGENT_CONFIG,
    "sync",
];
/// The last lines of its log are what a container ended with, so that a condition can quote them.
pub(super) const LAST_WORDS: &str = "FallbackToLogsOnError";

/// The user of Debian's and of the official PowerDNS image, and of the agent's: LMDB wants one for both.
const POWERDNS_USER: i64 = 953;

/// `config` is the `ConfigMap` with the files, `checksum` changes when the pods must be replaced.
pub(super) fn template(plan: &Plan, config: &str, checksum: String) -> PodTemplateSpec {
    let scheduling = plan.spec.scheduling.clone();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(plan.names.labels(Part::Dns)),
            annotations: Some([(CHECKSUM_ANNOTATION.to_owned(), checksum)].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            // Starts first, lets PowerDNS start when all data is there, and outlives it to store the last change.
            init_containers: Some(vec![agent(plan)]),
            containers: vec![powerdns(plan)],
            // LMDB tells readers apart by their process IDs.
            share_process_namespace: Some(true),
            service_account_name: Some(plan.names.cluster.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security(POWERDNS_USER)),
            termination_grace_period_seconds: Some(60),
            volumes: Some(
                volumes(&plan.names, config)
                    .into_iter()
                    .chain(web_identity::volume(plan))
                    .chain(store_ca::volume(plan))
                    .collect(),
            ),
            affinity: scheduling.affinity.or_else(|| Some(apart(&plan.names))),
            tolerations: non_empty(scheduling.tolerations),
            topology_spread_constraints: non_empty(
                scheduling
                    .topology_spread_constraints
                    .into_iter()
                    .map(|spread| selecting(spread, &plan.names))
                    .collect(),
            ),
            node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
            priority_class_name: scheduling.priority_class_name,
            ..PodSpec::default()
        }),
    }
}

fn agent(plan: &Plan) -> Container {
    Container {
        name: "agent".to_owned(),
        image: Some(plan.settings.agent_image.clone()),
        image_pull_policy: plan
            .settings
            .image_pull_policy
            .map(|policy| policy.as_str().to_owned()),
        restart_policy: Some("Always".to_owned()),
        args: Some(SUPERVISED_AGENT.map(str::to_owned).into()),
        env: Some(environment(plan)),
        ports: Some(vec![
            port("agent", AGENT_PORT, "TCP"),
            port("probes", PROBES_PORT, "TCP"),
            port("peers", PEERS_PORT, "TCP"),
        ]),
        startup_probe: Some(probes::agent_startup()),
        // None for readiness: an agent that is away keeps nobody from being answered.
        liveness_probe: Some(probes::agent_liveness()),
        lifecycle: Some(probes::leaves_the_service(plan)),
        termination_message_policy: Some(LAST_WORDS.to_owned()),
        resources: Some(
            plan.spec
                .replication
                .resources
                .clone()
                .unwrap_or_else(|| requests("50m", "64Mi")),
        ),
        security_context: Some(container_security()),
        volume_mounts: Some(
            [
                mount("data", DATA_DIR),
                read_only("config", CONFIG_DIR),
                read_only("object-store", STORE_DIR),
                read_only("peers", PEERS_DIR),
                read_only("peers-tls", PEERS_TLS_DIR),
                read_only("retired", RETIRED_DIR),
                mount("run", SOCKET_DIR),
            ]
            .into_iter()
            .chain(web_identity::mount(plan))
            .chain(store_ca::mount(plan))
            .collect(),
        ),
        ..Container::default()
    }
}

fn environment(plan: &Plan) -> Vec<EnvVar> {
    let mut environment = vec![
        EnvVar {
            name: "POD_NAME".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".to_owned(),
                    // What the API server would fill in: without it every apply would look like a change.
                    api_version: Some("v1".to_owned()),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        EnvVar {
            name: "ZONETIDE_INSTANCE".to_owned(),
            value: Some(plan.instance("$(POD_NAME)")),
            ..EnvVar::default()
        },
        // For a person who runs one of the agent's commands there.
        EnvVar {
            name: "ZONETIDE_CONFIG".to_owned(),
            value: Some(AGENT_CONFIG.to_owned()),
            ..EnvVar::default()
        },
    ];
    environment.push(EnvVar {
        name: "ZONETIDE_DRAIN_TOKEN".to_owned(),
        value: Some(probes::drain_token(plan)),
        ..EnvVar::default()
    });
    environment.extend(web_identity::environment(plan));
    environment.extend(store_proxy::environment(plan));
    environment
}

fn powerdns(plan: &Plan) -> Container {
    let spec = &plan.spec.powerdns;
    let policy = spec.image_pull_policy.or(plan.settings.image_pull_policy);
    let command = [
        "pdns_server",
        "--config-dir=/etc/zonetide",
        "--guardian=no",
        "--daemon=no",
        "--disable-syslog",
        "--log-timestamp=no",
        "--write-pid=no",
    ];
    Container {
        name: "powerdns".to_owned(),
        image: Some(
            spec.image
                .clone()
                .unwrap_or_else(|| plan.settings.powerdns_images.of(plan.origin.version).to_owned()),
        ),
        image_pull_policy: policy.map(|policy| policy.as_str().to_owned()),
        command: Some(command.map(str::to_owned).into()),
        env: Some(editing()),
        ports: Some(vec![
            port("dns", DNS_PORT, "UDP"),
            port("dns-tcp", DNS_PORT, "TCP"),
            port("api", API_PORT, "TCP"),
        ]),
        readiness_probe: Some(probes::powerdns_readiness()),
        liveness_probe: Some(probes::powerdns_liveness()),
        lifecycle: Some(probes::answers_until_nobody_asks(&plan.settings)),
        termination_message_policy: Some(LAST_WORDS.to_owned()),
        resources: Some(spec.resources.clone().unwrap_or_else(|| requests("50m", "128Mi"))),
        security_context: Some(container_security()),
        volume_mounts: Some(vec![
            mount("data", DATA_DIR),
            read_only("config", CONFIG_DIR),
            // The file alone: an image may have scripts of its own beside it.
            VolumeMount {
                sub_path: Some(PDNS_CONF.to_owned()),
                ..read_only("config", &format!("{COMPILED_CONFIG_DIR}/{PDNS_CONF}"))
            },
            read_only("api-key", API_DIR),
            mount("run", SOCKET_DIR),
            mount("tmp", "/tmp"),
        ]),
        ..Container::default()
    }
}

/// For a person who edits a zone by `pdnsutil`: our image has nano, and nobody may write to the image's home directory.
fn editing() -> Vec<EnvVar> {
    [("EDITOR", "nano"), ("HOME", "/tmp")]
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            ..EnvVar::default()
        })
        .into()
}

/// What the Pod Security level `restricted` asks of a pod.
pub(super) fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_user: Some(user),
        run_as_group: Some(user),
        run_as_non_root: Some(true),
        fs_group: Some(user),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// What it asks of a container, and a root file system that nobody writes to.
pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

/// Requests only: a limit that nobody has measured does more harm than good.
pub(super) fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(
            [("cpu", cpu), ("memory", memory)]
                .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
                .into(),
        ),
        ..ResourceRequirements::default()
    }
}

fn apart(names: &Names) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(names.label_selector(Part::Dns)),
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn selecting(spread: TopologySpreadConstraint, names: &Names) -> TopologySpreadConstraint {
    let label_selector = spread
        .label_selector
        .clone()
        .or_else(|| Some(names.label_selector(Part::Dns)));
    TopologySpreadConstraint {
        label_selector,
        ..spread
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn port(name: &str, number: i32, protocol: &str) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some(protocol.to_owned()),
        ..ContainerPort::default()
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

pub(super) fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(volume, path)
    }
}
