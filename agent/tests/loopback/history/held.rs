//! An avalanche of deleted zones is held back, until somebody decides.

use serde_json::{Value, json};
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Version, eventually};

use super::Pair;
use crate::node::{Node, SOON};

on_both_versions!(
    zones_that_were_deleted_by_mistake_stay_on_the_other_servers_and_are_taken_back,
    zones_that_were_meant_to_go_go_everywhere_once_they_are_let_go,
);

const ADDRESS: &str = "192.0.2.1";
const MOST: usize = 3;
const ZONES: usize = 8;

fn zones() -> Vec<String> {
    (0..ZONES)
        .map(|number| format!("zone{number}.example."))
        .collect()
}

/// The zones that a server answers.
async fn answered(node: &Node) -> Result<Vec<String>, String> {
    let mut answered = Vec::new();
    for zone in zones() {
        let answer = node.dns.dns().ask(&format!("www.{zone}"), Type::A).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.expect(&[ADDRESS]) {
            Ok(()) => answered.push(zone),
            Err(_) if answer.code == Code::Refused => {}
            Err(wrong) => return Err(format!("{zone} {wrong}")),
        }
    }
    Ok(answered)
}

async fn comes_to_answer(node: &Node, most: usize, least: usize) -> Vec<String> {
    eventually(
        SOON,
        &format!("{} answers {least} to {most} zones", node.name),
        async || {
            let answered = answered(node).await?;
            if (least..=most).contains(&answered.len()) {
                Ok(answered)
            } else {
                Err(format!("{answered:?}"))
            }
        },
    )
    .await
}

/// Two servers, of which the first holds back more than three deleted zones, and eight zones.
async fn with_zones(version: Version) -> Pair {
    let protect = |node: &mut Node| {
        let protection = json!({"max_deleted_zones_per_minute": MOST});
        node.agent.set_section("protection", protection);
    };
    let pair = Pair::start_with(version, protect).await;
    for zone in zones() {
        pair.a.api().create_zone(&zone).await.unwrap();
        let name = format!("www.{zone}");
        pair.a.api().replace(&zone, &name, "A", &[ADDRESS]).await.unwrap();
    }
    for node in [&pair.a, &pair.b] {
        comes_to_answer(node, ZONES, ZONES).await;
    }
    let (_, said) = pair.a.agent.run(&["deletions", "show"]);
    assert!(said.contains("No deletion is held back."), "{said}");
    pair
}

/// Deletes all but two.
async fn avalanche(pair: &Pair) {
    for zone in &zones()[..ZONES - 2] {
        pair.a.api().delete_zone(zone).await.unwrap();
    }
    eventually(SOON, "the agent tells of it", async || {
        let page = pair.a.agent.http().get_text("/metrics").await;
        let page = page.map_err(|error| error.to_string())?;
        let is_told = page.contains(r#"condition="deleted_zones"} 1"#);
        is_told.then_some(()).ok_or_else(|| "no condition".to_owned())
    })
    .await;
    comes_to_answer(&pair.a, 2, 2).await;
    comes_to_answer(&pair.b, ZONES, ZONES - MOST).await;
    // It is held back, however long it takes.
    pair.b.api().create_zone("later.example.").await.unwrap();
    eventually(SOON, "what is written elsewhere still comes", async || {
        let answer = pair.a.dns.dns().ask("later.example.", Type::SOA).await;
        let answer = answer.map_err(|error| error.to_string())?;
        (answer.code == Code::NoError)
            .then_some(())
            .ok_or(format!("{answer:?}"))
    })
    .await;
    let answered = answered(&pair.b).await.unwrap();
    assert!(answered.len() >= ZONES - MOST, "{answered:?}");
}

async fn zones_that_were_deleted_by_mistake_stay_on_the_other_servers_and_are_taken_back(version: Version) {
    let pair = with_zones(version).await;
    pair.stored_a_second_ago().await;
    avalanche(&pair).await;
    let shown = pair.run(&["deletions", "show"]);
    let held: Vec<_> = zones().into_iter().filter(|zone| shown.contains(zone)).collect();
    assert!(held.len() >= ZONES - 2 - MOST, "{shown}");
    let plan = pair.run(&["deletions", "take-back", "--dry-run"]);
    assert!(plan.contains("nothing was changed"), "{plan}");
    pair.run(&["deletions", "take-back"]);
    for node in [&pair.a, &pair.b] {
        let back = comes_to_answer(node, ZONES, 2 + held.len()).await;
        assert!(held.iter().all(|zone| back.contains(zone)), "{held:?} {back:?}");
    }
    pair.comes_to_hold_nothing_back().await;
}

async fn zones_that_were_meant_to_go_go_everywhere_once_they_are_let_go(version: Version) {
    let pair = with_zones(version).await;
    avalanche(&pair).await;
    let said = pair.run(&["deletions", "let-go"]);
    assert!(
        said.contains("are deleted everywhere") && said.contains("zone4.example."),
        "{said}"
    );
    comes_to_answer(&pair.b, 2, 2).await;
    pair.comes_to_hold_nothing_back().await;
}

impl Pair {
    async fn comes_to_hold_nothing_back(&self) {
        eventually(SOON, "nothing is held back", async || {
            let said = self.run(&["deletions", "show"]);
            if !said.contains("No deletion is held back.") {
                return Err(said);
            }
            let status = self.a.agent.http().get_text("/status").await;
            let status: Value = serde_json::from_str(&status.map_err(|error| error.to_string())?).unwrap();
            let conditions = ["main", "shard"].map(|database| &status["databases"][database]["conditions"]);
            if conditions.iter().all(|conditions| **conditions == json!({})) {
                Ok(())
            } else {
                Err(format!("{conditions:?}"))
            }
        })
        .await;
    }

    /// What is there now is in the history of more than a second ago.
    async fn stored_a_second_ago(&self) {
        eventually(SOON, "all zones are in the history", async || {
            for zone in zones() {
                let (is_good, shown) = self.a.agent.run(&["zone", "show", &zone, "--at", "2s"]);
                if !(is_good && shown.contains("www.")) {
                    return Err(shown);
                }
            }
            Ok(())
        })
        .await;
    }
}
