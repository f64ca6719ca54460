//! What people should know of a bucket: that it keeps old versions, or that everybody can read it.

use aws_sdk_s3::{Client, types::BucketVersioningStatus};

use super::{Keys, S3Bucket};

impl S3Bucket {
    /// What people should know of the bucket. `owner` are keys that may perhaps ask for its settings, `keys` those that list
    /// under the prefix. A store that does not tell is taken at its word.
    pub async fn warnings(&self, owner: &Keys, keys: &Keys) -> Vec<String> {
        let owner = self.client(owner);
        let (versioned, public) = futures::join!(self.is_versioned(&owner), self.is_public(&owner, keys));
        let name = &self.bucket.name;
        let mut warnings = Vec::new();
        if versioned {
            warnings.push(format!(
                "bucket {name} keeps old versions of objects: it grows with every change, unless a lifecycle rule removes them after a while"
            ));
        }
        if public {
            warnings.push(public_warning(
                name,
                "take away what lets them, in the bucket's policy or access control list",
            ));
        }
        warnings
    }

    async fn is_versioned(&self, owner: &Client) -> bool {
        let request = owner.get_bucket_versioning().bucket(&self.bucket.name);
        let answer = request.send().await;
        answer.is_ok_and(|answer| answer.status() == Some(&BucketVersioningStatus::Enabled))
    }

    /// Tried without keys, too: stores answer only what they understand by public (MinIO: that everybody reads *and* writes),
    /// and not to every key.
    async fn is_public(&self, owner: &Client, keys: &Keys) -> bool {
        let name = &self.bucket.name;
        let told = owner.get_bucket_policy_status().bucket(name).send().await;
        let policy = told.ok().and_then(|answer| answer.policy_status);
        if policy.is_some_and(|policy| policy.is_public() == Some(true)) {
            return true;
        }
        let anybody = self.client_without_keys();
        if self.first(&anybody).await.is_ok() {
            return true;
        }
        // Names can be guessed or are told by another: the marker has a fixed one, and the newest snapshot's in it.
        match self.first(&self.client(keys)).await {
            Ok(Some(object)) => anybody
                .head_object()
                .bucket(name)
                .key(object)
                .send()
                .await
                .is_ok(),
            _ => false,
        }
    }

    /// The name of an object under the prefix.
    async fn first(&self, client: &Client) -> Result<Option<String>, ()> {
        let listing = client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(&self.bucket.prefix)
            .max_keys(1);
        let page = listing.send().await.map_err(drop)?;
        Ok(page
            .contents
            .unwrap_or_default()
            .pop()
            .and_then(|object| object.key))
    }
}

pub(super) fn public_warning(bucket: &str, remedy: &str) -> String {
    format!("bucket {bucket} is open to the public: everybody can read the zones, also DNSSEC keys; {remedy}")
}
