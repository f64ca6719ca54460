//! What is done with the content of a bucket when a cluster is deleted: the objects of its own servers go, others stay.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use futures::{StreamExt, TryStreamExt};

use super::{Keys, S3Bucket, StoreError, bucket::code_of};

/// How many objects are removed at the same time. Not in one request: many stores want checksums in it that others do not know.
pub(super) const AT_ONCE: usize = 16;
/// Then we say how far we are, and go on in the next reconcile.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// Which objects are a cluster's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What the names of its servers start with, up to their number.
    pub instances: String,
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub objects: u64,
    /// Uploads that were begun and not ended.
    pub uploads: u64,
    /// There are none left.
    pub done: bool,
}

/// What came of the removal of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketRemoval {
    Removed,
    /// It holds something that is not ours.
    NotEmpty,
}

impl Own {
    /// Whether one of the cluster's servers stored this object. `name` is what follows the prefix.
    pub fn has(&self, name: &str) -> bool {
        let Some((stem, "pb.gz")) = name.split_once('.') else {
            return false;
        };
        let parts: Vec<&str> = stem.split("__").collect();
        let has_form = match stem.split('/').collect::<Vec<_>>()[..] {
            // <database>__<instance>__<time>__<generation>…
            [_] => parts.len() >= 4,
            // <time>__<instance>__<since>
            ["zonetide", "delta", _, _] | ["zonetide", "history", _, "segments", _] => parts.len() == 3,
            // <time>__<instance>
            ["zonetide", "history", _, "bases", _] => parts.len() == 2,
            _ => false,
        };
        has_form && self.is_server(parts[1])
    }

    fn is_server(&self, instance: &str) -> bool {
        instance
            .strip_prefix(&self.instances)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl S3Bucket {
    /// Removes the cluster's own objects under the prefix, for a while. What was removed stays so when it is interrupted.
    pub async fn remove_own(&self, keys: &Keys, own: &Own) -> Result<Removed, StoreError> {
        let client = &self.client(keys);
        let begun = Instant::now();
        let mut removed = Removed::default();
        let mut after = None;
        loop {
            let listing = client
                .list_objects_v2()
                .bucket(&self.bucket.name)
                .prefix(&self.bucket.prefix)
                .set_start_after(after);
            let page = match listing.send().await {
                Ok(page) => page,
                // Somebody was faster.
                Err(error) if code_of(&error).as_deref() == Some("NoSuchBucket") => {
                    removed.done = true;
                    return Ok(removed);
                }
                Err(error) => return Err(self.explain(&error)),
            };
            let more = page.is_truncated() == Some(true);
            let names = page.contents.unwrap_or_default().into_iter();
            let names: Vec<String> = names.filter_map(|object| object.key).collect();
            after = names.last().cloned();
            let mut requests = Vec::new();
            for name in names {
                let rest = name.strip_prefix(&self.bucket.prefix);
                if rest.is_some_and(|rest| own.has(rest)) {
                    requests.push(self.remove_object(client, name));
                }
            }
            removed.objects += futures::stream::iter(requests)
                .buffer_unordered(AT_ONCE)
                .try_fold(0, |sum, ()| std::future::ready(Ok(sum + 1)))
                .await?;
            if !more || after.is_none() {
                removed.done = true;
                return Ok(removed);
            }
            if begun.elapsed() > LONGEST {
                return Ok(removed);
            }
        }
    }

    async fn remove_object(&self, client: &Client, name: String) -> Result<(), StoreError> {
        let request = client.delete_object().bucket(&self.bucket.name).key(name);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error).as_deref() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(match self.explain(&error) {
                // The same keys have just listed the bucket.
                StoreError::AccessDenied {
                    endpoint,
                    bucket,
                    prefix,
                    code,
                    secret,
                } => StoreError::RemovalDenied {
                    endpoint,
                    bucket,
                    prefix,
                    code,
                    secret,
                },
                error => error,
            }),
        }
    }

