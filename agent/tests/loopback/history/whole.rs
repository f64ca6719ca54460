//! Everything as it was.

use std::collections::BTreeMap;

use zonetide_testbed::{Version, eventually};

use super::{Pair, now};
use crate::node::{Node, SOON};

on_both_versions!(everything_is_as_it_was_on_every_server_after_zones_were_deleted_changed_and_made);

const KEPT: &str = "kept.example.";
const CHANGED: &str = "changed.example.";
const GONE: &str = "gone.example.";
const MADE: &str = "made.example.";

/// What a server has: the records of each zone, with its serial or without, and its metadata, and the names of TSIG keys.
async fn state(node: &Node, with_serials: bool) -> Result<BTreeMap<String, Vec<String>>, String> {
    let api = node.api();
    let text = |error: zonetide_testbed::http::HttpError| error.to_string();
    let mut state = BTreeMap::new();
    let mut keys = api.tsig_keys().await.map_err(text)?;
    keys.sort();
    state.insert("TSIG keys".to_owned(), keys);
    for zone in api.zones().await.map_err(text)? {
        let exported = api.export(&zone).await.map_err(text)?;
        let mut lines: Vec<String> = exported
            .lines()
            .map(|line| {
                let mut words: Vec<&str> = line.split_whitespace().collect();
                if !with_serials && words.contains(&"SOA") {
                    words.remove(words.len() - 5);
                }
                words.join(" ")
            })
            .collect();
        lines.sort();
        lines.extend(api.metadata(&zone, "ALSO-NOTIFY").await.map_err(text)?);
        state.insert(zone, lines);
    }
    Ok(state)
}

impl Pair {
    /// Both servers have the same, of which `is_it` says that it is what is waited for.
    async fn come_to_have(
        &self,
        what: &str,
        is_it: impl Fn(&BTreeMap<String, Vec<String>>) -> bool,
    ) -> BTreeMap<String, Vec<String>> {
        eventually(SOON, what, async || {
            let (a, b) = (state(&self.a, false).await?, state(&self.b, false).await?);
            if a == b && is_it(&a) {
                Ok(a)
            } else {
                Err(format!("{a:#?}\n{b:#?}"))
            }
        })
        .await
    }

    async fn serials(&self) -> [BTreeMap<String, Vec<String>>; 2] {
        [
            state(&self.a, true).await.unwrap(),
            state(&self.b, true).await.unwrap(),
        ]
    }
}

async fn everything_is_as_it_was_on_every_server_after_zones_were_deleted_changed_and_made(version: Version) {
    let pair = Pair::start(version).await;
    let (a, b) = (pair.a.api(), pair.b.api());
    for zone in [KEPT, CHANGED, GONE] {
        a.create_zone(zone).await.unwrap();
        for label in ["www", "mail"] {
            let name = format!("{label}.{zone}");
            a.replace(zone, &name, "A", &["192.0.2.1"]).await.unwrap();
        }
    }
    a.set_metadata(CHANGED, "ALSO-NOTIFY", &["192.0.2.53"])
        .await
        .unwrap();
    a.create_tsig_key("early").await.unwrap();
    let then = pair
        .come_to_have("both have what a wrote", |state| {
            state.len() == 4 && state["TSIG keys"].len() == 1
        })
        .await;
    let kept = pair.serials().await.map(|state| state[KEPT].clone());
    let at = now();

    b.delete_zone(GONE).await.unwrap();
    let name = |label: &str| format!("{label}.{CHANGED}");
    b.replace(CHANGED, &name("www"), "A", &["192.0.2.2"])
        .await
        .unwrap();
    b.replace(CHANGED, &name("new"), "TXT", &["\"new\""])
        .await
        .unwrap();
    b.delete(CHANGED, &name("mail"), "A").await.unwrap();
    b.set_metadata(CHANGED, "ALSO-NOTIFY", &["192.0.2.54"])
        .await
        .unwrap();
    b.create_zone(MADE).await.unwrap();
    b.replace(MADE, &format!("www.{MADE}"), "A", &["192.0.2.4"])
        .await
        .unwrap();
    let early = b.tsig_keys().await.unwrap().remove(0);
    b.delete_tsig_key(&early).await.unwrap();
    b.create_tsig_key("late").await.unwrap();
    let changed = pair
        .come_to_have("both have what b wrote", |state| {
            let is_late = state["TSIG keys"].iter().all(|key| key.starts_with("late"));
            is_late
                && state.contains_key(MADE)
                && !state.contains_key(GONE)
                && state[CHANGED] != then[CHANGED]
        })
        .await;

    let before = pair.serials().await;
    let plan = eventually(SOON, "all of it is in the plan", async || {
        let plan = pair.run(&["restore", "--all", "--at", &at, "--dry-run"]);
        let lines = [
            "+ zone gone.example.",
            "+ www.gone.example. 60 IN A 192.0.2.1",
            "- www.changed.example. 60 IN A 192.0.2.2",
            "+ www.changed.example. 60 IN A 192.0.2.1",
            "+ mail.changed.example. 60 IN A 192.0.2.1",
            "- new.changed.example. ",
            "- zone made.example.",
            "- www.made.example. 60 IN A 192.0.2.4",
            "+ TSIG key",
            "- TSIG key",
            "nothing was changed",
        ];
        match lines.iter().find(|line| !plan.contains(**line)) {
            None => Ok(plan),
            Some(line) => Err(format!("{line}: {plan}")),
        }
    })
    .await;
    assert!(!plan.contains(KEPT), "{plan}");
    assert_eq!(pair.serials().await, before, "a dry run changes nothing");
    assert_ne!(changed, then);

    let done = pair.run(&["restore", "--all", "--at", &at]);
    assert!(done.contains("entries written"), "{done}");
    pair.come_to_have("both have what there was", |state| *state == then)
        .await;
    let after = pair.serials().await;
    assert_eq!(after.each_ref().map(|state| state[KEPT].clone()), kept);

    let again = pair.run(&["restore", "--all", "--at", &at]);
    assert!(again.contains("All is as it was"), "{again}");
    assert_eq!(pair.serials().await, after, "a second run changes nothing");
}
