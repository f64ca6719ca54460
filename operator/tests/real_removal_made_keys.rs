//! What is removed from a bucket with a cluster whose keys are made: by the STS of a real MinIO, and by a small server that
//! plays Cloudflare's API before one.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Credentials, Region},
        primitives::ByteStream,
        types::{BucketVersioningStatus, VersioningConfiguration},
    };
    use aws_smithy_http_client::Builder;
    use futures::StreamExt;
    use jiff::SignedDuration;
    use zonetide_operator::{
        objectstore::{
            AssumeRoleRequest, Bucket, BucketRemoval, Keys, Own, R2Request, RealSources, Source,
            SourceRequest, Sources,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        fakes::cloudflare::{ACCOUNT, Cloudflare, TOKEN, TokenKind},
        minio::{Minio, ROOT_PASSWORD, ROOT_USER},
    };

    const PREFIX: &str = "shore/tide/schema-5/";

    fn own() -> Own {
        Own {
            instances: "0a1b2c3d-shore-tide-".into(),
        }
    }

    fn bucket(minio: &Minio) -> Bucket {
        Bucket {
            path_style: true,
            endpoint: minio.endpoint(),
            region: "us-east-1".into(),
            name: "crater".into(),
            prefix: PREFIX.into(),
        }
    }

    fn source(request: &SourceRequest) -> Box<dyn Source> {
        RealSources::new().unwrap().source(request)
    }

    fn assume_role(minio: &Minio) -> Box<dyn Source> {
        let root = Keys {
            access_key_id: ROOT_USER.into(),
            secret_access_key: SecretText::new(ROOT_PASSWORD),
            session_token: None,
        };
        source(&SourceRequest::AssumeRole(AssumeRoleRequest {
            bucket: bucket(minio),
            create_bucket: true,
            keys: Ok(root),
            secret: "moon-admin".into(),
            sts_endpoint: minio.endpoint(),
            role_arn: None,
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_mins(15),
            managed: false,
        }))
    }

    fn r2(cloudflare: &Cloudflare) -> Box<dyn Source> {
        source(&SourceRequest::R2(R2Request {
            api_url: cloudflare.url(),
            account: ACCOUNT.into(),
            token: SecretText::new(TOKEN),
            token_secret: "moon".into(),
            bucket: bucket(cloudflare.r2()),
            create_bucket: true,
            key_lifetime: SignedDuration::from_hours(24),
        }))
    }

    /// As root.
    fn client(minio: &Minio) -> Client {
        Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(Builder::new().build_http())
                .endpoint_url(minio.endpoint())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new(ROOT_USER, ROOT_PASSWORD, None, None, "test"))
                .force_path_style(true)
                .build(),
        )
    }

    async fn put(client: &Client, names: impl IntoIterator<Item = String>) {
        futures::stream::iter(names)
            .for_each_concurrent(16, |name| async move {
                let body = ByteStream::from_static(b"x");
                let request = client.put_object().bucket("crater").key(name).body(body);
                request.send().await.unwrap();
            })
            .await;
    }

    async fn delete(client: &Client, names: impl IntoIterator<Item = String>) {
        for name in names {
            let request = client.delete_object().bucket("crater").key(name);
            request.send().await.unwrap();
        }
    }

    async fn all(client: &Client) -> BTreeSet<String> {
        let mut pages = client.list_objects_v2().bucket("crater").into_paginator().send();
        let mut names = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let objects = page.unwrap().contents.unwrap_or_default();
            names.extend(objects.into_iter().filter_map(|object| object.key));
        }
        names
    }

    fn snapshot(instance: &str, number: usize) -> String {
        format!("main__{instance}__20261124-090051-{number:09}__G-0000000000000000.pb.gz")
    }

    fn delta(instance: &str, number: usize) -> String {
        format!(
            "zonetide/delta/shard/20261124-090051-{number:09}__{instance}__20261124-090051-000000000.pb.gz"
        )
    }

    fn mine() -> Vec<String> {
        let own = |number: usize| format!("0a1b2c3d-shore-tide-{}", number % 2);
        let snapshots = (0..150).map(|number| snapshot(&own(number), number));
        let deltas = (0..150).map(|number| delta(&own(number), number));
        snapshots
            .chain(deltas)
            .map(|name| format!("{PREFIX}{name}"))
            .collect()
    }

    /// Of others, in the same folder and beside it.
    fn others() -> Vec<String> {
        let near = [
            snapshot("ffffffff-shore-tide-0", 1),
            snapshot("0a1b2c3d-shore-tide-more-0", 2),
            delta("ffffffff-shore-tide-0", 3),
            "update-marker".to_owned(),
        ];
        let mut names: Vec<String> = near.iter().map(|name| format!("{PREFIX}{name}")).collect();
        for elsewhere in ["shore/tide/schema-6/", "shore/tide2/schema-5/", ""] {
            names.push(format!("{elsewhere}{}", snapshot("0a1b2c3d-shore-tide-0", 4)));
        }
        names
    }

    /// The operator ends in the middle of it, and another one goes on with new keys.
    async fn remove(make: impl Fn() -> Box<dyn Source>, minio: &Minio) {
        let source = make();
        assert_eq!(source.prepare().await, Ok(true));
        let keys = source.mint().await.unwrap().keys;
        let s3 = client(minio);
        put(&s3, mine().into_iter().chain(others())).await;
        let before = all(&s3).await.len();
        assert_eq!(before, mine().len() + others().len());

        let own = own();
        let begun = async { while all(&s3).await.len() == before {} };
        tokio::select! {
            removed = source.remove_own(&keys, &own) => panic!("it was faster than a listing: {removed:?}"),
            () = begun => {}
        }
        let left = all(&s3).await.len();
        assert!(left > others().len(), "nothing is left to go on with");

        let source = make();
        let keys = source.mint().await.unwrap().keys;
        let removed = source.remove_own(&keys, &own).await.unwrap();
        assert!(removed.done && removed.objects > 0, "{removed:?}");
        assert_eq!(all(&s3).await, others().into_iter().collect());
        let again = source.remove_own(&keys, &own).await.unwrap();
        assert_eq!((again.objects, again.done), (0, true));

        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::NotEmpty));
        assert_eq!(all(&s3).await.len(), others().len());
        delete(&s3, others()).await;
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
        assert!(!minio.has_bucket("crater").await);
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
        let again = source.remove_own(&keys, &own).await.unwrap();
        assert_eq!((again.objects, again.done), (0, true), "without a bucket");
    }

    #[tokio::test]
    async fn with_keys_of_an_sts_only_own_objects_go_and_the_bucket_when_nothing_of_others_is_in_it() {
        let minio = Minio::start().await;
        minio.bucket("others").await;
        remove(|| assume_role(&minio), &minio).await;
        assert!(minio.has_bucket("others").await);
    }

    #[tokio::test]
    async fn with_keys_of_cloudflare_only_own_objects_go_and_the_bucket_when_nothing_of_others_is_in_it() {
        let cloudflare = Cloudflare::start(Minio::start().await, TokenKind::Account).await;
        cloudflare.r2().bucket("others").await;
        remove(|| r2(&cloudflare), cloudflare.r2()).await;
        assert!(cloudflare.r2().has_bucket("others").await);
    }

    #[tokio::test]
    async fn old_versions_stay_and_with_them_the_bucket() {
        let minio = Minio::start().await;
        let source = assume_role(&minio);
        source.prepare().await.unwrap();
        let s3 = client(&minio);
        let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        s3.put_bucket_versioning()
            .bucket("crater")
            .versioning_configuration(versioning.build())
            .send()
            .await
            .unwrap();
        let name = format!("{PREFIX}{}", snapshot("0a1b2c3d-shore-tide-0", 1));
        put(&s3, [name]).await;
        let keys = source.mint().await.unwrap().keys;
        let removed = source.remove_own(&keys, &own()).await.unwrap();
        assert_eq!((removed.objects, removed.done), (1, true));
        assert!(all(&s3).await.is_empty());
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::NotEmpty));
        let versions = s3.list_object_versions().bucket("crater").send().await.unwrap();
        let kept = (versions.versions().len(), versions.delete_markers().len());
        assert_eq!(kept, (1, 1), "the object, and that it was deleted");
    }

    #[tokio::test]
    async fn an_upload_of_an_own_server_that_was_never_ended_does_not_keep_the_bucket() {
        let minio = Minio::start().await;
        let source = assume_role(&minio);
        source.prepare().await.unwrap();
        let s3 = client(&minio);
        let name = format!("{PREFIX}{}", snapshot("0a1b2c3d-shore-tide-0", 1));
        let upload = s3.create_multipart_upload().bucket("crater").key(name);
        upload.send().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let removed = source.remove_own(&keys, &own()).await.unwrap();
        assert!(removed.done);
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
    }
}