    /// Whether there is an object whose name starts so.
    pub async fn has_objects(&self, keys: &Keys, prefix: &str) -> Result<bool, StoreError> {
        let client = self.client(keys);
        let listing = client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(prefix)
            .max_keys(1);
        match listing.send().await {
            Ok(page) => Ok(!page.contents().is_empty()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Whether nothing at all is in the bucket. One that is gone is empty.
    pub async fn is_empty(&self, keys: &Keys) -> Result<bool, StoreError> {
        let listing = self
            .client(keys)
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .max_keys(1);
        match listing.send().await {
            Ok(page) => Ok(page.contents().is_empty()),
            Err(error) if code_of(&error).as_deref() == Some("NoSuchBucket") => Ok(true),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Removes the bucket if nothing is in it, also nothing of others.
    pub async fn remove_if_empty(&self, keys: &Keys) -> Result<BucketRemoval, StoreError> {
        if !self.is_empty(keys).await? {
            return Ok(BucketRemoval::NotEmpty);
        }
        let request = self.client(keys).delete_bucket().bucket(&self.bucket.name);
        match request.send().await {
            Ok(_) => Ok(BucketRemoval::Removed),
            Err(error) => match code_of(&error).as_deref() {
                Some("NoSuchBucket") => Ok(BucketRemoval::Removed),
                // Something came meanwhile, or there are old versions.
                Some("BucketNotEmpty") => Ok(BucketRemoval::NotEmpty),
                _ => Err(self.explain(&error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "20261124-090051-000000000";

    fn own() -> Own {
        Own {
            instances: "0a1b2c3d-shore-tide-".into(),
        }
    }

    #[test]
    fn snapshots_deltas_and_history_of_every_server_that_ever_was_are_the_clusters_own() {
        for instance in ["0a1b2c3d-shore-tide-0", "0a1b2c3d-shore-tide-17"] {
            for name in [
                format!("main__{instance}__{TIME}__G-0000000000000000.pb.gz"),
                format!("shard__{instance}__{TIME}__G-0000000000000000__X1.pb.gz"),
                format!("zonetide/delta/main/{TIME}__{instance}__{TIME}.pb.gz"),
                format!("zonetide/history/main/segments/{TIME}__{instance}__{TIME}.pb.gz"),
                format!("zonetide/history/shard/bases/{TIME}__{instance}.pb.gz"),
            ] {
                assert!(own().has(&name), "{name}");
            }
        }
    }

    #[test]
    fn objects_of_others_are_not_its_own() {
        for instance in [
            "0a1b2c3d-shore-tide-",
            "0a1b2c3d-shore-tide-a-0",
            "0a1b2c3d-shore-tide-0-0",
            "0a1b2c3d-shore-tide2-0",
            "0a1b2c3d-shore-ti-0",
            "ffffffff-shore-tide-0",
            "x0a1b2c3d-shore-tide-0",
            "ns1",
        ] {
            for name in [
                format!("main__{instance}__{TIME}__G-0.pb.gz"),
                format!("zonetide/delta/main/{TIME}__{instance}__{TIME}.pb.gz"),
                format!("zonetide/history/main/bases/{TIME}__{instance}.pb.gz"),
            ] {
                assert!(!own().has(&name), "{name}");
            }
        }
    }

    #[test]
    fn whatever_has_another_form_is_not_its_own() {
        let mine = "0a1b2c3d-shore-tide-0";
        for name in [
            "update-marker".to_owned(),
            String::new(),
            format!("{mine}.txt"),
            format!("main__{mine}.pb.gz"),
            format!("main__{mine}__{TIME}__G-0.txt"),
            format!("deeper/main__{mine}__{TIME}__G-0.pb.gz"),
            format!("zonetide/delta/main/deeper/{TIME}__{mine}__{TIME}.pb.gz"),
            format!("zonetide/other/main/{TIME}__{mine}__{TIME}.pb.gz"),
            format!("zonetide/history/main/{TIME}__{mine}__{TIME}.pb.gz"),
            format!("zonetide/history/main/bases/{TIME}__{mine}__{TIME}.pb.gz"),
            // Of an earlier release's DnsCluster, whose prefix is longer.
            format!("schema-5/main__{mine}__{TIME}__G-0.pb.gz"),
            format!("schema-5/zonetide/delta/main/{TIME}__{mine}__{TIME}.pb.gz"),
            format!("{mine}__ns1__{TIME}__G-0.pb.gz"),
        ] {
            assert!(!own().has(&name), "{name}");
        }
    }
}
