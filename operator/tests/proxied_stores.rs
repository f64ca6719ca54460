//! Buckets in the name of the host, at a real Garage: no DNS knows such a name here, and the way to it is a proxy.

#[cfg(test)]
mod tests {
    use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};
    use zonetide_operator::{
        objectstore::{Bucket, GivenRequest, GivenSource, Keys, S3Http, Source},
        secret::SecretText,
    };
    use zonetide_testbed::{ForwardProxy, Garage, garage};

    fn through(proxy: &ForwardProxy) -> S3Http {
        let url = proxy.url();
        Builder::new().build_with_connector_fn(move |_, _| {
            let proxy = ProxyConfig::http(url.as_str()).unwrap();
            Connector::builder().proxy_config(proxy).build_http()
        })
    }

    fn request(given: &garage::Bucket, create_bucket: bool) -> GivenRequest {
        let keys = Keys {
            access_key_id: given.access_key.clone(),
            secret_access_key: SecretText::new(given.secret_key.clone()),
            session_token: None,
        };
        GivenRequest {
            bucket: Bucket {
                endpoint: given.endpoint.clone(),
                region: given.region.into(),
                name: given.name.clone(),
                path_style: false,
                prefix: "shore/tide/schema-5/".into(),
            },
            create_bucket,
            keys: Ok(keys),
            secret: "moon-keys".into(),
        }
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_is_named_with_the_bucket_in_it() {
        let garage = Garage::start().await;
        let bucket = garage.by_name(&garage.bucket("crater").await);
        let gone = ForwardProxy::start().await;
        let http = through(&gone);
        drop(gone);
        let source = GivenSource::new(http, request(&bucket, false));
        let error = source.prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "EndpointUnreachable", "{error}");
        let host = format!("cannot reach http://crater.{}:", garage::S3_HOST);
        assert!(error.to_string().starts_with(&host), "{error}");
    }

    #[tokio::test]
    async fn a_bucket_in_the_name_of_the_host_is_made_and_opened() {
        let garage = Garage::start().await;
        let proxy = ForwardProxy::start().await;
        let bucket = garage.by_name(&garage.bucket_to_make("crater").await);
        let source = |create| GivenSource::new(through(&proxy), request(&bucket, create));
        let error = source(false).prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "BucketMissing", "{error}");
        assert!(error.to_string().contains(&bucket.endpoint), "{error}");
        assert_eq!(source(true).prepare().await, Ok(true));
        assert_eq!(source(false).prepare().await, Ok(false));
        let asked = proxy.asked();
        let host = format!("http://crater.{}:", garage::S3_HOST);
        for request in &asked {
            let once = request.matches("crater").count() == 1;
            assert!(once && request.contains(&host), "{request}");
        }
        assert!(
            asked.iter().any(|request| request.starts_with("PUT")),
            "{asked:?}"
        );
    }
}
