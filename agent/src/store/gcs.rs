//! Opening a bucket of Google Cloud Storage.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};

use super::client::StoreClient;
use super::credentials::Renewable;
use super::settings::ClientSettings;
use super::{ObjectBackend, OpenError, Store, client_options, retries};

/// How to reach a bucket.
#[derive(Clone, Default)]
pub struct GcsOptions {
    pub bucket: String,
    /// Empty for Google itself.
    pub endpoint_url: String,
    /// The key file of a service account; `None`: the application default credentials, else the machine's account.
    pub service_account_file: Option<PathBuf>,
    pub secrets_refresh_interval: Duration,
    pub global_prefix: String,
    pub storage_class: String,
    pub client: ClientSettings,
}

/// Opens the bucket; nothing is sent yet.
///
/// # Errors
/// [`OpenError`] when the options contradict themselves.
pub fn open(options: &GcsOptions) -> Result<Arc<dyn Store>, OpenError> {
    let client = StoreClient::new(options.client.clone())?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket)
        .with_client_options(client_options(&options.endpoint_url))
        .with_http_connector(client.clone())
        .with_retry(retries());
    if !options.endpoint_url.is_empty() {
        builder = builder.with_base_url(&options.endpoint_url);
    }
    let account = options.service_account_file.as_ref().map(|file| {
        Arc::new(ServiceAccount {
            file: file.clone(),
            interval: options.secrets_refresh_interval,
            builder: builder.clone(),
            last: Mutex::new(None),
        })
    });
    if let Some(account) = &account {
        builder = builder.with_credentials(account.clone());
    }
    let mut backend = ObjectBackend::paginated(Arc::new(builder.build()?), &options.global_prefix)
        .with_offsets()
        .with_client(client);
    if !options.storage_class.is_empty() {
        backend = backend.with_storage_class(&options.storage_class);
    }
    if let Some(account) = account {
        backend = backend.with_renewable(account);
    }
    Ok(Arc::new(backend))
}

type Provider = Arc<dyn CredentialProvider<Credential = GcpCredential>>;

/// What the key file said.
struct Reading {
    when: Instant,
    key: String,
    provider: Provider,
    changes: u64,
}

/// A service account whose key file may change at any time. Tokens come from a store that is built for them alone.
struct ServiceAccount {
    file: PathBuf,
    interval: Duration,
    builder: GoogleCloudStorageBuilder,
    last: Mutex<Option<Reading>>,
}

// The derived form would print the key.
impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl ServiceAccount {
    /// The source of tokens, read again when the last reading is older than `age`; and how often it has changed.
    fn provider(&self, age: Duration) -> object_store::Result<(Provider, u64)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.when.elapsed() < age
        {
            return Ok((last.provider.clone(), last.changes));
        }
        let key = std::fs::read_to_string(&self.file).map_err(|error| object_store::Error::Generic {
            store: "keys",
            source: format!("cannot read the key file {}: {error}", self.file.display()).into(),
        })?;
        if let Some(last) = &mut *last
            && last.key == key
        {
            last.when = Instant::now();
            return Ok((last.provider.clone(), last.changes));
        }
        let store = self.builder.clone().with_service_account_key(&key).build()?;
        let provider = store.credentials().clone();
        let changes = last.as_ref().map_or(0, |last| last.changes + 1);
        *last = Some(Reading {
            when: Instant::now(),
            key,
            provider: provider.clone(),
            changes,
        });
        Ok((provider, changes))
    }
}

impl Renewable for ServiceAccount {
    fn changes(&self) -> u64 {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or(0, |last| last.changes)
    }

    fn changed_since(&self, changes: u64) -> bool {
        self.provider(Duration::ZERO).is_ok_and(|(_, now)| now > changes)
    }
}

#[async_trait]
impl CredentialProvider for ServiceAccount {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let (provider, _) = self.provider(self.interval)?;
        provider.get_credential().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_key_file_is_named_at_the_first_request_and_not_before() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = open(&GcsOptions {
            bucket: "zones".into(),
            service_account_file: Some("/nowhere/key.json".into()),
            client: ClientSettings {
                client_timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                ..ClientSettings::default()
            },
            ..GcsOptions::default()
        })
        .unwrap();
        let error = store.list("").await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/key.json"), "{error}");
    }
}
