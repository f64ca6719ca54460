//! The stores whose keys an STS makes: the operator's own MinIO, and any with an admin's keys. Pure.

use jiff::SignedDuration;
use zonetide_crds::{AssumeRole, ManagedStore, S3Store};

use super::{
    admin,
    fetch::Fetched,
    grant::{Scope, Wanted},
    plan::{MANAGED_BUCKET, Plan, StorePlan, ValidateError},
    validate::{kept, lifetime},
};
use crate::{
    names::{self, Names},
    objectstore::{AssumeRoleRequest, Bucket, Keys, default_endpoint, session_name},
    secret::SecretText,
    settings::Settings,
};

/// The region that MinIO has unless it is told another.
const MINIO_REGION: &str = "us-east-1";
/// MinIO makes no keys that live shorter.
const SHORTEST: SignedDuration = SignedDuration::from_mins(15);
/// They cannot be ended before their time, so they do not live longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(168);

/// The operator's own MinIO.
pub(super) fn minio(
    fetched: &Fetched,
    settings: &Settings,
    names: &Names,
    managed: &ManagedStore,
    prefix: String,
) -> Result<(Bucket, StorePlan), ValidateError> {
    let own = fetched.secrets.minio.as_ref();
    let keep = |key, make: fn() -> SecretText| kept(own, &names.minio(), key, make);
    let user = keep(names::MINIO_ROOT_USER, || SecretText::random(20))?;
    let lifetime = lifetime("managed.keyLifetime", &managed.key_lifetime)?;
    let bucket = Bucket {
        path_style: true,
        endpoint: format!("http://{}:{}", names.minio_host(), names::MINIO_S3_PORT),
        region: MINIO_REGION.to_owned(),
        name: MANAGED_BUCKET.to_owned(),
        prefix,
    };
    let plan = StorePlan::Minio {
        image: image(fetched, settings, managed),
        root: Keys {
            access_key_id: user.expose().to_owned(),
            secret_access_key: keep(names::MINIO_ROOT_PASSWORD, SecretText::random_hex)?,
            session_token: None,
        },
        key_lifetime: lifetime.clamp(SHORTEST, LONGEST),
    };
    Ok((bucket, plan))
}

/// The spec's, the installation's, or that of the one which runs.
fn image(fetched: &Fetched, settings: &Settings, managed: &ManagedStore) -> Option<String> {
    let installed = Some(settings.minio_image.clone()).filter(|image| !image.is_empty());
    let running = || {
        let template = &fetched.store_stateful_set.as_ref()?.spec.as_ref()?.template;
        template.spec.as_ref()?.containers.first()?.image.clone()
    };
    managed.image.clone().or(installed).or_else(running)
}

/// The question to it, at this host.
pub(super) fn minio_request(
    plan: &Plan,
    host: &str,
    root: &Keys,
    key_lifetime: SignedDuration,
) -> AssumeRoleRequest {
    let endpoint = format!("http://{host}:{}", names::MINIO_S3_PORT);
    AssumeRoleRequest {
        bucket: Bucket {
            endpoint: endpoint.clone(),
            ..plan.bucket.clone()
        },
        create_bucket: true,
        keys: Ok(root.clone()),
        secret: plan.names.minio(),
        sts_endpoint: endpoint,
        role_arn: None,
        session_name: session_name(&plan.names.namespace, &plan.names.cluster),
        key_lifetime,
        managed: true,
    }
}

/// A bucket with an STS.
pub(super) fn assume_role(
    fetched: &Fetched,
    names: &Names,
    s3: &S3Store,
    role: &AssumeRole,
    bucket: Bucket,
) -> Result<StorePlan, ValidateError> {
    let given = role
        .sts_endpoint
        .as_deref()
        .map(|url| url.trim_end_matches('/').to_owned());
    let sts_endpoint = given.unwrap_or_else(|| default_endpoint(&bucket));
    let wanted = Wanted {
        namespace: &names.namespace,
        endpoints: vec![&bucket.endpoint, &sts_endpoint],
        account: None,
        bucket: &bucket,
        scope: Scope::Prefix,
    };
    let secret = admin::granted(fetched, &wanted);
    let keys = secret.and_then(|secret| admin::keys(secret, &role.secret_ref));
    Ok(StorePlan::AssumeRole(AssumeRoleRequest {
        sts_endpoint,
        bucket,
        create_bucket: s3.create_bucket,
        keys,
        secret: role.secret_ref.name.clone(),
        role_arn: role.role_arn.clone(),
        session_name: session_name(&names.namespace, &names.cluster),
        key_lifetime: lifetime("s3.credentials.assumeRole.keyLifetime", &role.key_lifetime)?,
        managed: false,
    }))
}

/// What keys depend on besides the bucket. Whose keys asked for them is not in it: another admin's are as good.
pub(super) fn id(request: &AssumeRoleRequest) -> String {
    let role = request.role_arn.as_deref().unwrap_or_default();
    format!("assumeRole {} {role}", request.sts_endpoint)
}

#[cfg(test)]
#[path = "sts_store_tests.rs"]
mod tests;
