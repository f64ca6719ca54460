//! Stores behind a proxy, and stores that want the bucket in the name of the host: to those, the proxy is the way, since no DNS
//! knows their names here.

use std::time::Duration;

use serde_json::json;
use zonetide_agent::store::{Proxies, open_s3};
use zonetide_testbed::forward_proxy::{PASSWORD, USER};
use zonetide_testbed::garage::S3_HOST;
use zonetide_testbed::{ForwardProxy, Garage, TlsFront};

use super::node::{Node, ZONE};
use super::store::{get, options, put};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_the_name_of_the_host_is_made_and_takes_and_gives_what_servers_write() {
    let garage = Garage::start().await;
    let bucket = garage.bucket_to_make("host-style").await;
    let proxy = ForwardProxy::start().await;
    let mut nodes = ["one", "two"].map(|name| {
        let mut node = Node::new(name, &garage.by_name(&bucket));
        node.agent.set_store_option("path_style", json!(false));
        node.agent.set_store_option("create_bucket", json!(true));
        node.agent.set_variable("HTTP_PROXY", proxy.url());
        node
    });
    for node in &mut nodes {
        node.start().await;
    }
    nodes[0].api().create_zone(ZONE).await.unwrap();
    nodes[0].write("www", "192.0.2.1").await;
    nodes[1].comes_to_say("www", "192.0.2.1").await;

    let asked = proxy.asked();
    let host = format!(" http://host-style.{S3_HOST}:");
    for request in &asked {
        let once = request.matches("host-style").count() == 1;
        assert!(once && request.contains(&host), "{request}");
    }
    for method in ["GET", "PUT"] {
        assert!(
            asked.iter().any(|request| request.starts_with(method)),
            "{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_environment_is_asked_for_the_store_and_never_for_peers() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("proxied").await;
    let proxy = ForwardProxy::start_closed().await;
    let mut nodes = ["one", "two"].map(|name| Node::new(name, &garage.by_name(&bucket)));
    let urls = nodes.each_ref().map(|node| node.agent.peer_url());
    for node in &mut nodes {
        node.agent.tell(&urls);
        // Changes come from peers long before the store is looked at.
        node.agent.look_at_the_store_every(Duration::from_mins(10));
        for variable in ["HTTP_PROXY", "HTTPS_PROXY"] {
            node.agent.set_variable(variable, proxy.url_with_password());
        }
        node.start().await;
    }
    nodes[0].api().create_zone(ZONE).await.unwrap();
    nodes[0].write("www", "192.0.2.1").await;
    nodes[1].comes_to_say("www", "192.0.2.1").await;

    let asked = proxy.asked();
    let host = format!(" http://{S3_HOST}:");
    assert!(
        !asked.is_empty() && asked.iter().all(|request| request.contains(&host)),
        "{asked:?}"
    );
    for node in &nodes {
        let status = node.agent.status().await.to_string();
        assert!(!node.agent.log().contains(PASSWORD) && !status.contains(PASSWORD));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_a_password_or_is_gone_is_named_without_what_it_was_told() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("proxied").await;
    let proxy = ForwardProxy::start_closed().await;
    let wrong = proxy.url().replace("//", &format!("//{USER}:not-{PASSWORD}@"));
    let mut node = Node::new("one", &garage.by_name(&bucket));
    node.agent.set_variable("HTTP_PROXY", wrong);
    node.agent.launch();
    let named = format!("the proxy {} that HTTP_PROXY or HTTPS_PROXY names", proxy.url());
    node.comes_to_fail(&format!("{named} wants another user and password"))
        .await;
    drop(proxy);
    node.comes_to_fail(&format!("no way through {named}")).await;
    assert!(!node.agent.log().contains(PASSWORD), "{}", node.agent.log());
}

#[tokio::test]
async fn a_store_with_tls_is_reached_through_a_tunnel() {
    let garage = Garage::start().await;
    let bucket = garage.bucket("proxied").await;
    let front = TlsFront::start(&bucket.endpoint).await;
    let proxy = ForwardProxy::start_closed().await;
    let store = |url: String| {
        let mut options = options(&bucket);
        // The machine itself, for which the certificate is, is never behind a proxy.
        options.endpoint_url = front.endpoint().replace("127.0.0.1", "store.test");
        options.client.tls.insecure_skip_verify = true;
        options.client.proxies =
            Proxies::from_environment(|name| (name == "HTTPS_PROXY").then(|| url.clone())).unwrap();
        open_s3(&options).unwrap()
    };
    let through = store(proxy.url_with_password());
    put(through.as_ref(), "main__a", b"1").await.unwrap();
    assert_eq!(get(through.as_ref(), "main__a").await, b"1");
    let asked = proxy.asked();
    assert!(
        asked
            .iter()
            .all(|request| request.starts_with("CONNECT store.test:")),
        "{asked:?}"
    );
    let error = store(proxy.url()).list("main__").await.unwrap_err().to_string();
    assert!(error.contains("wants another user and password"), "{error}");
}
