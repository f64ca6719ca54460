//! Opening a container of Azure Blob Storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::azure::MicrosoftAzureBuilder;

use super::client::StoreClient;
use super::create::{AzureContainer, CreatedStore};
use super::credentials::{Renewable, azure_key};
use super::settings::ClientSettings;
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
    let mut keys: Option<Arc<dyn Renewable>> = None;
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
    let mut backend =
        ObjectBackend::paginated(azure.clone(), &options.global_prefix).with_client(client.clone());
    if let Some(keys) = keys.clone() {
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
    Ok(Arc::new(created.with_renewable(keys)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::{HeaderMap, Method, StatusCode, Uri};

    use super::*;

    /// What Azure answers to the making of a container that is there.
    const EXISTS: &str = "<Error><Code>ContainerAlreadyExists</Code></Error>";

    /// A page of a listing, with one blob.
    fn page(blob: &str, next: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>ns/{blob}</Name><Properties>\
             <Last-Modified>Tue, 24 Nov 2026 09:00:00 GMT</Last-Modified><Content-Length>7</Content-Length>\
             <Content-Type>application/octet-stream</Content-Type></Properties></Blob></Blobs>\
             <NextMarker>{next}</NextMarker></EnumerationResults>"
        )
    }

    /// Takes notes of requests.
    async fn azure() -> (String, Arc<Mutex<Vec<String>>>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let taken = notes.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap| {
            let authorization = headers["authorization"].to_str().unwrap();
            let (scheme, _) = authorization.split_once(':').unwrap();
            taken
                .lock()
                .unwrap()
                .push(format!("{method} {} {scheme}", uri.path()));
            async move {
                if method == Method::PUT {
                    (StatusCode::CONFLICT, EXISTS.to_owned())
                } else if uri.query().is_some_and(|query| query.contains("marker=more")) {
                    (StatusCode::OK, page("main__b", ""))
                } else {
                    (StatusCode::OK, page("main__a", "more"))
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/account", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, notes)
    }

    #[tokio::test]
    async fn a_container_is_made_and_all_pages_of_it_are_listed_with_the_shared_key() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (endpoint_url, notes) = azure().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "aHVzaA==\n").unwrap();
        let store = open(&AzureOptions {
            account_name: "account".into(),
            container: "zones".into(),
            endpoint_url,
            access: AzureAccess::KeyFile(file, Duration::from_secs(15)),
            global_prefix: "ns/".into(),
            create_container: Some(Duration::from_secs(5)),
            client: ClientSettings {
                client_timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                ..ClientSettings::default()
            },
        })
        .unwrap();
        let listed = store.list("main__").await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|blob| (blob.name.as_str(), blob.size))
            .collect();
        assert_eq!(listed, [("main__a", 7), ("main__b", 7)]);
        let notes = notes.lock().unwrap().clone();
        assert_eq!(
            notes,
            [
                "PUT /account/zones SharedKey account",
                "GET /account/zones SharedKey account",
                "GET /account/zones SharedKey account"
            ]
        );
    }
}
