//! The sources of buckets against a real Garage on loopback.

#[cfg(test)]
mod tests {
    use zonetide_operator::{
        objectstore::{Bucket, Keys, RealSources, SourceRequest, Sources, StoreError},
        secret::SecretText,
    };
    use zonetide_testbed::garage::{ADMIN_TOKEN, Garage};

    async fn ensure(request: &SourceRequest) -> Result<Keys, StoreError> {
        RealSources::new().unwrap().source(request).ensure().await
    }

    fn managed(garage: &Garage) -> SourceRequest {
        SourceRequest::Garage {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: "zonetide".into(),
        }
    }

    fn s3(endpoint: &str, bucket: &str, keys: &Keys) -> SourceRequest {
        let bucket = Bucket {
            endpoint: endpoint.into(),
            region: "garage".into(),
            name: bucket.into(),
            prefix: "shore/tide/schema-5/".into(),
        };
        SourceRequest::S3 {
            bucket,
            create_bucket: false,
            keys: Ok(keys.clone()),
            secret: "moon-keys".into(),
        }
    }

    #[tokio::test]
    async fn a_managed_bucket_and_its_key_are_made_once_and_open_it_over_s3_also_after_a_crash() {
        let mut garage = Garage::start().await;
        let first = ensure(&managed(&garage)).await.unwrap();
        assert_eq!(ensure(&managed(&garage)).await.unwrap(), first);
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        assert_eq!(
            ensure(&s3(&endpoint, "zonetide", &first)).await,
            Ok(first.clone())
        );

        garage.crash();
        let error = ensure(&managed(&garage)).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "EndpointUnreachable", "{error}");
        garage.up().await;
        assert_eq!(ensure(&managed(&garage)).await.unwrap(), first);
    }

    #[tokio::test]
    async fn each_mistake_with_a_given_bucket_has_its_reason() {
        let garage = Garage::start().await;
        let given = garage.bucket("crater").await;
        let right = Keys {
            access_key_id: given.access_key.clone(),
            secret_access_key: SecretText::new(given.secret_key.clone()),
        };
        ensure(&s3(&given.endpoint, "crater", &right)).await.unwrap();

        let reason = async |bucket: &str, keys: &Keys| {
            let error = ensure(&s3(&given.endpoint, bucket, keys)).await.unwrap_err();
            eprintln!("{error}");
            error.reason().as_str()
        };
        let secret = Keys {
            secret_access_key: SecretText::new("5b".repeat(32)),
            ..right.clone()
        };
        assert_eq!(reason("crater", &secret).await, "AccessDenied");
        let id = Keys {
            access_key_id: "GK000000000000000000000000".into(),
            ..right.clone()
        };
        assert_eq!(reason("crater", &id).await, "AccessDenied");
        assert_eq!(reason("no-such-bucket", &right).await, "BucketMissing");
        let other = garage.bucket("others").await;
        assert_eq!(reason(&other.name, &right).await, "AccessDenied");
    }
}
