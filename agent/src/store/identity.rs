//! Keys of S3 that are given to who shows a token of the platform: to a pod for its service account.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};

use super::OpenError;

/// Time that new keys may take while there are old ones, which last for five more minutes when new ones are asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who gives keys, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// STS' `AssumeRoleWithWebIdentity`.
    WebIdentity {
        /// Read anew each time.
        token_file: PathBuf,
        role_arn: String,
        /// Under which the role's use is logged.
        session_name: String,
        /// Empty: AWS' of the region.
        sts_endpoint: String,
    },
    /// An endpoint on the node, as EKS Pod Identity has one.
    Endpoint { url: String, token_file: PathBuf },
}

/// What gives keys to this identity. `builder` says how to reach the store and, as it is, the giver of keys as well.
pub(super) fn keys_of(
    identity: &Identity,
    builder: AmazonS3Builder,
) -> Result<AwsCredentialProvider, OpenError> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let builder = match identity {
        Identity::WebIdentity {
            token_file,
            role_arn,
            session_name,
            sts_endpoint,
        } => {
            let builder = builder
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, text(token_file))
                .with_config(AmazonS3ConfigKey::RoleArn, role_arn)
                .with_config(AmazonS3ConfigKey::RoleSessionName, session_name);
            if sts_endpoint.is_empty() {
                builder
            } else {
                builder.with_config(AmazonS3ConfigKey::StsEndpoint, sts_endpoint)
            }
        }
        Identity::Endpoint { url, token_file } => builder
            .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, url)
            .with_config(
                AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
                text(token_file),
            ),
    };
    // The crate has these providers for itself only, so a store is built for them alone.
    Ok(Arc::new(Lasting {
        inner: builder.build()?.credentials().clone(),
        last: Mutex::default(),
        has_warned: AtomicBool::default(),
    }))
}

/// Keys are asked for minutes before the old ones end: whether these are good still, the store says, and not who could not give
/// new ones.
#[derive(Debug)]
struct Lasting {
    inner: AwsCredentialProvider,
    last: Mutex<Option<Arc<AwsCredential>>>,
    /// The log says it once, and not with every request.
    has_warned: AtomicBool,
}

impl Lasting {
    fn warn(&self, why: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("cannot renew the keys of the store, the old ones stay in use: {why}");
        }
    }

    fn last(&self) -> Option<Arc<AwsCredential>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl CredentialProvider for Lasting {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let Some(last) = self.last() else {
            let first = self.inner.get_credential().await?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(first.clone());
            return Ok(first);
        };
        match tokio::time::timeout(PATIENCE, self.inner.get_credential()).await {
            Ok(Ok(new)) => {
                self.has_warned.store(false, Ordering::Relaxed);
                if new != last {
                    tracing::info!("the keys of the store were renewed and are used");
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
                }
                Ok(new)
            }
            Ok(Err(error)) => {
                self.warn(&error.to_string());
                Ok(last)
            }
            Err(_) => {
                self.warn(&format!("no answer in {PATIENCE:?}"));
                Ok(last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives keys, then fails, then says nothing.
    #[derive(Debug, Default)]
    struct Failing(Mutex<u32>);

    #[async_trait]
    impl CredentialProvider for Failing {
        type Credential = AwsCredential;

        async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
            let turn = {
                let mut turns = self.0.lock().unwrap();
                *turns += 1;
                *turns
            };
            match turn {
                2 | 4 => Ok(Arc::new(AwsCredential {
                    key_id: format!("key-{turn}"),
                    secret_key: String::new(),
                    token: None,
                })),
                5 => std::future::pending().await,
                _ => Err(object_store::Error::NotImplemented {
                    operation: "giving keys".into(),
                    implementer: "test".into(),
                }),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_give_new_keys_takes_no_old_ones_away() {
        let keys = Lasting {
            inner: Arc::new(Failing::default()),
            last: Mutex::default(),
            has_warned: AtomicBool::default(),
        };
        assert!(keys.get_credential().await.is_err(), "there are none yet");
        for key in ["key-2", "key-2", "key-4", "key-4"] {
            assert_eq!(keys.get_credential().await.unwrap().key_id, key);
        }
    }
}
