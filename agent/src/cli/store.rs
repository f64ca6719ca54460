//! From the configured storage to an open store.

use std::sync::Arc;

use anyhow::Context as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use crate::config::{Storage, StorageType};
use crate::store::{ObjectBackend, S3Options, Store, open_s3};

/// Opens the configured store; S3 is not asked anything yet.
pub(super) fn open_store(storage: &Storage) -> anyhow::Result<Arc<dyn Store>> {
    let options = &storage.options;
    let prefix = &options.global_prefix;
    Ok(Arc::new(match storage.kind {
        StorageType::Memory => ObjectBackend::new(Arc::new(InMemory::new()), prefix),
        StorageType::Fs => {
            let root = &options.root_path;
            std::fs::create_dir_all(root)
                .and_then(|()| std::fs::read_dir(root).map(drop))
                .with_context(|| format!("storage.options.root_path: cannot use {}", root.display()))?;
            ObjectBackend::new(Arc::new(LocalFileSystem::new_with_prefix(root)?), prefix)
        }
        StorageType::S3 => {
            let files = (options.access_key_file.clone(), options.secret_key_file.clone());
            open_s3(&S3Options {
                bucket: options.bucket.clone(),
                endpoint_url: options.endpoint_url.clone(),
                region: options.region.clone(),
                access_key: options.access_key.clone(),
                secret_key: options.secret_key.clone(),
                key_files: (!files.0.as_os_str().is_empty()).then_some(files),
                secrets_refresh_interval: options.secrets_refresh_interval.0,
                global_prefix: prefix.clone(),
                client_timeout: options.client_timeout.0,
                dial_timeout: options.dial_timeout.0,
            })?
        }
    }))
}
