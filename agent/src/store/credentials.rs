//! S3 keys from files that may change at any time: a renewed key is used without a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// Reads the key files again when the last reading is older than the interval.
pub(super) struct FileCredentials {
    access_key: PathBuf,
    secret_key: PathBuf,
    interval: Duration,
    last: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

// The derived form would print the keys.
impl std::fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileCredentials")
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key)
            .finish_non_exhaustive()
    }
}

impl FileCredentials {
    pub(super) fn new(access_key: PathBuf, secret_key: PathBuf, interval: Duration) -> Self {
        Self {
            access_key,
            secret_key,
            interval,
            last: Mutex::new(None),
        }
    }

    fn read(&self) -> Result<AwsCredential, String> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read the key file {}: {error}", path.display()))?;
            match text.trim() {
                "" => Err(format!("the key file {} is empty", path.display())),
                key => Ok(key.to_owned()),
            }
        };
        Ok(AwsCredential {
            key_id: read(&self.access_key)?,
            secret_key: read(&self.secret_key)?,
            token: None,
        })
    }
}

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, credential)) = &*last
            && when.elapsed() < self.interval
        {
            return Ok(credential.clone());
        }
        let credential = Arc::new(self.read().map_err(|reason| object_store::Error::Generic {
            store: "S3",
            source: reason.into(),
        })?);
        *last = Some((Instant::now(), credential.clone()));
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_read_again_after_the_interval_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        let keys = FileCredentials::new(access.clone(), secret.clone(), Duration::ZERO);
        let error = keys.get_credential().await.unwrap_err().to_string();
        assert!(error.contains(access.to_str().unwrap()), "{error}");

        std::fs::write(&access, "old\n").unwrap();
        std::fs::write(&secret, "s").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "old");
        std::fs::write(&access, "new\n").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "new");
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = FileCredentials::new("a".into(), "b".into(), Duration::ZERO);
        *keys.last.lock().unwrap() = Some((
            Instant::now(),
            Arc::new(AwsCredential {
                key_id: "AKIA".into(),
                secret_key: "hush".into(),
                token: None,
            }),
        ));
        let shown = format!("{keys:?}");
        assert!(!shown.contains("AKIA") && !shown.contains("hush"), "{shown}");
    }
}
