//! What a store tells of a bucket that keeps old versions or is open to the public, and what nobody has to tell.

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Credentials, Region},
        primitives::ByteStream,
        types::{BucketVersioningStatus, VersioningConfiguration},
    };
    use aws_smithy_http_client::Builder;
    use jiff::SignedDuration;
    use zonetide_operator::{
        objectstore::{
            AssumeRoleRequest, Bucket, GarageRequest, GivenRequest, Keys, R2Request, RealSources, Source,
            SourceRequest, Sources,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        fakes::cloudflare::{ACCOUNT, Cloudflare, TOKEN, TokenKind},
        garage::{ADMIN_TOKEN, Garage},
        minio::{Minio, ROOT_PASSWORD, ROOT_USER},
    };

    const PREFIX: &str = "shore/tide/schema-5/";
    const OBJECT: &str =
        "shore/tide/schema-5/main__0a1b2c3d-shore-tide-0__20261124-090051-000000000__G-0.pb.gz";

    fn root() -> Keys {
        Keys {
            access_key_id: ROOT_USER.into(),
            secret_access_key: SecretText::new(ROOT_PASSWORD),
            session_token: None,
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

    fn given(minio: &Minio, keys: Keys) -> Box<dyn Source> {
        source(&SourceRequest::Given(GivenRequest {
            bucket: bucket(minio),
            create_bucket: true,
            keys: Ok(keys),
            secret: "moon-keys".into(),
        }))
    }

    fn assume_role(minio: &Minio, managed: bool) -> Box<dyn Source> {
        source(&SourceRequest::AssumeRole(AssumeRoleRequest {
            bucket: bucket(minio),
            create_bucket: true,
            keys: Ok(root()),
            secret: "moon-admin".into(),
            sts_endpoint: minio.endpoint(),
            role_arn: None,
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_mins(15),
            managed,
        }))
    }

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

    async fn put(s3: &Client, key: &str) {
        let body = ByteStream::from_static(b"x");
        let request = s3.put_object().bucket("crater").key(key).body(body);
        request.send().await.unwrap();
    }

    async fn set_versioning(s3: &Client, status: BucketVersioningStatus) {
        let configuration = VersioningConfiguration::builder().status(status).build();
        s3.put_bucket_versioning()
            .bucket("crater")
            .versioning_configuration(configuration)
            .send()
            .await
            .unwrap();
    }

    /// Lets everybody do this.
    async fn open(s3: &Client, action: &str, resource: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["*"]}},"Action":["{action}"],"Resource":["arn:aws:s3:::{resource}"]}}]}}"#
        );
        let request = s3.put_bucket_policy().bucket("crater").policy(policy);
        request.send().await.unwrap();
    }

    async fn close(s3: &Client) {
        s3.delete_bucket_policy().bucket("crater").send().await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_that_keeps_old_versions_is_warned_of_until_it_does_not() {
        let minio = Minio::start().await;
        let s3 = client(&minio);
        for source in [
            given(&minio, root()),
            assume_role(&minio, false),
            assume_role(&minio, true),
        ] {
            source.prepare().await.unwrap();
            let keys = source.mint().await.unwrap().keys;
            assert!(source.warnings(&keys).await.is_empty());
            set_versioning(&s3, BucketVersioningStatus::Enabled).await;
            let warnings = source.warnings(&keys).await;
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            for part in ["bucket crater keeps old versions", "lifecycle rule"] {
                assert!(warnings[0].contains(part), "{warnings:?}");
            }
            set_versioning(&s3, BucketVersioningStatus::Suspended).await;
            assert!(source.warnings(&keys).await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_bucket_that_everybody_can_list_or_read_is_warned_of_until_it_is_closed() {
        let minio = Minio::start().await;
        let s3 = client(&minio);
        for source in [
            given(&minio, root()),
            assume_role(&minio, false),
            assume_role(&minio, true),
        ] {
            source.prepare().await.unwrap();
            let keys = source.mint().await.unwrap().keys;
            put(&s3, OBJECT).await;
            assert!(source.warnings(&keys).await.is_empty());
            for (action, resource) in [
                ("s3:GetObject", "crater/*"),
                ("s3:GetObject", "crater/shore/tide/*"),
                ("s3:ListBucket", "crater"),
            ] {
                open(&s3, action, resource).await;
                let warnings = source.warnings(&keys).await;
                assert_eq!(warnings.len(), 1, "{action} of {resource}: {warnings:?}");
                for part in ["bucket crater is open to the public", "take away"] {
                    assert!(warnings[0].contains(part), "{warnings:?}");
                }
                close(&s3).await;
                assert!(source.warnings(&keys).await.is_empty());
            }
            // What is public of other clusters is no matter of this one.
            open(&s3, "s3:GetObject", "crater/www/*").await;
            assert!(source.warnings(&keys).await.is_empty());
            close(&s3).await;
        }
    }

    #[tokio::test]
    async fn keys_that_may_not_ask_for_policies_see_that_it_is_public_by_trying() {
        let minio = Minio::start().await;
        let s3 = client(&minio);
        let admin = assume_role(&minio, false);
        admin.prepare().await.unwrap();
        put(&s3, OBJECT).await;
        // As narrow as keys can be that people give.
        let narrow = admin.mint().await.unwrap().keys;
        let source = given(&minio, narrow.clone());
        assert!(source.warnings(&narrow).await.is_empty());
        open(&s3, "s3:GetObject", "crater/*").await;
        assert_eq!(source.warnings(&narrow).await.len(), 1);
        close(&s3).await;
        assert!(source.warnings(&narrow).await.is_empty());
    }

    #[tokio::test]
    async fn a_bucket_of_r2_is_public_by_its_addresses_and_those_are_named() {
        let cloudflare = Cloudflare::start(Minio::start().await, TokenKind::Account).await;
        let source = source(&SourceRequest::R2(R2Request {
            api_url: cloudflare.url(),
            account: ACCOUNT.into(),
            token: SecretText::new(TOKEN),
            token_secret: "moon".into(),
            bucket: bucket(cloudflare.r2()),
            create_bucket: true,
            key_lifetime: SignedDuration::from_hours(24),
        }));
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        for (managed, custom, named) in [
            (true, false, "addresses: pub-crater.r2.dev"),
            (false, true, "addresses: zones.example.com"),
            (true, true, "addresses: zones.example.com, pub-crater.r2.dev"),
        ] {
            cloudflare.publish(managed, custom);
            let warnings = source.warnings(&keys).await;
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("bucket crater is open to the public"));
            assert!(warnings[0].ends_with(named), "{warnings:?}");
            cloudflare.publish(false, false);
            assert!(source.warnings(&keys).await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_bucket_of_garage_is_public_as_a_website() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("crater").await.endpoint;
        let source = source(&SourceRequest::Garage(GarageRequest {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: Bucket {
                path_style: true,
                endpoint,
                region: "garage".into(),
                name: "crater".into(),
                prefix: PREFIX.into(),
            },
            key_name: "zonetide shore/tide 0a1b2c3d".into(),
            key_lifetime: SignedDuration::from_hours(1),
            managed: false,
            create_bucket: false,
            token_secret: "moon-token".into(),
        }));
        let keys = source.mint().await.unwrap().keys;
        assert!(source.warnings(&keys).await.is_empty());
        garage.serve_website("crater", true).await;
        let warnings = source.warnings(&keys).await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in [
            "bucket crater is open to the public",
            "garage bucket website --deny crater",
        ] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
        garage.serve_website("crater", false).await;
        assert!(source.warnings(&keys).await.is_empty());
    }
}
