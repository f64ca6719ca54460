//! Cloudflare R2 against a small server that plays Cloudflare's API, with a MinIO in place of R2.

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::ByteStream;
    use jiff::{SignedDuration, Timestamp};
    use zonetide_operator::{
        objectstore::{
            Bucket, BucketRemoval, Keys, R2Request, RealSources, Source, SourceRequest, Sources, StoreError,
            Supply,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        Minio,
        fakes::cloudflare::{ACCOUNT, Cloudflare, TOKEN, TokenKind},
    };

    const PREFIX: &str = "shore/tide/schema-5/";

    fn request(cloudflare: &Cloudflare, name: &str) -> R2Request {
        R2Request {
            api_url: cloudflare.url(),
            account: ACCOUNT.into(),
            token: SecretText::new(TOKEN),
            token_secret: "moon".into(),
            bucket: Bucket {
                path_style: true,
                endpoint: cloudflare.r2().endpoint(),
                region: "us-east-1".into(),
                name: name.into(),
                prefix: PREFIX.into(),
            },
            create_bucket: true,
            key_lifetime: SignedDuration::from_hours(24),
        }
    }

    fn source(request: R2Request) -> Box<dyn Source> {
        RealSources::new().unwrap().source(&SourceRequest::R2(request))
    }

    async fn start(token: TokenKind) -> Cloudflare {
        Cloudflare::start(Minio::start().await, token).await
    }

    fn client(endpoint: &str, keys: &Keys) -> aws_sdk_s3::Client {
        let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
        let credentials = aws_sdk_s3::config::Credentials::new(
            keys.access_key_id.as_str(),
            keys.secret_access_key.expose(),
            token,
            None,
            "the test",
        );
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(credentials)
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    #[tokio::test]
    async fn the_bucket_is_made_and_keys_do_their_work_under_the_prefix_and_nothing_elsewhere() {
        let cloudflare = start(TokenKind::Account).await;
        let source = source(request(&cloudflare, "crater"));
        assert_eq!(source.prepare().await, Ok(true));
        assert_eq!(source.prepare().await, Ok(false));
        let minted = source.mint().await.unwrap();
        source.check(&minted.keys).await.unwrap();
        assert_eq!(
            cloudflare.granted(),
            [
                "bucket crater".to_owned(),
                format!("keys for crater under [\"{PREFIX}\"] for 86400 s"),
            ]
        );
        let left = minted.expires.unwrap().duration_since(Timestamp::now());
        assert!(left <= SignedDuration::from_hours(24) && left > SignedDuration::from_hours(23));

        cloudflare.r2().bucket("others").await;
        let s3 = client(&cloudflare.r2().endpoint(), &minted.keys);
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
        assert!(put("crater", &own).await && get(&own).await && list("crater", PREFIX).await);
        assert!(list("crater", &format!("{PREFIX}main__")).await);
        assert!(!put("crater", "shore/ebb/schema-5/main__a").await);
        assert!(!get("shore/ebb/schema-5/main__a").await);
        assert!(!list("crater", "shore/ebb/schema-5/").await && !list("crater", "").await);
        assert!(!put("others", &own).await && !list("others", PREFIX).await);
        assert!(s3.create_bucket().bucket("another").send().await.is_err());
        assert!(s3.delete_bucket().bucket("crater").send().await.is_err());
        let deleted = s3.delete_object().bucket("crater").key(&own).send().await;
        deleted.unwrap();
    }

    #[tokio::test]
    async fn keys_of_two_lives_are_both_good_until_they_end_by_themselves() {
        let cloudflare = start(TokenKind::User).await;
        let source = source(request(&cloudflare, "crater"));
        source.prepare().await.unwrap();
        let first = source.mint().await.unwrap().keys;
        let second = source.mint().await.unwrap().keys;
        assert_ne!(first.session_token, second.session_token);
        let ended = source.revoke_others(Some(&second.access_key_id)).await;
        assert_eq!(ended, Ok(Vec::new()));
        source.check(&first).await.unwrap();
        source.check(&second).await.unwrap();
    }

    #[tokio::test]
    async fn a_life_is_never_longer_or_shorter_than_cloudflare_allows() {
        let cloudflare = start(TokenKind::Account).await;
        for (asked, given) in [(1, 900), (3600, 3600), (900_000, 604_800)] {
            let source = source(R2Request {
                key_lifetime: SignedDuration::from_secs(asked),
                ..request(&cloudflare, "crater")
            });
            source.prepare().await.unwrap();
            drop(cloudflare.granted());
            source.mint().await.unwrap();
            let granted = cloudflare.granted();
            assert!(granted[0].ends_with(&format!("for {given} s")), "{granted:?}");
            let lifetime = SignedDuration::from_secs(given);
            assert_eq!(source.supply(), Supply::Minted { lifetime });
        }
    }

    #[tokio::test]
    async fn a_bucket_is_removed_through_the_api_and_only_when_nothing_is_in_it() {
        let cloudflare = start(TokenKind::Account).await;
        let source = source(request(&cloudflare, "crater"));
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let s3 = client(&cloudflare.r2().endpoint(), &keys);
        let own = format!("{PREFIX}main__a");
        let body = ByteStream::from_static(b"zones");
        s3.put_object()
            .bucket("crater")
            .key(&own)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::NotEmpty));
        s3.delete_object()
            .bucket("crater")
            .key(&own)
            .send()
            .await
            .unwrap();
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
        assert!(!cloudflare.r2().has_bucket("crater").await);
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
    }

    #[tokio::test]
    async fn a_bucket_is_not_made_unasked() {
        let cloudflare = start(TokenKind::Account).await;
        let source = source(R2Request {
            create_bucket: false,
            ..request(&cloudflare, "crater")
        });
        let error = source.prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "BucketMissing");
        assert!(error.to_string().contains("createBucket to true"), "{error}");
        assert!(cloudflare.granted().is_empty());
        cloudflare.r2().bucket("crater").await;
        assert_eq!(source.prepare().await, Ok(false));
    }

    /// Both questions, as a reconcile asks them.
    async fn ask(request: R2Request) -> Result<(), StoreError> {
        let source = source(request);
        source.prepare().await?;
        source.mint().await.map(drop)
    }

    #[tokio::test]
    async fn each_refusal_says_what_to_do() {
        let cloudflare = start(TokenKind::Account).await;
        cloudflare.r2().bucket("crater").await;
        let right = || request(&cloudflare, "crater");
        ask(right()).await.unwrap();
        let said = async |request: R2Request, reason: &str, parts: &[&str]| {
            let error = ask(request).await.unwrap_err();
            assert_eq!(error.reason().as_str(), reason, "{error}");
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert!(!text.contains(TOKEN), "{text}");
        };
        let wrong_token = R2Request {
            token: SecretText::new("v1.0-another"),
            ..right()
        };
        let parts = [
            "find the bucket",
            "Secret moon",
            "Workers R2 Storage: Edit",
            "code 10000",
        ];
        said(wrong_token.clone(), "AccessDenied", &parts).await;
        let error = source(wrong_token).mint().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Cloudflare does not know the token (code 1000), or it has ended or was disabled: put a valid one into the \
             Secret moon"
        );
        let account = R2Request {
            account: "f".repeat(32),
            ..right()
        };
        let parts = ["accountId", "ffffffff", "code 10000"];
        said(account, "AccessDenied", &parts).await;
        let name = R2Request {
            bucket: Bucket {
                name: "no.dots".into(),
                ..right().bucket
            },
            ..right()
        };
        let parts = ["failed to make the bucket", "code 10005"];
        said(name, "StoreError", &parts).await;
        let elsewhere = R2Request {
            api_url: "http://127.0.0.1:9/client/v4".into(),
            ..right()
        };
        let parts = [
            "cannot reach Cloudflare's API at http://127.0.0.1:9/client/v4",
            "refused",
        ];
        said(elsewhere, "EndpointUnreachable", &parts).await;
    }

    #[tokio::test]
    async fn tokens_that_may_not_do_it_say_so() {
        let parts_of = async |kind: TokenKind| {
            let cloudflare = start(kind).await;
            ask(request(&cloudflare, "crater")).await.unwrap_err().to_string()
        };
        let text = parts_of(TokenKind::ReadOnly).await;
        assert!(
            text.contains("make the bucket") && text.contains("Workers R2 Storage: Edit"),
            "{text}"
        );
        let text = parts_of(TokenKind::NoSubscription).await;
        assert!(text.contains("has no R2: subscribe"), "{text}");

        let cloudflare = start(TokenKind::Disabled).await;
        let error = source(request(&cloudflare, "crater")).mint().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "AccessDenied");
        assert!(error.to_string().contains("not active"), "{error}");
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_of_the_account_refuses_the_keys() {
        let cloudflare = start(TokenKind::Account).await;
        let other = Minio::start().await;
        other.bucket("crater").await;
        let source = source(R2Request {
            bucket: Bucket {
                endpoint: other.endpoint(),
                ..request(&cloudflare, "crater").bucket
            },
            ..request(&cloudflare, "crater")
        });
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let error = source.check(&keys).await.unwrap_err();
        assert!(error.is_about_keys(), "{error}");
        assert!(
            error.to_string().contains("spec.objectStore.s3.endpoint"),
            "{error}"
        );
    }
}
