//! Keys from files that may change at any time: a renewed key is used without a restart.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::{AzureAccessKey, AzureCredential};

/// Keys that may be renewed.
pub(super) trait Renewable: Send + Sync {
    /// How often the keys have changed.
    fn changes(&self) -> u64;

    /// Reads the keys again, after a refusal. True when they are others than when `changes` said this: it is worth another
    /// try.
    fn changed_since(&self, changes: u64) -> bool;
}

/// How the texts of the files become a credential, or why they do not.
type Make<C> = fn(&[String]) -> Result<C, String>;

/// A file that may be missing or empty is one of several, and its text is empty then.
#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    may_be_missing: bool,
}

/// What tells that a file was replaced or written to.
type Stamp = (u64, u64, i64, i64, u64);

/// Readings in a row until two are the same: files that belong together are replaced together, but are read one by one.
const TRIES: usize = 5;

/// Reads key files again when one of them changed, when the last reading is older than the interval, and at once after a
/// refusal. All of them are one set: never a key of one with the secret of another.
pub(super) struct KeyFiles<C> {
    files: Vec<KeyFile>,
    make: Make<C>,
    interval: Duration,
    last: Mutex<Option<Reading<C>>>,
}

struct Reading<C> {
    when: Instant,
    stamps: Vec<Option<Stamp>>,
    texts: Vec<String>,
    credential: Arc<C>,
    changes: u64,
}

// The derived form would print the keys.
impl<C> std::fmt::Debug for KeyFiles<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFiles")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// The keys of S3; the third file is the one of temporary keys.
pub(super) fn s3_keys(
    access: PathBuf,
    secret: PathBuf,
    session_token: Option<PathBuf>,
    interval: Duration,
) -> KeyFiles<AwsCredential> {
    let mut keys = KeyFiles::new(vec![access, secret], interval, |texts| match texts {
        [key_id, secret_key, token @ ..] => Ok(AwsCredential {
            key_id: key_id.clone(),
            secret_key: secret_key.clone(),
            token: token.first().filter(|token| !token.is_empty()).cloned(),
        }),
        _ => Err("two key files are needed".to_owned()),
    });
    keys.files.extend(session_token.map(|path| KeyFile {
        path,
        may_be_missing: true,
    }));
    keys
}

pub(super) fn azure_key(file: PathBuf, interval: Duration) -> KeyFiles<AzureCredential> {
    KeyFiles::new(vec![file], interval, |texts| {
        let key = texts.first().map(String::as_str).unwrap_or_default();
        let key = AzureAccessKey::try_new(key).map_err(|error| format!("no account key: {error}"))?;
        Ok(AzureCredential::AccessKey(key))
    })
}

impl KeyFile {
    fn read(&self) -> Result<String, String> {
        let file = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if self.may_be_missing && error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| format!("cannot read the key file {file}: {error}"))?,
        };
        match text.trim() {
            "" if !self.may_be_missing => Err(format!("the key file {file} is empty")),
            key => Ok(key.to_owned()),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(&self.path).ok()?;
        Some((
            file.dev(),
            file.ino(),
            file.mtime(),
            file.mtime_nsec(),
            file.size(),
        ))
    }
}

impl<C> KeyFiles<C> {
    pub(super) fn new(files: Vec<PathBuf>, interval: Duration, make: Make<C>) -> Self {
        let needed = |path| KeyFile {
            path,
            may_be_missing: false,
        };
        Self {
            files: files.into_iter().map(needed).collect(),
            make,
            interval,
            last: Mutex::new(None),
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(KeyFile::stamp).collect()
    }

    /// The texts of all files at one moment: the kubelet replaces a directory as a whole, between any two reads.
    fn texts(&self) -> Result<Vec<String>, String> {
        let read = || {
            self.files
                .iter()
                .map(KeyFile::read)
                .collect::<Result<Vec<_>, _>>()
        };
        let mut before = read();
        for _ in 0..TRIES {
            let again = read();
            if again == before {
                return again;
            }
            before = again;
        }
        Err(format!("the key files change all the time: {:?}", self.files))
    }

    /// The credential, and how often it has changed. It is read again when a file changed or the last reading is older than
    /// `age`.
    fn reading(&self, age: Duration) -> Result<(Arc<C>, u64), String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.stamps();
        if let Some(last) = &*last
            && last.when.elapsed() < age
            && last.stamps == stamps
        {
            return Ok((last.credential.clone(), last.changes));
        }
        let (texts, credential) = match (self.read_anew(last.as_ref()), &mut *last) {
            (Ok(Some(read)), _) => read,
            (Err(reason), None) => return Err(reason),
            // Half a renewal passes, and what was good may be good still: the store says when it is not.
            (unchanged, Some(last)) => {
                if let Err(reason) = unchanged {
                    tracing::warn!(reason, "the keys of the store that were read before stay in use");
                }
                (last.when, last.stamps) = (Instant::now(), stamps);
                return Ok((last.credential.clone(), last.changes));
            }
            (Ok(None), None) => return Err("no keys".to_owned()),
        };
        let changes = last.as_ref().map_or(0, |last| last.changes + 1);
        if changes > 0 {
            tracing::info!(files = ?self.files, "the keys of the store changed and are used");
        }
        let reading = last.insert(Reading {
            when: Instant::now(),
            stamps,
            texts,
            credential: Arc::new(credential),
            changes,
        });
        Ok((reading.credential.clone(), changes))
    }

