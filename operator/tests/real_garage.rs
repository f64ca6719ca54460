//! The sources of buckets against a real Garage on loopback.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zonetide_operator::{
        objectstore::{
            Bucket, GarageRequest, GivenRequest, Keys, RealSources, Source, SourceRequest, Sources,
            StoreError,
        },
        secret::SecretText,
    };
    use zonetide_testbed::garage::{ADMIN_TOKEN, Garage};

    fn source(request: &SourceRequest) -> Box<dyn Source> {
        RealSources::new().unwrap().source(request)
    }

    async fn prepare(request: &SourceRequest) -> Result<bool, StoreError> {
        source(request).prepare().await
    }

    fn bucket(endpoint: &str, name: &str) -> Bucket {
        Bucket {
            path_style: true,
            endpoint: endpoint.into(),
            region: "garage".into(),
            name: name.into(),
            prefix: "shore/tide/schema-5/".into(),
        }
    }

    fn managed(garage: &Garage, endpoint: &str, lifetime: Duration) -> SourceRequest {
        SourceRequest::Garage(GarageRequest {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: bucket(endpoint, "zonetide"),
            key_name: "zonetide".into(),
            key_lifetime: lifetime.try_into().unwrap(),
            managed: true,
            create_bucket: true,
            token_secret: "tide-garage".into(),
        })
    }

    fn s3(endpoint: &str, name: &str, keys: &Keys) -> SourceRequest {
        SourceRequest::Given(GivenRequest {
            bucket: bucket(endpoint, name),
            create_bucket: false,
            keys: Ok(keys.clone()),
            secret: "moon-keys".into(),
        })
    }

    #[tokio::test]
    async fn a_managed_bucket_is_made_once_and_its_keys_open_it_until_they_are_ended_also_after_a_crash() {
        let mut garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = source(&managed(&garage, &endpoint, Duration::from_hours(1)));
        assert_eq!(source.prepare().await, Ok(true));
        assert_eq!(source.prepare().await, Ok(false));
        let first = source.mint().await.unwrap().keys;
        source.check(&first).await.unwrap();
        // A crash of ours came before it was written down.
        let lost = source.mint().await.unwrap().keys;

        garage.crash();
        let error = source.prepare().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "EndpointUnreachable", "{error}");
        garage.up().await;
        assert_eq!(source.prepare().await, Ok(false));
        let second = source.mint().await.unwrap().keys;
        source.check(&first).await.unwrap();
        source.check(&second).await.unwrap();

        let mut ended = source.revoke_others(Some(&second.access_key_id)).await.unwrap();
        ended.sort();
        let mut expected = [first.access_key_id.clone(), lost.access_key_id];
        expected.sort();
        assert_eq!(ended, expected);
        source.check(&second).await.unwrap();
        let error = source.check(&first).await.unwrap_err();
        assert!(error.is_about_keys(), "{error}");
    }

    #[tokio::test]
    async fn a_key_that_has_ended_is_refused_as_such_and_another_is_made() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = source(&managed(&garage, &endpoint, Duration::from_secs(2)));
        source.prepare().await.unwrap();
        let minted = source.mint().await.unwrap();
        source.check(&minted.keys).await.unwrap();
        let refused = async {
            loop {
                if let Err(error) = source.check(&minted.keys).await {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let error = tokio::time::timeout(Duration::from_mins(1), refused)
            .await
            .unwrap();
        assert!(error.is_about_keys(), "{error}");
        let another = source.mint().await.unwrap();
        source.check(&another.keys).await.unwrap();
    }

    #[tokio::test]
    async fn each_mistake_with_a_given_bucket_has_its_reason() {
        let garage = Garage::start().await;
        let given = garage.bucket("crater").await;
        let right = Keys {
            access_key_id: given.access_key.clone(),
            secret_access_key: SecretText::new(given.secret_key.clone()),
            session_token: None,
        };
        prepare(&s3(&given.endpoint, "crater", &right)).await.unwrap();

        let reason = async |bucket: &str, keys: &Keys| {
            let error = prepare(&s3(&given.endpoint, bucket, keys)).await.unwrap_err();
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

    /// A Garage that was there before, with one bucket and key name a cluster.
    fn existing(garage: &Garage, endpoint: &str, name: &str, key_name: &str) -> GarageRequest {
        GarageRequest {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: bucket(endpoint, name),
            key_name: key_name.into(),
            key_lifetime: Duration::from_hours(1).try_into().unwrap(),
            managed: false,
            create_bucket: true,
            token_secret: "moon".into(),
        }
    }

    #[tokio::test]
    async fn two_clusters_on_one_garage_cannot_open_each_others_buckets_nor_end_each_others_keys() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let of =
            |name: &str, key: &str| source(&SourceRequest::Garage(existing(&garage, &endpoint, name, key)));
        let (ebb, flow) = (
            of("ebb", "zonetide shore/ebb 1"),
            of("flow", "zonetide shore/flow 1"),
        );
        assert_eq!(ebb.prepare().await, Ok(true));
        assert_eq!(flow.prepare().await, Ok(true));
        let ebbs = ebb.mint().await.unwrap().keys;
        let flows = flow.mint().await.unwrap().keys;
        ebb.check(&ebbs).await.unwrap();
        flow.check(&flows).await.unwrap();
        assert!(ebb.check(&flows).await.unwrap_err().is_about_keys());
        assert!(flow.check(&ebbs).await.unwrap_err().is_about_keys());

        assert_eq!(ebb.revoke_others(Some(&ebbs.access_key_id)).await, Ok(vec![]));
        flow.check(&flows).await.unwrap();
        let ended = ebb.revoke_others(None).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&ebbs.access_key_id));
        flow.check(&flows).await.unwrap();

        // Such a key is good for one bucket, and makes none.
        let make = GivenRequest {
            bucket: bucket(&endpoint, "another"),
            create_bucket: true,
            keys: Ok(flows),
            secret: "moon-keys".into(),
        };
        let error = prepare(&SourceRequest::Given(make)).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "AccessDenied", "{error}");
    }

    #[tokio::test]
    async fn renewal_leaves_the_old_key_good_until_it_is_ended() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = source(&SourceRequest::Garage(existing(
            &garage, &endpoint, "ebb", "ours",
        )));
        source.prepare().await.unwrap();
        let old = source.mint().await.unwrap().keys;
        let new = source.mint().await.unwrap().keys;
        assert_ne!(old.fingerprint(), new.fingerprint());
        source.check(&old).await.unwrap();
        source.check(&new).await.unwrap();
        let ended = source.revoke_others(Some(&new.access_key_id)).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&old.access_key_id));
        assert!(source.check(&old).await.unwrap_err().is_about_keys());
        source.check(&new).await.unwrap();
    }

    #[tokio::test]
    async fn without_its_token_a_source_still_tells_whether_the_keys_there_are_good() {
        let garage = Garage::start().await;
        let given = garage.bucket("ebb").await;
        let right = existing(&garage, &given.endpoint, "ebb", "ours");
        let keys = source(&SourceRequest::Garage(right.clone()))
            .mint()
            .await
            .unwrap()
            .keys;
        let missing = StoreError::TokenMissing {
            name: "moon".into(),
            key: "token".into(),
        };
        let source = source(&SourceRequest::Unusable {
            error: missing.clone(),
            bucket: right.bucket,
        });
        assert_eq!(source.prepare().await, Err(missing.clone()));
        assert!(missing.is_about_admin(), "keys that are good would be given up");
        assert_eq!(source.mint().await.err(), Some(missing));
        source.check(&keys).await.unwrap();
        let another = Keys {
            access_key_id: "GK000000000000000000000000".into(),
            ..keys
        };
        assert!(source.check(&another).await.unwrap_err().is_about_keys());
    }

    #[tokio::test]
    async fn each_mistake_with_an_existing_garage_has_its_reason_and_remedy() {
        let mut garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let right = existing(&garage, &endpoint, "ebb", "ours");
        let said = async |request: GarageRequest, reason: &str, remedy: &str| {
            let error = prepare(&SourceRequest::Garage(request)).await.unwrap_err();
            assert_eq!(error.reason().as_str(), reason, "{error}");
            assert!(error.to_string().contains(remedy), "{error}");
        };
        let not_made = GarageRequest {
            create_bucket: false,
            ..right.clone()
        };
        said(not_made.clone(), "BucketMissing", "createBucket to true").await;
        said(not_made, "BucketMissing", "has no bucket ebb").await;
        let token = GarageRequest {
            admin_token: SecretText::new("another"),
            ..right.clone()
        };
        said(token, "AccessDenied", "a valid one into the Secret moon").await;
        // The port of S3 in place of the admin API's.
        let port = GarageRequest {
            admin_url: endpoint.clone(),
            ..right.clone()
        };
        said(
            port,
            "StoreError",
            "does not speak version 2 of Garage's admin API",
        )
        .await;
        garage.crash();
        said(right, "EndpointUnreachable", "credentials.garage.adminEndpoint").await;
    }
}
