//! What the agents of a DnsCluster say of each other, on their `/status`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use zonetide_testbed::poll::within;

use crate::handle::Handle;
use crate::names;

/// They ask the DNS every 5 s, which may remember for longer that a name was not there, and greet every 2 s.
const CONTACT: Duration = Duration::from_mins(2);
/// For a backlog to be stored on a small machine that runs other tests too.
const STORED: Duration = Duration::from_mins(5);

/// `/status` of the agent in a pod.
pub async fn status(cluster: &Handle, pod: &str) -> Result<Value> {
    let http = cluster.http(pod, names::AGENT_PORT);
    Ok(serde_json::from_str(&http.get_text("/status").await?)?)
}

/// Waits until every agent hears all the others and none else, and reaches each of them.
pub async fn of_all(cluster: &Handle) -> Result<()> {
    within(CONTACT, async || {
        look(cluster).await.map_err(|error| format!("{error:#}"))
    })
    .await
    .context("the agents are not in contact")
}

async fn look(cluster: &Handle) -> Result<()> {
    let status = cluster.get().await?.status.unwrap_or_default();
    let instances: BTreeSet<String> = status.instances.iter().map(|of| of.instance.clone()).collect();
    ensure!(!instances.is_empty(), "the DnsCluster names no instances");
    for of in &status.instances {
        let mut others = instances.clone();
        others.remove(&of.instance);
        let peers = self::status(cluster, &of.pod).await?["peers"].clone();
        ensure!(
            heard(&peers) == others && reached(&peers) == others,
            "{} should be in contact with {others:?}: {peers:#}",
            of.pod
        );
    }
    Ok(())
}

/// The instances that are heard.
fn heard(peers: &Value) -> BTreeSet<String> {
    let contacts = peers["contacts"].as_object().into_iter().flatten();
    contacts
        .filter(|(_, contact)| contact["in_contact"] == true)
        .map(|(instance, _)| instance.clone())
        .collect()
}

/// The instances that answer.
fn reached(peers: &Value) -> BTreeSet<String> {
    let links = peers["links"].as_array().into_iter().flatten();
    links
        .filter(|link| link["standing"] == "reached")
        .filter_map(|link| Some(link["instance"].as_str()?.to_owned()))
        .collect()
}

/// Waits until the agents have nothing left to store, and nothing fails.
pub async fn settled(cluster: &Handle) -> Result<()> {
    for pod in cluster.pod_names().await? {
        within(STORED, async || {
            let status = status(cluster, &pod)
                .await
                .map_err(|error| format!("{error:#}"))?;
            if has_stored_all(&status) {
                Ok(())
            } else {
                Err(format!("{:#}", status["databases"]))
            }
        })
        .await
        .with_context(|| format!("{pod} has not everything in the bucket"))?;
    }
    Ok(())
}

/// Whether an agent's status says so.
pub fn has_stored_all(status: &Value) -> bool {
    let databases = status["databases"].as_object();
    let fails = |database: &Value| {
        let failing = database["failing"].as_object();
        failing.is_some_and(|failing| !failing.is_empty())
    };
    databases.is_some_and(|databases| {
        let mut each = databases.values();
        !databases.is_empty() && each.all(|database| database["unsynced"] == false && !fails(database))
    })
}

/// What the agents call the keys that they use.
pub async fn keys_used(cluster: &Handle) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for pod in cluster.pod_names().await? {
        let status = status(cluster, &pod).await?;
        used.insert(status["store_key"].as_str().unwrap_or("none").to_owned());
    }
    Ok(used)
}

/// How many changes the agent in `pod` was told by `instance`.
pub async fn told(cluster: &Handle, pod: &str, instance: &str) -> Result<u64> {
    let status = status(cluster, pod).await?;
    let received = &status["peers"]["contacts"][instance]["received"];
    received
        .as_u64()
        .with_context(|| format!("{pod} has not heard {instance}: {:#}", status["peers"]))
}

/// How long the newest change of `instance` took from its database into that of `pod`, as the agent in `pod` says.
pub async fn delays(cluster: &Handle, pod: &str, instance: &str) -> Result<Vec<(String, Option<f64>)>> {
    let status = status(cluster, pod).await?;
    let databases = status["databases"].as_object().context("no databases")?;
    let delay = |of: &Value| of["instances"][instance]["delay_seconds"].as_f64();
    Ok(databases
        .iter()
        .map(|(name, of)| (name.clone(), delay(of)))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_those_count_that_are_heard_and_that_answer() {
        let peers = json!({
            "links": [
                {"instance": "a", "standing": "own"},
                {"instance": "b", "standing": "reached"},
                {"instance": "c", "standing": "away"},
                {"instance": null, "standing": "new"},
            ],
            "contacts": {"b": {"in_contact": true}, "c": {"in_contact": false}},
        });
        let only_b = BTreeSet::from(["b".to_owned()]);
        assert_eq!((heard(&peers), reached(&peers)), (only_b.clone(), only_b));
        assert!(heard(&Value::Null).is_empty() && reached(&Value::Null).is_empty());
    }
    #[test]
    fn all_is_stored_when_every_database_says_so_and_none_fails() {
        let database = |unsynced, failing| json!({"unsynced": unsynced, "failing": failing});
        let stored = |list: Value| has_stored_all(&json!({"databases": list}));
        let done = database(false, json!({}));
        assert!(stored(json!({"main": done, "shard": {"unsynced": false}})));
        assert!(!stored(json!({})) && !has_stored_all(&Value::Null));
        assert!(!stored(json!({"main": done, "shard": database(true, json!({}))})));
        assert!(!stored(
            json!({"main": done, "shard": database(false, json!({"store": "away"}))})
        ));
    }
}
