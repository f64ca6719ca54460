//! Promise: PowerDNS' own tools work in a server's container without options, and what they write is served by every server.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use zonetide_e2e::answers::{self, REPLICATED};
use zonetide_e2e::{Bench, exec};
use zonetide_testbed::dns::Type;
use zonetide_testbed::eventually;

const ZONE: &str = "hand.example.";

/// Changes the address of `r1` as an editor would, and says yes to a new serial and to applying the change.
const EDIT: &str = r#"
printf '#!/bin/sh\nfor file; do :; done\nsed -i "s/192\\.0\\.2\\.1$/192.0.2.101/" "$file"\n' >/tmp/edit
chmod +x /tmp/edit
printf ya | EDITOR=/tmp/edit pdnsutil edit-zone hand.example
"#;

#[tokio::test]
async fn a_zone_is_listed_edited_and_made_by_pdnsutil_and_every_server_answers_it() {
    Bench::run("by-hand", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        answers::make_zone(&cluster, "dns-0", ZONE, 2).await.unwrap();
        let run = async |command: &[&str]| exec::run(&cluster, "dns-0", command).await.unwrap();
        let zones = run(&["pdnsutil", "list-all-zones"]).await;
        assert!(zones.contains("hand.example"), "{zones}");

        run(&["sh", "-ec", EDIT]).await;
        answers::everywhere(&cluster, &format!("r1.{ZONE}"), "192.0.2.101", Instant::now())
            .await
            .unwrap();

        run(&["pdnsutil", "create-zone", "made.example", "ns1.example.net"]).await;
        let made = run(&["pdnsutil", "list-zone", "made.example"]).await;
        let soa = format!("dns-dns.{}.svc. hostmaster.made.example.", cluster.namespace);
        assert!(made.contains(&soa), "{made}");
        for pod in cluster.pod_names().await.unwrap() {
            eventually(REPLICATED, &format!("{pod} answers the zone"), async || {
                let answer = cluster.dns(&pod).ask("made.example.", Type::NS).await;
                answer
                    .map_err(|error| error.to_string())?
                    .expect(&["ns1.example.net."])
            })
            .await;
        }
        run(&["pdns_control", "rediscover"]).await;
        run(&["pdns_control", "purge", "hand.example$"]).await;
        // The image that the project builds has the editor that the container's environment names.
        run(&["sh", "-c", "$EDITOR --version"]).await;
    })
    .await;
}
