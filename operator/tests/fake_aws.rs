//! Keys by AWS' STS against a small server that plays it, with a MinIO in place of S3.

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
        primitives::ByteStream,
    };
    use jiff::{SignedDuration, Timestamp};
    use zonetide_operator::{
        objectstore::{AssumeRoleRequest, Bucket, Keys, RealSources, Source, SourceRequest, Sources},
        secret::SecretText,
    };
    use zonetide_testbed::{
        Minio,
        fakes::aws_sts::{ACCESS_KEY, AwsSts, REGION, ROLE, SECRET_KEY},
    };

    const PREFIX: &str = "shore/tide/schema-5/";

    fn admin() -> Keys {
        Keys {
            access_key_id: ACCESS_KEY.into(),
            secret_access_key: SecretText::new(SECRET_KEY),
            session_token: None,
        }
    }

    fn request(aws: &AwsSts) -> AssumeRoleRequest {
        AssumeRoleRequest {
            bucket: Bucket {
                path_style: true,
                endpoint: aws.s3().endpoint(),
                region: REGION.into(),
                name: "crater".into(),
                prefix: PREFIX.into(),
            },
            // The fake S3 does not know the admin; its bucket is there already.
            create_bucket: false,
            keys: Ok(admin()),
            secret: "moon".into(),
            sts_endpoint: aws.url(),
            role_arn: Some(ROLE.into()),
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_hours(1),
            managed: false,
        }
    }

    fn source(request: AssumeRoleRequest) -> Box<dyn Source> {
        RealSources::new()
            .unwrap()
            .source(&SourceRequest::AssumeRole(request))
    }

    async fn start() -> AwsSts {
        let s3 = Minio::start_in(REGION).await;
        s3.bucket("crater").await;
        s3.bucket("others").await;
        AwsSts::start(s3).await
    }

    fn client(endpoint: &str, keys: &Keys) -> Client {
        let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
        let secret = keys.secret_access_key.expose();
        Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(endpoint)
                .region(Region::new(REGION))
                .credentials_provider(Credentials::new(&keys.access_key_id, secret, token, None, "test"))
                .force_path_style(true)
                .retry_config(RetryConfig::disabled())
                .build(),
        )
    }

    #[tokio::test]
    async fn the_role_is_assumed_with_a_policy_for_the_bucket_and_prefix_alone() {
        let aws = start().await;
        let source = source(request(&aws));
        source.prepare().await.unwrap();
        let minted = source.mint().await.unwrap();
        source.check(&minted.keys).await.unwrap();
        let left = minted.expires.unwrap().duration_since(Timestamp::now());
        assert!(left <= SignedDuration::from_hours(1) && left > SignedDuration::from_mins(59));
        let granted = aws.granted();
        assert!(
            granted.len() == 1 && granted[0].starts_with("zonetide-shore-tide for 3600 s: "),
            "{granted:?}"
        );

        let s3 = client(&aws.s3().endpoint(), &minted.keys);
        let put = async |bucket: &str, key: &str| {
            let body = ByteStream::from_static(b"zones");
            s3.put_object()
                .bucket(bucket)
                .key(key)
                .body(body)
                .send()
                .await
                .is_ok()
        };
        let get = async |key: &str| s3.get_object().bucket("crater").key(key).send().await.is_ok();
        let list = async |bucket: &str, prefix: &str| {
            let listing = s3.list_objects_v2().bucket(bucket).prefix(prefix);
            listing.send().await.is_ok()
        };
        let own = format!("{PREFIX}main__a");
        assert!(put("crater", &own).await && get(&own).await);
        assert!(list("crater", PREFIX).await && list("crater", &format!("{PREFIX}main__")).await);
        assert!(!put("crater", "shore/ebb/schema-5/main__a").await);
        assert!(!get("shore/ebb/schema-5/main__a").await);
        assert!(!list("crater", "shore/ebb/schema-5/").await && !list("crater", "").await);
        assert!(!put("others", &own).await && !list("others", PREFIX).await);
        assert!(s3.create_bucket().bucket("another").send().await.is_err());
        let deleted = s3.delete_object().bucket("crater").key(&own).send().await;
        deleted.unwrap();
    }

    #[tokio::test]
    async fn each_refusal_says_what_to_do() {
        let aws = start().await;
        let said = async |request: AssumeRoleRequest, reason: &str, parts: &[&str]| {
            let error = source(request).mint().await.unwrap_err();
            assert_eq!(error.reason().as_str(), reason, "{error}");
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert!(!text.contains(SECRET_KEY), "{text}");
        };
        let right = || request(&aws);
        source(right()).mint().await.unwrap();
        let secret = AssumeRoleRequest {
            keys: Ok(Keys {
                secret_access_key: SecretText::new("another"),
                ..admin()
            }),
            ..right()
        };
        said(secret, "AccessDenied", &["SignatureDoesNotMatch", "Secret moon"]).await;
        let id = AssumeRoleRequest {
            keys: Ok(Keys {
                access_key_id: "AKIAANOTHER".into(),
                ..admin()
            }),
            ..right()
        };
        said(id, "AccessDenied", &["InvalidClientTokenId", "Secret moon"]).await;
        let role = AssumeRoleRequest {
            role_arn: Some("arn:aws:iam::123456789012:role/another".into()),
            ..right()
        };
        said(role, "AccessDenied", &["role/another", "trust policy"]).await;
        let lifetime = AssumeRoleRequest {
            key_lifetime: SignedDuration::from_hours(13),
            ..right()
        };
        said(lifetime, "StoreError", &["keyLifetime"]).await;
        let prefix = AssumeRoleRequest {
            bucket: Bucket {
                prefix: "long/".repeat(500),
                ..right().bucket
            },
            ..right()
        };
        said(prefix, "StoreError", &["shorter spec.objectStore.s3.prefix"]).await;
        assert_eq!(aws.granted().len(), 1, "only the right one got keys");
    }

    #[tokio::test]
    async fn a_bucket_elsewhere_refuses_the_keys_and_the_role_is_named() {
        let aws = start().await;
        let source = source(AssumeRoleRequest {
            bucket: Bucket {
                name: "nowhere".into(),
                ..request(&aws).bucket
            },
            ..request(&aws)
        });
        let keys = source.mint().await.unwrap().keys;
        let error = source.check(&keys).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "BucketMissing", "{error}");

        let other = Minio::start_in(REGION).await;
        other.bucket("crater").await;
        let source = self::source(AssumeRoleRequest {
            bucket: Bucket {
                endpoint: other.endpoint(),
                ..request(&aws).bucket
            },
            ..request(&aws)
        });
        let error = source
            .check(&source.mint().await.unwrap().keys)
            .await
            .unwrap_err();
        assert!(error.is_about_keys(), "{error}");
        assert!(error.to_string().contains(&format!("the role {ROLE}")), "{error}");
    }
}
