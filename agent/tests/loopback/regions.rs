//! Buckets that are in another region, or in another place of the request, than the options say.

use std::time::Duration;

use zonetide_agent::store::{S3Options, open_s3};
use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Refusal, Request};
use zonetide_testbed::{ForwardProxy, Garage};

use super::store::{names, options, put};

async fn refusal(options: &S3Options) -> String {
    let listed = open_s3(options).unwrap().list("main__").await;
    listed.unwrap_err().to_string()
}

#[tokio::test]
async fn a_store_that_takes_another_region_is_asked_for_that_when_its_refusal_is_followed() {
    let garage = Garage::start().await;
    let given = garage.bucket("zones").await;
    let new = garage.bucket_to_make("new-zones").await;
    for (bucket, create) in [(given, None), (new, Some(Duration::from_secs(20)))] {
        let mut options = options(&bucket);
        options.create_bucket = create;
        options.region = "moon".to_owned();
        let error = refusal(&options).await;
        assert!(
            error.contains("is in the region garage, and was asked for in moon"),
            "{error}"
        );
        assert!(error.contains("set storage.options.region to garage"), "{error}");
        options.region = "garage".to_owned();
        let store = open_s3(&options).unwrap();
        put(store.as_ref(), "main__a", b"1").await.unwrap();
    }
}

#[tokio::test]
async fn a_redirection_by_aws_names_the_region_that_its_header_names() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let proxy = FaultProxy::start(&bucket);
    let is_elsewhere = |request: &Request| !request.authorization.contains("/garage/s3/aws4_request");
    proxy.plan(move |request| is_elsewhere(request).then_some(Fault::Refuse(Refusal::elsewhere("garage"))));
    let mut options = options(&proxy.bucket(&bucket));
    options.region = "us-east-1".to_owned();
    let error = refusal(&options).await;
    assert!(
        error.contains("is in the region garage, and was asked for in us-east-1"),
        "{error}"
    );
    assert!(
        error.contains("endpoint_url") && !error.contains("check the keys"),
        "{error}"
    );
    options.region = "garage".to_owned();
    assert!(
        names(open_s3(&options).unwrap().as_ref(), "main__")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_store_that_wants_the_bucket_in_the_name_of_the_host_says_so_and_gets_it_there() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let store = FaultProxy::start(&bucket);
    let in_path = |request: &Request| request.target.starts_with("/zones");
    store.plan(move |request| in_path(request).then_some(Fault::Refuse(Refusal::HOST_STYLE)));
    let way = ForwardProxy::start().await;
    let mut options = options(&store.bucket(&bucket));
    let error = refusal(&options).await;
    assert!(
        error.contains("set storage.options.path_style to false"),
        "{error}"
    );
    options.endpoint_url = options
        .endpoint_url
        .replace("127.0.0.1", zonetide_testbed::garage::S3_HOST);
    options.bucket_in_host = true;
    options.client.proxies =
        zonetide_agent::store::Proxies::from_environment(|name| (name == "HTTP_PROXY").then(|| way.url()))
            .unwrap();
    assert!(
        names(open_s3(&options).unwrap().as_ref(), "main__")
            .await
            .is_empty()
    );
}
