//! Stores behind a proxy: a real Garage, and a MinIO whose certificate a private authority has signed. Buckets in the name of the
//! host are here too: no DNS knows such a name, and the way to it is the proxy.

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use zonetide_operator::{
        objectstore::{
            AssumeRoleRequest, Bucket, CaBundle, GarageRequest, GivenRequest, Keys, RealSources, Source,
            SourceRequest, Sources, StoreProxy, Way,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        ForwardProxy, Garage, Minio, TlsFront,
        forward_proxy::PASSWORD,
        garage::{self, ADMIN_TOKEN, S3_HOST},
        minio::{ROOT_PASSWORD, ROOT_USER},
    };

    const EXCEPT_NONE: &str = "";

    fn through(url: &str, except: &str, request: &SourceRequest) -> Box<dyn Source> {
        let way = Way {
            ca: Some(CaBundle::parse(&TlsFront::authority()).unwrap()),
            proxy: StoreProxy::parse(url, except),
        };
        RealSources::new().unwrap().reached(&way, request).unwrap()
    }

    fn bucket(endpoint: &str, path_style: bool) -> Bucket {
        Bucket {
            endpoint: endpoint.into(),
            region: "garage".into(),
            name: "crater".into(),
            path_style,
            prefix: "shore/tide/schema-5/".into(),
        }
    }

    fn given(given: &garage::Bucket, path_style: bool, create_bucket: bool) -> SourceRequest {
        SourceRequest::Given(GivenRequest {
            bucket: bucket(&given.endpoint, path_style),
            create_bucket,
            keys: Ok(Keys {
                access_key_id: given.access_key.clone(),
                secret_access_key: SecretText::new(given.secret_key.clone()),
                session_token: None,
            }),
            secret: "moon-keys".into(),
        })
    }

    #[tokio::test]
    async fn a_bucket_in_the_name_of_the_host_is_made_and_opened() {
        let garage = Garage::start().await;
        let proxy = ForwardProxy::start().await;
        let bucket = garage.by_name(&garage.bucket_to_make("crater").await);
        let source = |create| through(&proxy.url(), EXCEPT_NONE, &given(&bucket, false, create));
        let error = source(false).prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "BucketMissing", "{error}");
        assert!(error.to_string().contains(&bucket.endpoint), "{error}");
        assert_eq!(source(true).prepare().await, Ok(true));
        assert_eq!(source(false).prepare().await, Ok(false));
        let asked = proxy.asked();
        let host = format!("http://crater.{S3_HOST}:");
        for request in &asked {
            let once = request.matches("crater").count() == 1;
            assert!(once && request.contains(&host), "{request}");
        }
        assert!(
            asked.iter().any(|request| request.starts_with("PUT")),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_is_named_with_the_bucket_in_it_and_with_the_proxy() {
        let garage = Garage::start().await;
        let bucket = garage.by_name(&garage.bucket("crater").await);
        let proxy = ForwardProxy::start_closed().await;
        let (url, shown) = (proxy.url_with_password(), proxy.url());
        drop(proxy);
        let source = through(&url, EXCEPT_NONE, &given(&bucket, false, false));
        let error = source.prepare().await.unwrap_err();
        let error = error.through(StoreProxy::parse(&url, EXCEPT_NONE).as_ref());
        assert_eq!(error.reason().as_str(), "EndpointUnreachable", "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot reach http://crater.{S3_HOST}:")),
            "{text}"
        );
        assert!(text.contains(&format!("through the proxy {shown}: ")), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }

    #[tokio::test]
    async fn a_store_with_tls_and_its_sts_are_reached_through_tunnels_and_the_proxy_wants_its_password() {
        let minio = Minio::start().await;
        let front = TlsFront::start(&minio.endpoint()).await;
        let proxy = ForwardProxy::start_closed().await;
        let request = SourceRequest::AssumeRole(AssumeRoleRequest {
            bucket: Bucket {
                region: "us-east-1".into(),
                ..bucket(&front.endpoint(), true)
            },
            create_bucket: true,
            keys: Ok(Keys {
                access_key_id: ROOT_USER.into(),
                secret_access_key: SecretText::new(ROOT_PASSWORD),
                session_token: None,
            }),
            secret: "moon-admin".into(),
            sts_endpoint: front.endpoint(),
            role_arn: None,
            session_name: "zonetide-shore-tide".into(),
            key_lifetime: SignedDuration::from_mins(15),
            managed: false,
        });
        let source = through(&proxy.url_with_password(), EXCEPT_NONE, &request);
        assert_eq!(source.prepare().await, Ok(true));
        let bucket_only = proxy.asked().len();
        let keys = source.mint().await.unwrap().keys;
        assert!(
            proxy.asked().len() > bucket_only,
            "the STS was asked without the proxy"
        );
        source.check(&keys).await.unwrap();
        let asked = proxy.asked();
        let tunnel = format!("CONNECT {}", front.endpoint().trim_start_matches("https://"));
        assert!(asked.iter().all(|request| *request == tunnel), "{asked:?}");

        let stranger = through(&proxy.url(), EXCEPT_NONE, &request);
        let error = stranger.prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "EndpointUnreachable", "{error}");
        assert_eq!(proxy.asked(), asked, "the proxy let somebody through");
    }

    #[tokio::test]
    async fn a_garage_and_its_admin_api_are_asked_through_it_unless_they_are_left_out() {
        let garage = Garage::start().await;
        let proxy = ForwardProxy::start_closed().await;
        let s3 = garage.bucket("elsewhere").await.endpoint;
        let request = SourceRequest::Garage(GarageRequest {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: bucket(&s3, true),
            key_name: "zonetide shore/tide 0a1b2c3d".into(),
            key_lifetime: SignedDuration::from_hours(1),
            managed: false,
            create_bucket: true,
            token_secret: "moon-token".into(),
        });
        let direct = through(&proxy.url_with_password(), "moon.test, 127.0.0.0/8", &request);
        assert_eq!(direct.prepare().await, Ok(true));
        assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
        let source = through(&proxy.url_with_password(), EXCEPT_NONE, &request);
        assert_eq!(source.prepare().await, Ok(false));
        let keys = source.mint().await.unwrap().keys;
        source.check(&keys).await.unwrap();
        let asked = proxy.asked();
        for server in [garage.admin_url(), s3] {
            assert!(asked.iter().any(|request| request.contains(&server)), "{asked:?}");
        }
        let stranger = through(&proxy.url(), EXCEPT_NONE, &request);
        let error = stranger.check(&keys).await.unwrap_err().to_string();
        assert!(
            error.contains("407") && error.contains("the chart value proxy"),
            "{error}"
        );
    }
}
