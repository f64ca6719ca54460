//! Making the bucket or container at the first use, for `create_bucket` and `create_container`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AmazonS3;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer as _;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use tempfile::SpooledTempFile;
use tokio::sync::OnceCell;

use super::causes::with_causes;
use super::client::StoreClient;
use super::credentials::Renewable;
use super::refusal::{Refusal, clock_words};
use super::region;
use super::{Listed, Skew, Store, StoreError, StoreErrorReason, Traffic};

/// The region in which S3 wants no location to be named.
const NAMELESS_REGION: &str = "us-east-1";

/// Something that can be made and may be there already.
#[async_trait]
pub(super) trait Bucket: Send + Sync {
    /// Makes it; that it is there already is no error.
    async fn create(&self) -> Result<(), StoreErrorReason>;
}

/// A store whose bucket is made before the first request. Whoever tries a failed request again tries this again.
pub struct CreatedStore {
    inner: Arc<dyn Store>,
    bucket: Box<dyn Bucket>,
    name: String,
    timeout: Duration,
    keys: Option<Arc<dyn Renewable>>,
    created: OnceCell<()>,
}

impl CreatedStore {
    pub(super) fn new(inner: Arc<dyn Store>, bucket: Box<dyn Bucket>, name: &str, timeout: Duration) -> Self {
        Self {
            inner,
            bucket,
            name: name.to_owned(),
            timeout,
            keys: None,
            created: OnceCell::new(),
        }
    }

    /// Keys that are read again when the bucket cannot be made.
    pub(super) fn with_renewable(mut self, keys: Option<Arc<dyn Renewable>>) -> Self {
        self.keys = keys;
        self
    }

    async fn create(&self) -> Result<(), StoreErrorReason> {
        let created = tokio::time::timeout(self.timeout, self.bucket.create()).await;
        created.unwrap_or_else(|_| {
            let reason = format!("no answer in {:?} (init_timeout)", self.timeout);
            Err(StoreErrorReason::Create(reason))
        })
    }

    async fn created(&self) -> Result<&dyn Store, StoreError> {
        let create = || async {
            let before = self.keys.as_ref().map_or(0, |keys| keys.changes());
            let renewed = || self.keys.as_ref().is_some_and(|keys| keys.changed_since(before));
            match self.create().await {
                Err(_) if renewed() => self.create().await,
                created => created,
            }
        };
        let created = self.created.get_or_try_init(create).await;
        created.map_err(|reason| StoreError {
            operation: "create",
            name: self.name.clone(),
            reason: self.explain(reason),
        })?;
        Ok(self.inner.as_ref())
    }

    fn explain(&self, reason: StoreErrorReason) -> StoreErrorReason {
        let skew = self.skew();
        match reason {
            StoreErrorReason::Create(text) if Refusal::of(&text, skew.as_ref()) == Some(Refusal::Clock) => {
                StoreErrorReason::Skewed {
                    clock: clock_words(skew.as_ref()),
                    refusal: text.into(),
                }
            }
            reason => reason,
        }
    }
}

#[async_trait]
impl Store for CreatedStore {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.created().await?.list(prefix).await
    }

    async fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.created().await?.list_after(prefix, after).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.created().await?.get(name, object).await
    }

    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.created().await?.get_start(name, most).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.created().await?.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.created().await?.delete(name).await
    }

    fn skew(&self) -> Option<Skew> {
        self.inner.skew()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.inner.traffic()
    }

    fn key(&self) -> Option<String> {
        self.inner.key()
    }
}

/// A bucket of S3.
pub(super) struct S3Bucket {
    pub(super) store: Arc<AmazonS3>,
    pub(super) client: StoreClient,
    pub(super) region: String,
}

#[async_trait]
impl Bucket for S3Bucket {
    async fn create(&self) -> Result<(), StoreErrorReason> {
        self.make()
            .await
            .map_err(|Refused { text, region }| match Refusal::of(&text, None) {
                Some(Refusal::Region) => StoreErrorReason::Region {
                    remedy: region::remedy(&self.region, self.client.region().or(region).as_deref()),
                    refusal: text.into(),
                },
                Some(Refusal::HostStyle) => StoreErrorReason::HostStyle(text.into()),
                _ => StoreErrorReason::Create(text),
            })
    }
}

