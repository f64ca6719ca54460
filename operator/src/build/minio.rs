//! Everything that the managed MinIO consists of: one node with one volume. All that it is told are arguments and variables.

use std::marker::PhantomData;

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use zonetide_crds::ManagedStore;

use super::{
    Prepared, StoreResources,
    node::{Node, checksum, container_of, env_from, service, stateful_set},
    pod::{mount, port},
    secret,
    services::tcp,
};
use crate::{
    names::{MINIO_CONSOLE_PORT, MINIO_ROOT_PASSWORD, MINIO_ROOT_USER, MINIO_S3_PORT, Part},
    objectstore::Keys,
    reconcile::{expose::Exposed, plan::Plan},
    secret::SecretText,
};

/// The image runs as root unless it is told otherwise.
const MINIO_USER: i64 = 65532;
const DATA_DIR: &str = "/var/lib/minio";

/// The managed MinIO.
pub(super) fn minio(
    plan: &Plan,
    managed: &ManagedStore,
    root: &Keys,
    image: &str,
) -> StoreResources<Prepared> {
    let name = plan.names.minio();
    let user = SecretText::new(root.access_key_id.as_str());
    let node = Node {
        part: Part::Minio,
        name: name.clone(),
        user: MINIO_USER,
        checksum: checksum(&[user.expose(), "\n", root.secret_access_key.expose()]),
        init_container: None,
        container: container(plan, managed, image),
        volumes: vec![],
        stage: None,
    };
    StoreResources {
        secret: secret(
            plan,
            Part::Minio,
            name.clone(),
            [
                (MINIO_ROOT_USER, user),
                (MINIO_ROOT_PASSWORD, root.secret_access_key.clone()),
            ],
        ),
        service: service(
            plan,
            &node,
            vec![tcp("s3", MINIO_S3_PORT), tcp("console", MINIO_CONSOLE_PORT)],
        ),
        stateful_set: stateful_set(plan, managed, node),
        config: None,
        disruption_budget: None,
        state: PhantomData,
    }
}

fn container(plan: &Plan, managed: &ManagedStore, image: &str) -> Container {
    let secret = plan.names.minio();
    let health = |path: &str, period, failures| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(format!("/minio/health/{path}")),
            port: IntOrString::String("s3".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    let mut env = vec![
        env_from("MINIO_ROOT_USER", &secret, MINIO_ROOT_USER),
        env_from("MINIO_ROOT_PASSWORD", &secret, MINIO_ROOT_PASSWORD),
        variable("MINIO_REGION", &plan.bucket.region),
        // It does not start without a home directory that it may write to.
        variable("HOME", DATA_DIR),
        // Nothing leaves the cluster unasked.
        variable("MINIO_UPDATE", "off"),
    ];
    if let Some(url) = plan.exposure.url(Exposed::Console) {
        // Else browsers that come to the S3 API are sent to its host's port 9001. MINIO_SERVER_URL stays unset: with it the
        // console would go to its own S3 API by way of the outside.
        env.push(variable("MINIO_BROWSER_REDIRECT_URL", &url));
    }
    Container {
        name: "minio".to_owned(),
        // Its own command would change the user, which it may not.
        command: Some(vec!["minio".to_owned()]),
        args: Some(vec![
            "server".to_owned(),
            // Without an address it is all of the pod's, of both families.
            format!("--address=:{MINIO_S3_PORT}"),
            format!("--console-address=:{MINIO_CONSOLE_PORT}"),
            format!("--certs-dir={DATA_DIR}/certs"),
            format!("{DATA_DIR}/data"),
        ]),
        env: Some(env),
        ports: Some(vec![
            port("s3", MINIO_S3_PORT, "TCP"),
            port("console", MINIO_CONSOLE_PORT, "TCP"),
        ]),
        readiness_probe: Some(health("ready", 2, 3)),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(30),
            ..health("live", 10, 6)
        }),
        volume_mounts: Some(vec![mount("data", DATA_DIR)]),
        ..container_of(plan, managed, image)
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    }
}
