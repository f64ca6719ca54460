//! Metadata of zones and TSIG keys, by the API.

use zonetide_testbed::{Version, eventually};

use super::{A_MOMENT, Servers};
use crate::node::ZONE;

const KIND: &str = "X-Owner";

on_both_versions!(metadata_and_tsig_keys_set_changed_and_removed_on_one_server_are_so_on_the_other);

async fn metadata_and_tsig_keys_set_changed_and_removed_on_one_server_are_so_on_the_other(version: Version) {
    let servers = Servers::start(version, &[]).await;
    let (a, b) = (&servers.a.api(), &servers.b.api());
    a.create_zone(ZONE).await.unwrap();
    servers.a.write("www", "192.0.2.1").await;
    servers
        .come_to_answer(&format!("www.{ZONE}"), &["192.0.2.1"])
        .await;
    for (writer, values) in [(a, &["one", "two"][..]), (b, &["three"]), (a, &[])] {
        writer.set_metadata(ZONE, KIND, values).await.unwrap();
        for node in servers.both() {
            eventually(
                A_MOMENT,
                &format!("the metadata are {values:?}"),
                async || match node.api().metadata(ZONE, KIND).await {
                    Ok(found) if found == values => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        }
    }

    a.create_tsig_key("first").await.unwrap();
    have_keys(&servers, &["first"]).await;
    b.delete_tsig_key("first").await.unwrap();
    have_keys(&servers, &[]).await;
    b.create_tsig_key("second").await.unwrap();
    have_keys(&servers, &["second"]).await;
}

async fn have_keys(servers: &Servers, names: &[&str]) {
    for node in servers.both() {
        eventually(
            A_MOMENT,
            &format!("the keys are {names:?}"),
            async || match node.api().tsig_keys().await {
                Ok(found) if found == names => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    }
}
