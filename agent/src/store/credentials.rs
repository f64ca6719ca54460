//! Keys from files that may change at any time: a renewed key is used without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::{AzureAccessKey, AzureCredential};

/// Keys that may be renewed.
pub(super) trait Renewable: Send + Sync {
    /// Reads the keys again, after a refusal. True when they are others than before: it is worth another try.
    fn renew(&self) -> bool;
}

/// How the texts of the files become a credential, or why they do not.
type Make<C> = fn(&[String]) -> Result<C, String>;

/// Reads key files again when the last reading is older than the interval, and at once after a refusal.
pub(super) struct KeyFiles<C> {
    files: Vec<PathBuf>,
    make: Make<C>,
    interval: Duration,
    last: Mutex<Option<Reading<C>>>,
}

struct Reading<C> {
    when: Instant,
    texts: Vec<String>,
    credential: Arc<C>,
}

// The derived form would print the keys.
impl<C> std::fmt::Debug for KeyFiles<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFiles")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

pub(super) fn s3_keys(access: PathBuf, secret: PathBuf, interval: Duration) -> KeyFiles<AwsCredential> {
    KeyFiles::new(vec![access, secret], interval, |texts| match texts {
        [key_id, secret_key] => Ok(AwsCredential {
            key_id: key_id.clone(),
            secret_key: secret_key.clone(),
            token: None,
        }),
        _ => Err("two key files are needed".to_owned()),
    })
}

pub(super) fn azure_key(file: PathBuf, interval: Duration) -> KeyFiles<AzureCredential> {
    KeyFiles::new(vec![file], interval, |texts| {
        let key = texts.first().map(String::as_str).unwrap_or_default();
        let key = AzureAccessKey::try_new(key).map_err(|error| format!("no account key: {error}"))?;
        Ok(AzureCredential::AccessKey(key))
    })
}

fn read(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the key file {}: {error}", file.display()))?;
    match text.trim() {
        "" => Err(format!("the key file {} is empty", file.display())),
        key => Ok(key.to_owned()),
    }
}

impl<C> KeyFiles<C> {
    pub(super) fn new(files: Vec<PathBuf>, interval: Duration, make: Make<C>) -> Self {
        Self {
            files,
            make,
            interval,
            last: Mutex::new(None),
        }
    }

    /// The credential, read again when the last reading is older than `age`; and whether it is another than before.
    fn reading(&self, age: Duration) -> Result<(Arc<C>, bool), String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.when.elapsed() < age
        {
            return Ok((last.credential.clone(), false));
        }
        let texts = self
            .files
            .iter()
            .map(|file| read(file))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = &mut *last
            && last.texts == texts
        {
            last.when = Instant::now();
            return Ok((last.credential.clone(), false));
        }
        let credential = Arc::new((self.make)(&texts)?);
        if last.is_some() {
            tracing::info!(files = ?self.files, "the keys of the store changed and are used");
        }
        *last = Some(Reading {
            when: Instant::now(),
            texts,
            credential: credential.clone(),
        });
        Ok((credential, true))
    }
}

impl<C: Send + Sync> Renewable for KeyFiles<C> {
    fn renew(&self) -> bool {
        self.reading(Duration::ZERO).is_ok_and(|(_, changed)| changed)
    }
}

#[async_trait]
impl<C: Send + Sync> CredentialProvider for KeyFiles<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        let reading = self.reading(self.interval);
        let (credential, _) = reading.map_err(|reason| object_store::Error::Generic {
            store: "keys",
            source: reason.into(),
        })?;
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn keys_are_read_again_after_the_interval_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        let keys = s3_keys(access.clone(), secret.clone(), Duration::ZERO);
        let error = keys.get_credential().await.unwrap_err().to_string();
        assert!(error.contains(access.to_str().unwrap()), "{error}");

        std::fs::write(&access, "old\n").unwrap();
        std::fs::write(&secret, "s").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "old");
        std::fs::write(&access, "new\n").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "new");
    }

    #[tokio::test]
    async fn after_a_refusal_keys_are_read_at_once_and_worth_a_try_only_when_they_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        std::fs::write(&access, "old").unwrap();
        std::fs::write(&secret, "s").unwrap();
        let keys = s3_keys(access.clone(), secret, LONG);
        keys.get_credential().await.unwrap();
        assert!(!keys.renew());
        std::fs::write(&access, "new").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "old");
        assert!(keys.renew());
        assert_eq!(keys.get_credential().await.unwrap().key_id, "new");
        std::fs::remove_file(&access).unwrap();
        assert!(!keys.renew());
        assert_eq!(keys.get_credential().await.unwrap().key_id, "new");
    }

    #[tokio::test]
    async fn an_azure_key_that_is_none_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "hush!").unwrap();
        let keys = azure_key(file.clone(), LONG);
        let error = keys.get_credential().await.unwrap_err().to_string();
        assert!(
            error.contains("no account key") && !error.contains("hush"),
            "{error}"
        );
        std::fs::write(&file, "aHVzaA==\n").unwrap();
        assert!(matches!(
            *keys.get_credential().await.unwrap(),
            AzureCredential::AccessKey(_)
        ));
    }

    #[tokio::test]
    async fn keys_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&access, "AKIA1").unwrap();
        std::fs::write(&secret, "hush").unwrap();
        let keys = s3_keys(access, secret, LONG);
        keys.get_credential().await.unwrap();
        let shown = format!("{keys:?}");
        assert!(!shown.contains("AKIA1") && !shown.contains("hush"), "{shown}");
    }
}
