//! Everything that the DNS servers consist of.

use std::marker::PhantomData;

use k8s_openapi::{
    api::{
        apps::v1::{
            RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy,
            StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, Secret,
            ServiceAccount, VolumeResourceRequirements,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::{Prepared, ServerResources, config, metadata, pod, secret, services, store_proxy, web_identity};
use crate::{
    names::{self, Part},
    objectstore::renewal::source_annotation,
    reconcile::{
        keys::Access,
        origin::Origin,
        plan::{Plan, ServerPlan},
    },
    secret::SecretText,
};

/// `partition` is how many servers, from the first on, keep the revision that they have.
pub fn servers(plan: &Plan, servers: &ServerPlan, partition: i32) -> ServerResources<Prepared> {
    let files = config::files(plan, servers);
    let config = plan.names.config(&config::revision(&files));
    ServerResources {
        service_account: ServiceAccount {
            metadata: ObjectMeta {
                annotations: web_identity::annotations(plan),
                ..metadata(plan, Part::Dns, plan.names.cluster.clone())
            },
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
        api_key: secret(
            plan,
            Part::Dns,
            plan.names.api_key(),
            [
                (names::API_KEY, servers.api_key.clone()),
                (names::API_CONF, config::api_conf(servers)),
            ],
        ),
        peers_token: store_proxy::add_to(
            secret(
                plan,
                Part::Dns,
                plan.names.peers_secret(),
                [(names::PEERS_TOKEN, servers.peers_token.clone())],
            ),
            plan,
        ),
        stateful_set: stateful_set(
            plan,
            pod::template(plan, &config, config::checksum(plan, &files, servers)),
            partition,
        ),
        config: ConfigMap {
            metadata: metadata(plan, Part::Dns, config),
            // Another content has another name.
            immutable: Some(true),
            data: Some(files),
            ..ConfigMap::default()
        },
        peers_service: services::peers(plan),
        dns_service: services::dns(plan),
        api_service: services::api(plan),
        disruption_budget: PodDisruptionBudget {
            metadata: metadata(plan, Part::Dns, plan.names.cluster.clone()),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(plan.spec.pod_disruption_budget.max_unavailable.clone()),
                selector: Some(plan.names.label_selector(Part::Dns)),
                // A server that is broken anyway must not keep its node from being drained.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        },
        state: PhantomData,
    }
}

/// The keys, without which it is there too: pods mount it.
pub fn object_store(plan: &Plan, access: &Access) -> Secret {
    let keys = access.keys();
    let text = |text: Option<&str>| SecretText::new(text.unwrap_or_default());
    let mut secret = secret(
        plan,
        Part::Dns,
        plan.names.object_store(),
        [
            (
                names::ACCESS_KEY_ID,
                text(keys.map(|keys| keys.access_key_id.as_str())),
            ),
            (
                names::SECRET_ACCESS_KEY,
                text(keys.map(|keys| keys.secret_access_key.expose())),
            ),
            // Always there: a file that appears is seen later than one that changes.
            (
                names::SESSION_TOKEN,
                text(keys.and_then(|keys| keys.session_token.as_ref().map(SecretText::expose))),
            ),
        ],
    );
    secret.metadata.annotations = Some(match access {
        Access::Made(held) => held.annotations(),
        Access::Given(_) | Access::ServiceAccount => source_annotation(plan.source_id()),
    });
    secret
}

fn stateful_set(plan: &Plan, template: PodTemplateSpec, partition: i32) -> StatefulSet {
    let storage = &plan.spec.storage;
    StatefulSet {
        metadata: ObjectMeta {
            annotations: plan.origin.annotation().map(|annotation| [annotation].into()),
            ..metadata(plan, Part::Dns, plan.names.cluster.clone())
        },
        spec: Some(StatefulSetSpec {
            replicas: Some(plan.spec.replicas),
            selector: plan.names.label_selector(Part::Dns),
            service_name: Some(plan.names.peers_service()),
            // Servers do not need each other to start. Updates still go one at a time.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                // One that is deleted meanwhile comes back in the revision that is known to work.
                rolling_update: Some(RollingUpdateStatefulSetStrategy {
                    partition: Some(partition),
                    ..RollingUpdateStatefulSetStrategy::default()
                }),
            }),
            persistent_volume_claim_retention_policy: Some(keep_volumes()),
            template,
            volume_claim_templates: Some(vec![claim(
                plan.origin,
                &storage.size,
                storage.storage_class_name.clone(),
            )]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Data goes only when a human says so.
pub(super) fn keep_volumes() -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}

/// The volume `data` of each pod. Without labels: they could never be changed again.
pub(super) fn claim(origin: Origin, size: &str, storage_class_name: Option<String>) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            annotations: origin.annotation().map(|annotation| [annotation].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name,
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
