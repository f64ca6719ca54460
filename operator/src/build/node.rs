//! What the managed stores have in common: nodes with a volume each, one or three, and a Service.

use k8s_openapi::{
    api::{
        apps::v1::{
            RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            Container, EnvVar, EnvVarSource, PodSpec, PodTemplateSpec, SecretKeySelector, Service,
            ServicePort, ServiceSpec, Volume,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use sha2::{Digest, Sha256};
use zonetide_crds::ManagedStore;

use super::{
    Prepared, StoreResources,
    garage::garage,
    metadata,
    minio::minio,
    pod::{LAST_WORDS, container_security, pod_security, requests},
    servers::{claim, keep_volumes},
    store_nodes::{self, StoreStage},
};
use crate::{
    hex::hex,
    names::{CHECKSUM_ANNOTATION, Part},
    reconcile::plan::{Plan, StorePlan},
};

/// The managed store, if the plan has one, with one node.
pub fn store(plan: &Plan) -> Option<StoreResources<Prepared>> {
    store_of(plan, None)
}

/// A managed Garage with three nodes, or on its way to them.
pub fn store_of_three(plan: &Plan, stage: StoreStage) -> Option<StoreResources<Prepared>> {
    store_of(plan, Some(stage))
}

fn store_of(plan: &Plan, stage: Option<StoreStage>) -> Option<StoreResources<Prepared>> {
    let managed = plan.spec.object_store.managed.as_ref()?;
    match &plan.store {
        StorePlan::Garage {
            rpc_secret,
            admin_token,
            ..
        } => Some(garage(plan, managed, (rpc_secret, admin_token), stage)),
        StorePlan::Minio {
            root,
            image: Some(image),
            ..
        } => Some(minio(plan, managed, root, image)),
        StorePlan::Minio { image: None, .. }
        | StorePlan::Given(_)
        | StorePlan::AssumeRole(_)
        | StorePlan::ExistingGarage(_)
        | StorePlan::R2(_)
        | StorePlan::WebIdentity(_) => None,
    }
}

/// What each node of a store is.
pub(super) struct Node {
    pub part: Part,
    pub name: String,
    /// Its user ID.
    pub user: i64,
    pub checksum: String,
    pub init_container: Option<Container>,
    pub container: Container,
    pub volumes: Vec<Volume>,
    /// None: it is the only one.
    pub stage: Option<StoreStage>,
}

pub(super) fn service(plan: &Plan, node: &Node, ports: Vec<ServicePort>) -> Service {
    let mut selector = plan.names.selector(node.part);
    selector.extend(node.stage.map(|stage| stage.serves(&plan.names)));
    Service {
        metadata: metadata(plan, node.part, node.name.clone()),
        spec: Some(ServiceSpec {
            selector: Some(selector),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn stateful_set(plan: &Plan, managed: &ManagedStore, node: Node) -> StatefulSet {
    let mut of_set = metadata(plan, node.part, node.name.clone());
    of_set.annotations = node.stage.and_then(store_nodes::annotations);
    StatefulSet {
        metadata: of_set,
        spec: Some(StatefulSetSpec {
            replicas: Some(if node.stage.is_some() { 3 } else { 1 }),
            selector: plan.names.label_selector(node.part),
            service_name: Some(node.name.clone()),
            // In order, a pod that cannot start would block the update that repairs it.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: node.stage.map(|stage| RollingUpdateStatefulSetStrategy {
                    partition: Some(stage.partition()),
                    ..RollingUpdateStatefulSetStrategy::default()
                }),
            }),
            persistent_volume_claim_retention_policy: Some(keep_volumes()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(plan.names.labels(node.part)),
                    annotations: Some([(CHECKSUM_ANNOTATION.to_owned(), node.checksum.clone())].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(plan, node)),
            },
            volume_claim_templates: Some(vec![claim(
                plan.origin,
                &managed.storage.size,
                managed.storage.storage_class_name.clone(),
            )]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn pod(plan: &Plan, node: Node) -> PodSpec {
    let scheduling = plan.spec.scheduling.clone();
    PodSpec {
        topology_spread_constraints: node.stage.map(|_| store_nodes::spread(&plan.names)),
        init_containers: node.init_container.map(|container| vec![container]),
        containers: vec![node.container],
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod_security(node.user)),
        tolerations: (!scheduling.tolerations.is_empty()).then_some(scheduling.tolerations),
        node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
        priority_class_name: scheduling.priority_class_name,
        volumes: (!node.volumes.is_empty()).then_some(node.volumes),
        ..PodSpec::default()
    }
}

/// The container as far as the spec and the settings say.
pub(super) fn container_of(plan: &Plan, managed: &ManagedStore, image: &str) -> Container {
    let policy = plan.settings.image_pull_policy;
    Container {
        image: Some(image.to_owned()),
        image_pull_policy: policy.map(|policy| policy.as_str().to_owned()),
        resources: Some(
            managed
                .resources
                .clone()
                .unwrap_or_else(|| requests("50m", "128Mi")),
        ),
        security_context: Some(container_security()),
        // A store that does not start, as on damaged files, says why: conditions quote it.
        termination_message_policy: Some(LAST_WORDS.to_owned()),
        ..Container::default()
    }
}

/// A variable whose value is under a key of a Secret.
pub(super) fn env_from(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// Over the secrets too: a pod that still has others than the Secret would refuse the operator for ever.
pub(super) fn checksum(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text);
    }
    hex(&hash.finalize()[..16])
}
