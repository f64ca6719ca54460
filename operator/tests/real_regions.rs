//! What a store says to a bucket of another region, or in another place of the request, is followed word by word: at a real Garage,
//! and at one that refuses as AWS and Alibaba Cloud do.

#[cfg(test)]
mod tests {
    use zonetide_operator::{
        objectstore::{
            Bucket, GivenRequest, Keys, RealSources, SourceRequest, Sources, StoreError, StoreProxy, Way,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        FaultProxy, ForwardProxy, Garage,
        fault_proxy::{Fault, Refusal},
        garage::{self, S3_HOST},
    };

    fn request(given: &garage::Bucket, region: &str, path_style: bool) -> SourceRequest {
        SourceRequest::Given(GivenRequest {
            bucket: Bucket {
                endpoint: given.endpoint.clone(),
                region: region.into(),
                name: given.name.clone(),
                path_style,
                prefix: "shore/tide/schema-5/".into(),
            },
            create_bucket: false,
            keys: Ok(Keys {
                access_key_id: given.access_key.clone(),
                secret_access_key: SecretText::new(given.secret_key.clone()),
                session_token: None,
            }),
            secret: "moon-keys".into(),
        })
    }

    async fn prepare(given: &garage::Bucket, region: &str) -> Result<bool, StoreError> {
        let sources = RealSources::new().unwrap();
        sources.source(&request(given, region, true)).prepare().await
    }

    #[tokio::test]
    async fn the_region_that_a_garage_names_is_the_right_one() {
        let garage = Garage::start().await;
        let bucket = garage.bucket("crater").await;
        let error = prepare(&bucket, "moon").await.unwrap_err();
        assert_eq!(error.reason().as_str(), "StoreError");
        let text = error.to_string();
        assert!(text.contains("but in the region garage: set"), "{text}");
        assert!(
            text.ends_with("set spec.objectStore.s3.region to garage"),
            "{text}"
        );
        assert_eq!(prepare(&bucket, "garage").await, Ok(false));
    }

    #[tokio::test]
    async fn the_region_in_the_header_of_aws_is_the_right_one() {
        let garage = Garage::start().await;
        let bucket = garage.bucket("crater").await;
        let proxy = FaultProxy::start(&bucket);
        proxy.plan(|request| {
            let here = request.authorization.contains("/garage/s3/aws4_request");
            (!here).then_some(Fault::Refuse(Refusal::elsewhere("garage")))
        });
        let bucket = proxy.bucket(&bucket);
        let text = prepare(&bucket, "us-east-1").await.unwrap_err().to_string();
        assert!(text.contains("PermanentRedirect"), "{text}");
        assert!(
            text.ends_with("set spec.objectStore.s3.region to garage"),
            "{text}"
        );
        assert_eq!(prepare(&bucket, "garage").await, Ok(false));
    }

    #[tokio::test]
    async fn a_store_that_wants_the_bucket_in_the_name_of_the_host_gets_it_there() {
        let garage = Garage::start().await;
        let bucket = garage.bucket("crater").await;
        let store = FaultProxy::start(&bucket);
        store.plan(|request| {
            let in_path = request.target.starts_with("/crater");
            in_path.then_some(Fault::Refuse(Refusal::HOST_STYLE))
        });
        let mut bucket = store.bucket(&bucket);
        let text = prepare(&bucket, "garage").await.unwrap_err().to_string();
        assert!(
            text.contains("set spec.objectStore.s3.pathStyle to false"),
            "{text}"
        );
        let proxy = ForwardProxy::start().await;
        bucket.endpoint = bucket.endpoint.replace("127.0.0.1", S3_HOST);
        let way = Way {
            ca: None,
            proxy: StoreProxy::parse(&proxy.url(), ""),
        };
        let sources = RealSources::new().unwrap();
        let source = sources.reached(&way, &request(&bucket, "garage", false)).unwrap();
        assert_eq!(source.prepare().await, Ok(false));
    }
}
