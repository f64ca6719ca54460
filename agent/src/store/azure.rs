//! Opening a container of Azure Blob Storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::azure::MicrosoftAzureBuilder;

use super::client::{ClientSettings, StoreClient};
use super::create::{AzureContainer, CreatedStore};
use super::credentials::azure_key;
use super::{ObjectBackend, OpenError, Store, client_options, retries};

/// How to reach a container.
#[derive(Clone, Default)]
pub struct AzureOptions {
    pub account_name: String,
    pub container: String,
    /// Empty for Azure itself.
    pub endpoint_url: String,
    pub access: AzureAccess,
    pub global_prefix: String,
    /// Make the container at the first use, in this time.
    pub create_container: Option<Duration>,
    pub client: ClientSettings,
}

/// How the agent proves who it is.
#[derive(Clone, Default)]
pub enum AzureAccess {
    /// What the environment offers: `AZURE_*` variables of a service principal or a workload identity, else the
    /// machine's managed identity.
    #[default]
    Environment,
    Key(String),
    /// A file with the key, and how often it is read again.
    KeyFile(PathBuf, Duration),
}

/// Opens the container; nothing is sent yet.
///
/// # Errors
/// [`OpenError`] when the options contradict themselves.
pub fn open(options: &AzureOptions) -> Result<Arc<dyn Store>, OpenError> {
    let client = StoreClient::new(options.client.clone())?;
    let account = &options.account_name;
    let endpoint = match options.endpoint_url.trim_end_matches('/') {
        "" => format!("https://{account}.blob.core.windows.net"),
        given => given.to_owned(),
    };
    let mut builder = match options.access {
        AzureAccess::Environment => MicrosoftAzureBuilder::from_env(),
        _ => MicrosoftAzureBuilder::new(),
    };
    builder = builder
        .with_account(account)
        .with_container_name(&options.container)
        .with_endpoint(endpoint.clone())
        .with_client_options(client_options(&endpoint))
        .with_http_connector(client.clone())
        .with_retry(retries());
    let mut keys = None;
    match &options.access {
        AzureAccess::Environment => {}
        AzureAccess::Key(key) => builder = builder.with_access_key(key),
        AzureAccess::KeyFile(file, interval) => {
            let read = Arc::new(azure_key(file.clone(), *interval));
            builder = builder.with_credentials(read.clone());
            keys = Some(read);
        }
    }
    let azure = Arc::new(builder.build()?);
    let mut backend = ObjectBackend::paginated(azure.clone(), &options.global_prefix);
    if let Some(keys) = keys {
        backend = backend.with_renewable(keys);
    }
    let Some(timeout) = options.create_container else {
        return Ok(Arc::new(backend));
    };
    let container = AzureContainer {
        credentials: azure.credentials().clone(),
        client,
        account: account.clone(),
        url: format!("{endpoint}/{}", options.container),
    };
    let created = CreatedStore::new(
        Arc::new(backend),
        Box::new(container),
        &options.container,
        timeout,
    );
    Ok(Arc::new(created))
}
