//! Stores whose certificates a private authority has signed: MinIO with its STS, and Garage with its admin API.

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use zonetide_operator::{
        objectstore::{
            AssumeRoleRequest, Bucket, CaBundle, GarageRequest, GivenRequest, Keys, RealSources, Source,
            SourceRequest, Sources, StoreError, Way,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        Garage, Minio, TlsFront,
        garage::ADMIN_TOKEN,
        minio::{ROOT_PASSWORD, ROOT_USER},
    };

    /// An authority that has nothing to do with it.
    const STRANGER: &str = include_str!("../../agent/tests/tls/client.pem");

    fn trusting(text: &str, request: &SourceRequest) -> Box<dyn Source> {
        let way = Way {
            ca: Some(CaBundle::parse(text).unwrap()),
            proxy: None,
        };
        RealSources::new().unwrap().reached(&way, request).unwrap()
    }

    fn root() -> Keys {
        Keys {
            access_key_id: ROOT_USER.into(),
            secret_access_key: SecretText::new(ROOT_PASSWORD),
            session_token: None,
        }
    }

    fn bucket(endpoint: String, region: &str) -> Bucket {
        Bucket {
            path_style: true,
            endpoint,
            region: region.into(),
            name: "crater".into(),
            prefix: "shore/tide/schema-5/".into(),
        }
    }

    fn given(front: &TlsFront) -> SourceRequest {
        SourceRequest::Given(GivenRequest {
            bucket: bucket(front.endpoint(), "us-east-1"),
            create_bucket: true,
            keys: Ok(root()),
            secret: "moon-keys".into(),
        })
    }

    fn assume_role(front: &TlsFront) -> SourceRequest {
        SourceRequest::AssumeRole(AssumeRoleRequest {
            bucket: bucket(front.endpoint(), "us-east-1"),
            create_bucket: true,
            keys: Ok(root()),
            secret: "moon-admin".into(),
            sts_endpoint: front.endpoint(),
            role_arn: None,
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_mins(15),
            managed: false,
        })
    }

    fn assert_untrusted(error: &StoreError) {
        assert!(matches!(error, StoreError::Untrusted { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("spec.objectStore.s3.caSecretRef"), "{text}");
        assert_eq!(error.reason().as_str(), "EndpointUnreachable");
    }

    #[tokio::test]
    async fn buckets_and_keys_of_a_store_are_made_when_its_authority_is_named() {
        let minio = Minio::start().await;
        let front = TlsFront::start(&minio.endpoint()).await;
        for request in [given(&front), assume_role(&front)] {
            let source = trusting(&TlsFront::authority(), &request);
            source.prepare().await.unwrap();
            let keys = source.mint().await.unwrap().keys;
            source.check(&keys).await.unwrap();
            assert!(source.warnings(&keys).await.is_empty());
        }
    }

    #[tokio::test]
    async fn without_it_or_with_another_the_message_says_what_to_name() {
        let minio = Minio::start().await;
        let front = TlsFront::start(&minio.endpoint()).await;
        let sources = RealSources::new().unwrap();
        for request in [given(&front), assume_role(&front)] {
            assert_untrusted(&sources.source(&request).prepare().await.unwrap_err());
            assert_untrusted(&trusting(STRANGER, &request).prepare().await.unwrap_err());
        }
        // The STS itself.
        let source = sources.source(&assume_role(&front));
        assert_untrusted(&source.mint().await.unwrap_err());
        assert!(!minio.has_bucket("crater").await, "nothing got through");
    }

    #[tokio::test]
    async fn the_admin_api_of_a_garage_is_trusted_by_it_too() {
        let garage = Garage::start().await;
        let s3 = TlsFront::start(&garage.bucket("elsewhere").await.endpoint).await;
        let admin = TlsFront::start(&garage.admin_url()).await;
        let request = SourceRequest::Garage(GarageRequest {
            admin_url: admin.endpoint(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: bucket(s3.endpoint(), "garage"),
            key_name: "zonetide shore/tide 0a1b2c3d".into(),
            key_lifetime: SignedDuration::from_hours(1),
            managed: false,
            create_bucket: true,
            token_secret: "moon-token".into(),
        });
        let stranger = RealSources::new().unwrap().source(&request);
        assert_untrusted(&stranger.prepare().await.unwrap_err());
        let source = trusting(&TlsFront::authority(), &request);
        assert_eq!(source.prepare().await, Ok(true));
        let keys = source.mint().await.unwrap().keys;
        source.check(&keys).await.unwrap();
    }
}
