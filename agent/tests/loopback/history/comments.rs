//! Comments of RRsets, which PowerDNS keeps in LMDB since 5.1.

use zonetide_testbed::{Version, eventually};

use super::{Pair, now};
use crate::features::comments::comments;
use crate::node::{SOON, ZONE};

impl Pair {
    async fn come_to_comment(&self, wanted: &str) {
        for node in [&self.a, &self.b] {
            eventually(SOON, &format!("the comment is {wanted}"), async || {
                let found = comments(node).await?;
                if found == [wanted] {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_zone_that_is_restored_has_its_comments_of_then() {
    let pair = Pair::start(Version::V5).await;
    let www = format!("www.{ZONE}");
    pair.a.api().create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    pair.a.api().comment(ZONE, &www, "A", "as it was").await.unwrap();
    pair.come_to_comment("as it was").await;
    pair.comes_to_show_what_pdnsutil_lists().await;
    let at = now();
    pair.b
        .api()
        .comment(ZONE, &www, "A", "changed since")
        .await
        .unwrap();
    pair.come_to_comment("changed since").await;
    let restore = ["restore", "--zone", "zone.example", "--at", &at];
    eventually(SOON, "the change of the comment is in the history", async || {
        let plan = pair.run(&[&restore[..], &["--dry-run"]].concat());
        if plan.contains("comment") {
            Ok(())
        } else {
            Err(plan)
        }
    })
    .await;
    pair.run(&restore);
    pair.come_to_comment("as it was").await;
}