    /// What the files say, if that is not what they said before.
    fn read_anew(&self, last: Option<&Reading<C>>) -> Result<Option<(Vec<String>, C)>, String> {
        let texts = self.texts()?;
        if last.is_some_and(|last| last.texts == texts) {
            return Ok(None);
        }
        let credential = (self.make)(&texts)?;
        Ok(Some((texts, credential)))
    }
}

impl<C: Send + Sync> Renewable for KeyFiles<C> {
    fn changes(&self) -> u64 {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or(0, |last| last.changes)
    }

    fn changed_since(&self, changes: u64) -> bool {
        self.reading(Duration::ZERO).is_ok_and(|(_, now)| now > changes)
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
    async fn keys_are_read_again_when_they_change_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        let keys = s3_keys(access.clone(), secret.clone(), None, LONG);
        let error = keys.get_credential().await.unwrap_err().to_string();
        assert!(error.contains(access.to_str().unwrap()), "{error}");

        std::fs::write(&access, "old\n").unwrap();
        std::fs::write(&secret, "s").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "old");
        std::fs::write(&access, "new\n").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().key_id, "new");
    }

    #[tokio::test]
    async fn after_a_refusal_only_keys_that_changed_since_the_request_are_worth_a_try() {
        let dir = tempfile::tempdir().unwrap();
        let (access, secret) = (dir.path().join("access"), dir.path().join("secret"));
        std::fs::write(&access, "old").unwrap();
        std::fs::write(&secret, "s").unwrap();
        let keys = s3_keys(access.clone(), secret, None, LONG);
        keys.get_credential().await.unwrap();
        let before = keys.changes();
        assert!(!keys.changed_since(before));
        std::fs::write(&access, "newer").unwrap();
        // Another request may be the first to see it.
        assert_eq!(keys.get_credential().await.unwrap().key_id, "newer");
        assert!(keys.changed_since(before));
        assert!(!keys.changed_since(keys.changes()));
        std::fs::remove_file(&access).unwrap();
        assert!(!keys.changed_since(keys.changes()));
        assert_eq!(keys.get_credential().await.unwrap().key_id, "newer");
    }

    #[tokio::test]
    async fn a_session_token_may_be_empty_or_missing_and_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), "AKIA1").unwrap();
        std::fs::write(path("s"), "hush").unwrap();
        let keys = s3_keys(path("a"), path("s"), Some(path("t")), LONG);
        assert_eq!(keys.get_credential().await.unwrap().token, None);
        std::fs::write(path("t"), "session\n").unwrap();
        assert_eq!(
            keys.get_credential().await.unwrap().token.as_deref(),
            Some("session")
        );
        std::fs::write(path("t"), "\n").unwrap();
        assert_eq!(keys.get_credential().await.unwrap().token, None);
    }

    /// A mounted Secret, as the kubelet replaces it.
    #[test]
    fn keys_of_two_sets_are_never_mixed_however_often_the_directory_is_replaced() {
        use std::os::unix::fs::symlink;
        use std::sync::atomic::{AtomicBool, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let set = |number: u32| {
            let data = dir.path().join(format!("..{number}"));
            std::fs::create_dir(&data).unwrap();
            for name in ["a", "s", "t"] {
                std::fs::write(data.join(name), number.to_string()).unwrap();
            }
            let new = dir.path().join("..data_tmp");
            symlink(&data, &new).unwrap();
            std::fs::rename(&new, dir.path().join("..data")).unwrap();
            if let Some(old) = number.checked_sub(1) {
                let _ = std::fs::remove_dir_all(dir.path().join(format!("..{old}")));
            }
        };
        set(0);
        let path = |name: &str| {
            symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
            dir.path().join(name)
        };
        let keys = s3_keys(path("a"), path("s"), Some(path("t")), LONG);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (1..500).for_each(&set);
                done.store(true, Ordering::Relaxed);
            });
            let mut last = false;
            while !last {
                last = done.load(Ordering::Relaxed);
                let (key, _) = keys.reading(LONG).unwrap();
                let token = key.token.as_deref();
                assert_eq!(
                    (key.secret_key.as_str(), token),
                    (key.key_id.as_str(), Some(key.key_id.as_str()))
                );
            }
        });
        assert_eq!(keys.reading(LONG).unwrap().0.key_id, "499");
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
        let keys = s3_keys(access, secret, None, LONG);
        keys.get_credential().await.unwrap();
        let shown = format!("{keys:?}");
        assert!(!shown.contains("AKIA1") && !shown.contains("hush"), "{shown}");
    }
}
