//! What is removed from a bucket with a cluster, and what is not, in a real Garage on loopback.

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Credentials, Region},
        primitives::ByteStream,
    };
    use aws_smithy_http_client::Builder;
    use futures::StreamExt;
    use zonetide_operator::{
        objectstore::{
            Bucket, BucketRemoval, GarageApi, GarageRequest, GivenRequest, Keys, Own, RealSources, Source,
            SourceRequest, Sources,
        },
        secret::SecretText,
    };
    use zonetide_testbed::{
        fault_proxy::{Fault, FaultProxy, Refusal},
        garage::{ADMIN_TOKEN, Garage},
    };

    const PREFIX: &str = "shore/tide/schema-5/";
    const TIME: &str = "20261124-090051-000000000";

    fn own() -> Own {
        Own {
            instances: "0a1b2c3d-shore-tide-".into(),
        }
    }

    fn bucket(endpoint: &str, name: &str) -> Bucket {
        Bucket {
            path_style: true,
            endpoint: endpoint.into(),
            region: "garage".into(),
            name: name.into(),
            prefix: PREFIX.into(),
        }
    }

    fn source(request: &SourceRequest) -> Box<dyn Source> {
        RealSources::new().unwrap().source(request)
    }

    fn existing(garage: &Garage, endpoint: &str, name: &str) -> Box<dyn Source> {
        source(&SourceRequest::Garage(request(garage, endpoint, name)))
    }

    fn managed(garage: &Garage, endpoint: &str, name: &str) -> Box<dyn Source> {
        source(&SourceRequest::Garage(GarageRequest {
            managed: true,
            ..request(garage, endpoint, name)
        }))
    }

    fn request(garage: &Garage, endpoint: &str, name: &str) -> GarageRequest {
        GarageRequest {
            admin_url: garage.admin_url(),
            admin_token: SecretText::new(ADMIN_TOKEN),
            bucket: bucket(endpoint, name),
            key_name: "zonetide shore/tide 0a1b2c3d".into(),
            key_lifetime: Duration::from_hours(1).try_into().unwrap(),
            managed: false,
            create_bucket: true,
            token_secret: "moon-token".into(),
        }
    }

    fn client(endpoint: &str, keys: &Keys) -> Client {
        let secret = keys.secret_access_key.expose();
        Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(Builder::new().build_http())
                .endpoint_url(endpoint)
                .region(Region::new("garage"))
                .credentials_provider(Credentials::new(&keys.access_key_id, secret, None, None, "test"))
                .force_path_style(true)
                .build(),
        )
    }

    async fn put(client: &Client, bucket: &str, names: impl IntoIterator<Item = String>) {
        futures::stream::iter(names)
            .for_each_concurrent(16, |name| async move {
                let body = ByteStream::from_static(b"x");
                let request = client.put_object().bucket(bucket).key(name).body(body);
                request.send().await.unwrap();
            })
            .await;
    }

    async fn all(client: &Client, bucket: &str) -> BTreeSet<String> {
        let mut pages = client.list_objects_v2().bucket(bucket).into_paginator().send();
        let mut names = BTreeSet::new();
        while let Some(page) = pages.next().await {
            names.extend(
                page.unwrap()
                    .contents
                    .into_iter()
                    .flatten()
                    .filter_map(|object| object.key),
            );
        }
        names
    }

    fn snapshot(instance: &str, number: usize) -> String {
        format!("main__{instance}__20261124-090051-{number:09}__G-0000000000000000.pb.gz")
    }

    fn delta(instance: &str, number: usize) -> String {
        format!("zonetide/delta/shard/20261124-090051-{number:09}__{instance}__{TIME}.pb.gz")
    }

    /// More than a page of a listing, of two servers.
    fn mine() -> impl Iterator<Item = String> {
        let instance = |number: usize| format!("0a1b2c3d-shore-tide-{}", number % 2);
        let snapshots = (0..620).map(move |number| snapshot(&instance(number), number));
        let deltas = (0..620).map(move |number| delta(&instance(number), number));
        snapshots.chain(deltas).map(|name| format!("{PREFIX}{name}"))
    }

    /// Of others, in the same folder and beside it.
    fn others() -> Vec<String> {
        let near = [
            snapshot("ffffffff-shore-tide-0", 1),
            snapshot("0a1b2c3d-shore-tide-more-0", 2),
            snapshot("ns1", 3),
            delta("0a1b2c3d-shore-tides-0", 4),
            delta("ffffffff-shore-tide-0", 5),
            "update-marker".to_owned(),
            "notes.txt".to_owned(),
        ];
        let mut names: Vec<String> = near.iter().map(|name| format!("{PREFIX}{name}")).collect();
        for elsewhere in [
            "shore/tide/schema-6/",
            "shore/tide/schema-55/",
            "shore/tide2/schema-5/",
            "",
        ] {
            names.push(format!("{elsewhere}{}", snapshot("0a1b2c3d-shore-tide-0", 6)));
        }
        names
    }

    #[tokio::test]
    async fn only_objects_of_the_own_servers_go_more_than_a_page_of_them_and_again_after_an_interruption() {
        let garage = Garage::start().await;
        let given = garage.bucket("crater").await;
        let keys = Keys {
            access_key_id: given.access_key.clone(),
            secret_access_key: SecretText::new(given.secret_key.clone()),
            session_token: None,
        };
        let client = client(&given.endpoint, &keys);
        put(&client, "crater", mine().chain(others())).await;
        let before = all(&client, "crater").await;
        assert_eq!(before.len(), 1240 + others().len());

        let source = source(&SourceRequest::Given(GivenRequest {
            bucket: bucket(&given.endpoint, "crater"),
            create_bucket: false,
            keys: Ok(keys.clone()),
            secret: "moon-keys".into(),
        }));
        // The operator ends in the middle of it.
        let begun = async { while all(&client, "crater").await.len() == before.len() {} };
        let own = own();
        tokio::select! {
            removed = source.remove_own(&keys, &own) => panic!("it was faster than a listing: {removed:?}"),
            () = begun => {}
        }
        let left = all(&client, "crater").await.len();
        assert!(left > others().len(), "nothing is left to go on with");

        let removed = source.remove_own(&keys, &own).await.unwrap();
        assert!(removed.done && removed.objects > 0, "{removed:?}");
        let left = all(&client, "crater").await;
        assert_eq!(left, others().into_iter().collect());
        let again = source.remove_own(&keys, &own).await.unwrap();
        assert_eq!((again.objects, again.done), (0, true));
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::NotEmpty));
        assert_eq!(all(&client, "crater").await.len(), others().len());
    }

    #[tokio::test]
    async fn a_bucket_in_an_existing_garage_goes_when_it_is_empty_and_all_keys_end() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = existing(&garage, &endpoint, "shore.zones");
        assert_eq!(source.prepare().await, Ok(true));
        let keys = source.mint().await.unwrap().keys;
        let lost = source.mint().await.unwrap().keys;
        let client = client(&endpoint, &keys);
        let name = format!("{PREFIX}{}", snapshot("0a1b2c3d-shore-tide-0", 1));
        put(&client, "shore.zones", [name]).await;
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::NotEmpty));
        assert_eq!(source.has_objects(&keys, PREFIX).await, Ok(true));
        assert_eq!(source.has_objects(&keys, "shore/tide/schema-6/").await, Ok(false));

        assert_eq!(source.remove_own(&keys, &own()).await.unwrap().objects, 1);
        assert_eq!(source.remove_bucket(&keys).await, Ok(BucketRemoval::Removed));
        assert_eq!(
            source.remove_bucket(&keys).await,
            Ok(BucketRemoval::Removed),
            "a second time"
        );
        let again = source.remove_own(&keys, &own()).await.unwrap();
        assert_eq!((again.objects, again.done), (0, true), "without a bucket");

        assert_eq!(source.revoke_others(None).await.unwrap().len(), 2);
        for ended in [keys, lost] {
            assert!(source.check(&ended).await.is_err());
        }
        assert!(source.revoke_others(None).await.unwrap().is_empty());
        // Keys and buckets of others stay.
        let info = garage.bucket("another").await;
        assert_eq!(info.name, "another");
    }

    #[tokio::test]
    async fn objects_go_from_a_store_without_bulk_delete_and_one_that_refuses_is_quoted_with_the_remedy() {
        let garage = Garage::start().await;
        let given = garage.bucket("crater").await;
        let proxy = FaultProxy::start(&given);
        let keys = Keys {
            access_key_id: given.access_key.clone(),
            secret_access_key: SecretText::new(given.secret_key.clone()),
            session_token: None,
        };
        let client = client(&given.endpoint, &keys);
        // One only: of several requests under way, those that are given up at the first refusal may arrive when the store takes them.
        put(&client, "crater", mine().take(1)).await;
        let source = source(&SourceRequest::Given(GivenRequest {
            bucket: bucket(&proxy.bucket(&given).endpoint, "crater"),
            create_bucket: false,
            keys: Ok(keys.clone()),
            secret: "moon-keys".into(),
        }));
        proxy.plan(|request| (request.method == "DELETE").then_some(Fault::Refuse(Refusal::DENIED)));
        let refused = source.remove_own(&keys, &own()).await.unwrap_err().to_string();
        for part in [
            "AccessDenied",
            "Secret moon-keys to delete under shore/tide/schema-5/",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        put(&client, "crater", mine().take(20)).await;
        proxy.plan(|request| (request.method == "POST").then_some(Fault::Refuse(Refusal::NOT_IMPLEMENTED)));
        let removed = source.remove_own(&keys, &own()).await.unwrap();
        assert_eq!((removed.objects, removed.done), (20, true));
    }

    #[tokio::test]
    async fn a_store_that_does_not_tell_of_versions_and_the_public_gets_no_warning() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = existing(&garage, &endpoint, "shore.zones");
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        assert!(source.warnings(&keys).await.is_empty());
    }

    async fn begin_upload(client: &Client, bucket: &str, key: &str) {
        let begun = client.create_multipart_upload().bucket(bucket).key(key);
        let upload = begun.send().await.unwrap();
        let part = client.upload_part().bucket(bucket).key(key).part_number(1);
        let part = part
            .upload_id(upload.upload_id().unwrap())
            .body(ByteStream::from_static(b"x"));
        part.send().await.unwrap();
    }

    #[tokio::test]
    async fn uploads_that_own_servers_never_ended_go_too_and_those_of_others_stay() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = existing(&garage, &endpoint, "shore.zones");
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let client = client(&endpoint, &keys);
        let mine = format!("{PREFIX}{}", snapshot("0a1b2c3d-shore-tide-0", 1));
        for name in others().iter().chain([&mine, &mine]) {
            begin_upload(&client, "shore.zones", name).await;
        }
        let before = garage.unfinished_uploads("shore.zones").await;
        let removed = source.remove_own(&keys, &own()).await.unwrap();
        assert_eq!((removed.objects, removed.uploads, removed.done), (0, 2, true));
        assert_eq!(garage.unfinished_uploads("shore.zones").await, before - 2);
        let listed = client.list_multipart_uploads().bucket("shore.zones");
        let listed = listed.send().await.unwrap();
        let left: BTreeSet<String> = listed
            .uploads()
            .iter()
            .filter_map(|upload| upload.key().map(str::to_owned))
            .collect();
        assert_eq!(left, others().into_iter().collect());
        let again = source.remove_own(&keys, &own()).await.unwrap();
        assert_eq!((again.uploads, again.done), (0, true));
    }

    #[tokio::test]
    async fn in_the_operators_own_garage_uploads_are_ended_when_they_are_abandoned_and_not_before() {
        let garage = Garage::start().await;
        let endpoint = garage.bucket("elsewhere").await.endpoint;
        let source = managed(&garage, &endpoint, "zonetide");
        source.prepare().await.unwrap();
        let keys = source.mint().await.unwrap().keys;
        let client = client(&endpoint, &keys);
        let name = format!("{PREFIX}{}", snapshot("0a1b2c3d-shore-tide-0", 1));
        begin_upload(&client, "zonetide", &name).await;
        assert_eq!(source.prepare().await, Ok(false));
        assert_eq!(garage.unfinished_uploads("zonetide").await, 1);

        // A day later, which Garage is told to be over.
        let token = SecretText::new(ADMIN_TOKEN);
        let api = GarageApi::new(reqwest::Client::new(), garage.admin_url(), token);
        let id = api.bucket("zonetide").await.unwrap().unwrap();
        let none_is_left = async {
            while garage.unfinished_uploads("zonetide").await > 0 {
                api.end_uploads(&id, Duration::ZERO).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), none_is_left)
            .await
            .unwrap();
    }
}
