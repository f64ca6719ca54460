//! Keys by STS against a real MinIO on loopback: what they may do, and what not.

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
        error::{ProvideErrorMetadata, SdkError},
        primitives::ByteStream,
    };
    use http::Method;
    use jiff::{SignedDuration, Timestamp};
    use zonetide_operator::{
        objectstore::{AssumeRoleRequest, Bucket, Keys, RealSources, Source, SourceRequest, Sources},
        secret::SecretText,
    };
    use zonetide_testbed::{
        minio::{Minio, ROOT_PASSWORD, ROOT_USER},
        sigv4::Signer,
    };

    const PREFIX: &str = "shore/tide/schema-5/";

    fn root() -> Keys {
        Keys {
            access_key_id: ROOT_USER.into(),
            secret_access_key: SecretText::new(ROOT_PASSWORD),
            session_token: None,
        }
    }

    fn request(minio: &Minio, admin: Keys) -> AssumeRoleRequest {
        AssumeRoleRequest {
            bucket: Bucket {
                path_style: true,
                endpoint: minio.endpoint(),
                region: "us-east-1".into(),
                name: "zonetide".into(),
                prefix: PREFIX.into(),
            },
            create_bucket: true,
            keys: Ok(admin),
            secret: "moon-admin".into(),
            sts_endpoint: minio.endpoint(),
            role_arn: None,
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_mins(15),
            managed: false,
        }
    }

    fn source(request: AssumeRoleRequest) -> Box<dyn Source> {
        RealSources::new()
            .unwrap()
            .source(&SourceRequest::AssumeRole(request))
    }

    fn client(minio: &Minio, keys: &Keys) -> Client {
        let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
        let secret = keys.secret_access_key.expose();
        Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(minio.endpoint())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new(&keys.access_key_id, secret, token, None, "test"))
                .force_path_style(true)
                .retry_config(RetryConfig::disabled())
                .build(),
        )
    }

    /// The code of the refusal; that there is one is what is tested.
    fn refused<T: std::fmt::Debug, E>(what: &str, answer: Result<T, SdkError<E>>) -> String
    where
        E: ProvideErrorMetadata + std::fmt::Debug,
    {
        match answer {
            Ok(answer) => panic!("{what} is allowed: {answer:?}"),
            Err(SdkError::ServiceError(error)) => {
                let status = error.raw().status().as_u16();
                assert_eq!(status, 403, "{what}: {error:?}");
                error.err().code().unwrap_or_default().to_owned()
            }
            Err(error) => panic!("{what}: {error:?}"),
        }
    }

    #[tokio::test]
    async fn the_bucket_is_made_once_and_keys_end_when_the_sts_says() {
        let minio = Minio::start().await;
        let source = source(request(&minio, root()));
        assert_eq!(source.prepare().await, Ok(true));
        assert_eq!(source.prepare().await, Ok(false));
        let minted = source.mint().await.unwrap();
        assert!(minted.keys.session_token.is_some());
        let left = minted.expires.unwrap().duration_since(Timestamp::now());
        assert!(
            left <= SignedDuration::from_mins(15) && left > SignedDuration::from_mins(13),
            "{left}"
        );
        source.check(&minted.keys).await.unwrap();
        let next = source.mint().await.unwrap();
        assert_ne!(next.keys.access_key_id, minted.keys.access_key_id);
        assert!(
            source
                .revoke_others(Some(&next.keys.access_key_id))
                .await
                .unwrap()
                .is_empty()
        );
        source.check(&minted.keys).await.unwrap();
    }

    #[tokio::test]
    async fn a_made_key_does_the_agents_work_under_its_prefix() {
        let minio = Minio::start().await;
        let source = source(request(&minio, root()));
        source.prepare().await.unwrap();
        let s3 = client(&minio, &source.mint().await.unwrap().keys);
        let name = format!("{PREFIX}main__site-shore-tide-0__20260101-000000-000000000__G-0.pb.gz");
        let put = s3.put_object().bucket("zonetide").key(&name);
        put.body(ByteStream::from_static(b"x")).send().await.unwrap();
        // As agents do: with and without the folder's end, deeper, and after a name.
        for prefix in [PREFIX.to_owned(), format!("{PREFIX}main__")] {
            let list = s3.list_objects_v2().bucket("zonetide").prefix(prefix);
            assert_eq!(list.send().await.unwrap().key_count(), Some(1));
        }
        let list = s3
            .list_objects_v2()
            .bucket("zonetide")
            .prefix(PREFIX)
            .start_after(&name);
        assert_eq!(list.send().await.unwrap().key_count(), Some(0));
        let got = s3
            .get_object()
            .bucket("zonetide")
            .key(&name)
            .send()
            .await
            .unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), b"x");
        s3.head_object()
            .bucket("zonetide")
            .key(&name)
            .send()
            .await
            .unwrap();
        s3.delete_object()
            .bucket("zonetide")
            .key(&name)
            .send()
            .await
            .unwrap();
        s3.get_bucket_location().bucket("zonetide").send().await.unwrap();
        // A large object that is given up.
        let upload = s3
            .create_multipart_upload()
            .bucket("zonetide")
            .key(&name)
            .send()
            .await
            .unwrap();
        let id = upload.upload_id().unwrap();
        let part = s3
            .upload_part()
            .bucket("zonetide")
            .key(&name)
            .upload_id(id)
            .part_number(1);
        part.body(ByteStream::from_static(b"x")).send().await.unwrap();
        s3.list_parts()
            .bucket("zonetide")
            .key(&name)
            .upload_id(id)
            .send()
            .await
            .unwrap();
        let abort = s3
            .abort_multipart_upload()
            .bucket("zonetide")
            .key(&name)
            .upload_id(id);
        abort.send().await.unwrap();
    }

    #[tokio::test]
    async fn a_made_key_does_nothing_else() {
        let minio = Minio::start().await;
        let source = source(request(&minio, root()));
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let (s3, admin) = (client(&minio, &keys), client(&minio, &root()));
        admin.create_bucket().bucket("others").send().await.unwrap();
        for (bucket, key) in [
            // A name that only begins alike is another's too.
            ("zonetide", "shore/tide-2/schema-5/secret"),
            ("zonetide", "shore/tide/schema-50/secret"),
            ("others", "shore/tide/schema-5/secret"),
        ] {
            let put = admin.put_object().bucket(bucket).key(key);
            put.body(ByteStream::from_static(b"x")).send().await.unwrap();
            let at = format!("{bucket}/{key}");
            refused(
                &format!("get {at}"),
                s3.get_object().bucket(bucket).key(key).send().await,
            );
            let put = s3
                .put_object()
                .bucket(bucket)
                .key(key)
                .body(ByteStream::from_static(b"y"));
            refused(&format!("put {at}"), put.send().await);
            refused(
                &format!("delete {at}"),
                s3.delete_object().bucket(bucket).key(key).send().await,
            );
            let upload = s3.create_multipart_upload().bucket(bucket).key(key);
            refused(&format!("upload {at}"), upload.send().await);
        }
        for (bucket, prefix) in [
            ("zonetide", ""),
            ("zonetide", "shore/"),
            ("zonetide", "shore/tide-2/"),
            ("others", PREFIX),
        ] {
            let list = s3.list_objects_v2().bucket(bucket).prefix(prefix);
            refused(&format!("list {bucket}/{prefix}"), list.send().await);
        }
        refused(
            "list without a prefix",
            s3.list_objects_v2().bucket("zonetide").send().await,
        );
        refused("make a bucket", s3.create_bucket().bucket("third").send().await);
        refused(
            "delete the bucket",
            s3.delete_bucket().bucket("zonetide").send().await,
        );
        refused(
            "read the policy",
            s3.get_bucket_policy().bucket("zonetide").send().await,
        );
        let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::zonetide/*"]}]}"#;
        refused(
            "set a policy",
            s3.put_bucket_policy()
                .bucket("zonetide")
                .policy(open)
                .send()
                .await,
        );
        refused(
            "delete the policy",
            s3.delete_bucket_policy().bucket("zonetide").send().await,
        );
        // Whose buckets there are is everyone's to ask, but only his own are told.
        if let Ok(listed) = s3.list_buckets().send().await {
            let names: Vec<_> = listed
                .buckets()
                .iter()
                .filter_map(|bucket| bucket.name())
                .collect();
            assert!(!names.contains(&"others"), "{names:?}");
        }
    }

    /// The status of a signed request.
    async fn status(
        minio: &Minio,
        keys: &Keys,
        service: &str,
        method: Method,
        path: &str,
        body: &'static str,
    ) -> u16 {
        let token = keys.session_token.as_ref().map_or("", |token| token.expose());
        let signer = Signer {
            access_key: &keys.access_key_id,
            secret_key: keys.secret_access_key.expose(),
            session_token: token,
            region: "us-east-1",
            service,
        };
        let host = minio.endpoint().trim_start_matches("http://").to_owned();
        let mut request = reqwest::Client::new()
            .request(
                method.as_str().parse().unwrap(),
                format!("{}{path}", minio.endpoint()),
            )
            .body(body);
        if !body.is_empty() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in signer.headers(&method, &host, path, body.as_bytes()) {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_made_key_neither_administers_nor_makes_keys() {
        let minio = Minio::start().await;
        let source = source(request(&minio, root()));
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}"#;
        for (method, path, body) in [
            (Method::GET, "/minio/admin/v3/info", ""),
            (Method::GET, "/minio/admin/v3/list-users", ""),
            (Method::GET, "/minio/admin/v3/list-canned-policies", ""),
            (Method::PUT, "/minio/admin/v3/add-canned-policy?name=mine", policy),
            (Method::DELETE, "/minio/admin/v3/remove-user?accessKey=nobody", ""),
        ] {
            let made = status(&minio, &keys, "s3", method.clone(), path, body).await;
            assert_eq!(made, 403, "{path}");
            let root = status(&minio, &root(), "s3", method, path, body).await;
            assert_ne!(
                root, 403,
                "the root user himself may not, which says nothing: {path}"
            );
        }
        let form = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900";
        assert_eq!(status(&minio, &root(), "sts", Method::POST, "/", form).await, 200);
        assert_eq!(status(&minio, &keys, "sts", Method::POST, "/", form).await, 403);
    }

    #[tokio::test]
    async fn wrong_keys_of_the_admin_are_told_as_such() {
        let minio = Minio::start().await;
        let right = source(request(&minio, root()));
        right.prepare().await.unwrap();
        let wrong_secret = Keys {
            secret_access_key: SecretText::new("not-the-password"),
            ..root()
        };
        let wrong_id = Keys {
            access_key_id: "nobody".into(),
            ..root()
        };
        for admin in [wrong_secret, wrong_id] {
            let source = source(request(&minio, admin));
            for error in [source.prepare().await.map(drop), source.mint().await.map(drop)] {
                let error = error.unwrap_err();
                assert!(error.is_about_admin(), "{error}");
                assert!(error.to_string().contains("refuses the admin's keys"), "{error}");
                assert!(error.to_string().contains("the Secret moon-admin"), "{error}");
            }
        }
        // Keys that are made already may not make others.
        let temporary = right.mint().await.unwrap().keys;
        let error = source(request(&minio, temporary)).mint().await.unwrap_err();
        assert!(error.to_string().contains("neither temporary ones"), "{error}");
    }

    #[tokio::test]
    async fn a_bucket_that_is_not_to_be_made_is_named_when_it_is_missing() {
        let minio = Minio::start().await;
        let source = source(AssumeRoleRequest {
            create_bucket: false,
            ..request(&minio, root())
        });
        assert_eq!(source.prepare().await, Ok(false));
        let keys = source.mint().await.unwrap().keys;
        let error = source.check(&keys).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "BucketMissing", "{error}");
    }

    #[tokio::test]
    async fn keys_that_the_store_does_not_know_are_about_the_keys() {
        let minio = Minio::start().await;
        let source = source(request(&minio, root()));
        source.prepare().await.unwrap();
        let error = source
            .check(&Keys {
                access_key_id: "nobody".into(),
                ..root()
            })
            .await
            .unwrap_err();
        assert!(error.is_about_keys() && !error.is_about_admin(), "{error}");
    }
}
