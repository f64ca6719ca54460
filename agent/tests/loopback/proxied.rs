//! Stores behind a proxy, and stores that want the bucket in the name of the host: to those, the proxy is the way, since no DNS
//! knows their names here.

use serde_json::json;
use zonetide_testbed::garage::S3_HOST;
use zonetide_testbed::{ForwardProxy, Garage};

use super::node::{Node, ZONE};

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
