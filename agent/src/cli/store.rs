//! From the configured storage to an open store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::memory::InMemory;

use crate::config::{self, Storage, StorageOptions, StorageType, Tls};
use crate::store::{
    AzureAccess, AzureOptions, ClientSettings, GcsOptions, Identity, MarkedStore, ObjectBackend, OpenError,
    Proxies, S3Options, Store, TlsSettings, open_azure, open_folder, open_gcs, open_s3,
};

/// Under which a role's use is logged, if the environment says nothing else.
const SESSION_NAME: &str = "zonetide-agent";

/// Opens the configured store; one in the network is not asked anything yet.
pub(super) fn open_store(storage: &Storage) -> anyhow::Result<Arc<dyn Store>> {
    let options = &storage.options;
    let prefix = &options.global_prefix;
    let store = match storage.kind {
        StorageType::Memory => Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), prefix)),
        StorageType::Fs => open_folder(&options.root_path, prefix)?,
        StorageType::S3 => open_s3(&s3(options)?)?,
        StorageType::Azure => open_azure(&azure(options)?)?,
        StorageType::Gcs => open_gcs(&gcs(options)?)?,
    };
    if !options.use_update_marker {
        return Ok(store);
    }
    let force_list = options.update_marker_force_list_interval.0;
    Ok(Arc::new(MarkedStore::new(store, prefix, force_list)))
}

fn s3(options: &StorageOptions) -> Result<S3Options, OpenError> {
    let files = (given(&options.access_key_file), given(&options.secret_key_file));
    Ok(S3Options {
        bucket: options.bucket.clone(),
        endpoint_url: options.endpoint_url.clone(),
        bucket_in_host: !options.path_style,
        region: options.region.clone(),
        access_key: options.access_key.expose().to_owned(),
        secret_key: options.secret_key.expose().to_owned(),
        session_token: options.session_token.expose().to_owned(),
        key_files: files.0.zip(files.1),
        session_token_file: given(&options.session_token_file),
        identity: identity(options),
        secrets_refresh_interval: options.secrets_refresh_interval.0,
        global_prefix: options.global_prefix.clone(),
        storage_class: options.storage_class.clone(),
        create_bucket: options.create_bucket.then_some(options.init_timeout.0),
        client: ClientSettings {
            content_md5: !options.disable_send_content_md5,
            ..client(options)?
        },
    })
}

fn identity(options: &StorageOptions) -> Option<Identity> {
    let who = options.identity(config::environment)?;
    Some(match who {
        config::Identity::WebIdentity { token_file, role_arn } => Identity::WebIdentity {
            token_file,
            role_arn,
            session_name: config::environment("AWS_ROLE_SESSION_NAME")
                .unwrap_or_else(|| SESSION_NAME.to_owned()),
            sts_endpoint: options.sts_endpoint(config::environment),
        },
        config::Identity::Endpoint { url, token_file } => Identity::Endpoint { url, token_file },
    })
}

fn azure(options: &StorageOptions) -> Result<AzureOptions, OpenError> {
    let access = match given(&options.account_key_file) {
        _ if !options.use_shared_key => AzureAccess::Environment,
        Some(file) => AzureAccess::KeyFile(file, options.secrets_refresh_interval.0),
        None => AzureAccess::Key(options.account_key.expose().to_owned()),
    };
    Ok(AzureOptions {
        account_name: options.account_name.clone(),
        container: options.container.clone(),
        endpoint_url: options.endpoint_url.clone(),
        access,
        global_prefix: options.global_prefix.clone(),
        create_container: options.create_container.then_some(options.init_timeout.0),
        client: client(options)?,
    })
}

fn gcs(options: &StorageOptions) -> Result<GcsOptions, OpenError> {
    Ok(GcsOptions {
        bucket: options.bucket.clone(),
        endpoint_url: options.endpoint_url.clone(),
        service_account_file: given(&options.service_account_file),
        secrets_refresh_interval: options.secrets_refresh_interval.0,
        global_prefix: options.global_prefix.clone(),
        storage_class: options.storage_class.clone(),
        client: client(options)?,
    })
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

fn client(options: &StorageOptions) -> Result<ClientSettings, OpenError> {
    let Tls {
        ca_file,
        ca,
        add_system_ca_pool,
        cert_file,
        cert,
        key_file,
        key,
        watch_certs,
        watch_certs_poll_interval,
        insecure_skip_verify,
        ..
    } = options.tls.clone();
    if insecure_skip_verify {
        tracing::warn!(
            "storage.options.tls.insecure_skip_verify: whoever is in between can read and change everything"
        );
    }
    Ok(ClientSettings {
        tls: TlsSettings {
            ca_file,
            ca,
            add_system_ca_pool,
            cert_file,
            cert,
            key_file,
            key: key.expose().to_owned(),
            watch: watch_certs.then_some(watch_certs_poll_interval.0),
            insecure_skip_verify,
        },
        idle_conn_timeout: options.idle_conn_timeout.0,
        max_idle_conns: options.max_idle_conns,
        // The client has one limit for both steps of a connection.
        connect_timeout: options.dial_timeout.0 + options.tls_handshake_timeout.0,
        dial_keep_alive: options.dial_keep_alive.0,
        client_timeout: options.client_timeout.0,
        content_md5: false,
        proxies: Proxies::from_environment(config::environment)?,
    })
}