impl S3Bucket {
    async fn make(&self) -> Result<(), Refused> {
        // The crate signs URLs of objects; that of the object without a name is the bucket's.
        let minute = Duration::from_secs(60);
        let url = self.store.signed_url(Method::PUT, &Path::default(), minute).await;
        let url = url.map_err(|error| error.to_string())?;
        let body = if self.region == NAMELESS_REGION {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                self.region
            )
        };
        let request = put(url.as_str(), body)?;
        send(
            &self.client,
            request,
            &["BucketAlreadyOwnedByYou", "BucketAlreadyExists"],
        )
        .await
    }
}

/// A container of Azure Blob Storage.
pub(super) struct AzureContainer {
    pub(super) credentials: Arc<dyn CredentialProvider<Credential = AzureCredential>>,
    pub(super) client: StoreClient,
    pub(super) account: String,
    /// With the container's name.
    pub(super) url: String,
}

#[async_trait]
impl Bucket for AzureContainer {
    async fn create(&self) -> Result<(), StoreErrorReason> {
        let made = self.make().await;
        made.map_err(|refused| StoreErrorReason::Create(refused.text))
    }
}

impl AzureContainer {
    async fn make(&self) -> Result<(), Refused> {
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|error| error.to_string())?;
        let mut request = put(&format!("{}?restype=container", self.url), String::new())?;
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        AzureAuthorizer::new(&credential, &self.account)
            .try_authorize(&mut request)
            .map_err(|error| error.to_string())?;
        send(&self.client, request, &["ContainerAlreadyExists"]).await
    }
}

/// Why a bucket was not made, with the region that the store names.
struct Refused {
    text: String,
    region: Option<String>,
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self { text, region: None }
    }
}

fn put(url: &str, body: String) -> Result<HttpRequest, String> {
    let mut request = HttpRequest::new(HttpRequestBody::from(body));
    *request.method_mut() = Method::PUT;
    // The error goes without the URL, which may be signed.
    *request.uri_mut() = url
        .parse()
        .map_err(|error| format!("endpoint_url makes no URL: {error}"))?;
    Ok(request)
}

/// Sends a request; an answer with one of the codes means that it is done already.
async fn send(client: &StoreClient, request: HttpRequest, done: &[&str]) -> Result<(), Refused> {
    let response = client.send(request).await.map_err(|error| with_causes(&error))?;
    let status = response.status();
    if status.is_success() {
        tracing::info!("made the bucket");
        return Ok(());
    }
    let body = response.into_body().bytes().await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    if done.iter().any(|code| body.contains(code)) {
        return Ok(());
    }
    let code = code_of(&body).map_or_else(String::new, |code| format!(" {code}"));
    Err(Refused {
        text: format!("the store answers {status}{code}"),
        region: region::of_text(&body),
    })
}

/// The code of an error in XML.
fn code_of(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::memory::InMemory;

    use super::*;
    use crate::store::ObjectBackend;

    /// Fails, hangs, then is made.
    struct Slow(AtomicUsize);

    #[async_trait]
    impl Bucket for Slow {
        async fn create(&self) -> Result<(), StoreErrorReason> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Err(StoreErrorReason::Create(
                    "the store answers 403 AccessDenied".into(),
                )),
                1 => std::future::pending().await,
                _ => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_cannot_be_made_is_an_error_with_the_remedy_and_is_tried_again_at_the_next_request()
    {
        let inner = Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), ""));
        let bucket = Box::new(Slow(AtomicUsize::new(0)));
        let store = CreatedStore::new(inner, bucket, "zones", Duration::from_secs(20));
        let denied = store.list("").await.unwrap_err().to_string();
        assert!(
            denied.contains("zones") && denied.contains("AccessDenied"),
            "{denied}"
        );
        assert!(denied.contains("create_bucket"), "{denied}");
        let late = store.list("").await.unwrap_err().to_string();
        assert!(late.contains("init_timeout"), "{late}");
        assert!(store.list("").await.unwrap().is_empty());
        assert!(store.list("").await.unwrap().is_empty());
    }

    #[test]
    fn the_code_of_an_error_is_found_in_the_answer() {
        assert_eq!(
            code_of("<Error><Code>AccessDenied</Code></Error>"),
            Some("AccessDenied")
        );
        assert_eq!(code_of("<html>"), None);
    }
}
