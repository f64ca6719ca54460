//! The part of an agent's `/status` that the operator uses. Agents are older or newer than the operator: what is absent, null or
//! of another kind counts as not said.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The condition that an agent raises when somebody else stores under its name.
const NAMESAKE: &str = "namesake";
/// The check that fails while the store cannot be listed.
const LIST: &str = "storage_list";
/// The check that fails while something cannot be got or merged.
const LOAD: &str = "storage_load";
/// A server whose store fails for so many seconds from its start on is not just starting.
const STARTS: i64 = 20;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AgentStatus {
    #[serde(deserialize_with = "lenient")]
    pub instance: String,
    /// Fingerprint of the key in use, see `objectstore::Keys::fingerprint`.
    #[serde(deserialize_with = "lenient")]
    pub store_key: Option<String>,
    /// It serves, see `serving`.
    #[serde(deserialize_with = "lenient")]
    pub ready: bool,
    /// By what it serves.
    #[serde(deserialize_with = "lenient")]
    pub serving: Serving,
    /// The agent's clock.
    #[serde(deserialize_with = "lenient")]
    pub time: Option<Time>,
    #[serde(deserialize_with = "lenient")]
    pub health: Health,
    /// None: an agent of before.
    #[serde(deserialize_with = "lenient")]
    pub powerdns: Option<PowerDns>,
    #[serde(deserialize_with = "lenient")]
    pub databases: BTreeMap<String, Database>,
}

/// The PowerDNS beside it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PowerDns {
    /// What it said of itself last, like `5.1.5`.
    #[serde(deserialize_with = "lenient")]
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// `bucket`, `peers` or `own-data`; none while it does not serve, and from agents that do not say.
    #[serde(deserialize_with = "lenient")]
    pub basis: Option<String>,
    /// When it was last known to have all that others wrote.
    #[serde(deserialize_with = "lenient")]
    pub last_in_sync: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// What has been failing for too long, by check.
    #[serde(deserialize_with = "lenient")]
    pub failures: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Database {
    /// Those that have objects in the bucket.
    #[serde(deserialize_with = "lenient")]
    pub instances: BTreeMap<String, Instance>,
    #[serde(deserialize_with = "lenient")]
    pub failing: BTreeMap<String, Failing>,
    #[serde(deserialize_with = "lenient")]
    pub conditions: BTreeMap<String, Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// When it stored its newest object.
    #[serde(deserialize_with = "lenient")]
    pub newest: Option<Time>,
    /// Up to when its changes are merged.
    #[serde(deserialize_with = "lenient")]
    pub merged_taken: Option<Time>,
    #[serde(deserialize_with = "lenient")]
    pub up_to_date: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Failing {
    #[serde(deserialize_with = "lenient")]
    pub seconds: i64,
    #[serde(deserialize_with = "lenient")]
    pub last_error: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(deserialize_with = "lenient")]
    pub text: String,
}

impl AgentStatus {
    /// The instances in the bucket, with the time of what each stored last.
    pub fn seen(&self) -> BTreeMap<&str, Option<Timestamp>> {
        let mut seen: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
        for (name, instance) in self.databases.values().flat_map(|of| &of.instances) {
            let newest = instance.newest.as_ref().map(|time| time.0);
            let known = seen.entry(name).or_default();
            *known = newest.max(*known);
        }
        seen
    }

    pub fn sees(&self, instance: &str) -> bool {
        self.databases
            .values()
            .any(|of| of.instances.contains_key(instance))
    }

    /// Somebody else stores under this agent's name.
    pub fn collides(&self) -> bool {
        self.databases
            .values()
            .any(|of| of.conditions.contains_key(NAMESAKE))
    }

    /// How old the oldest change is that it has not merged, in seconds. None when that cannot be known.
    pub fn lag(&self) -> Option<i64> {
        let now = self.time.as_ref()?.0;
        if self.databases.is_empty() || self.databases.values().any(|of| of.failing.contains_key(LIST)) {
            return None;
        }
        let lag = self.databases.values().map(|of| of.lag(now)).max();
        lag.map(|seconds| seconds.max(0))
    }

    /// It has merged all that was in the bucket when it started.
    pub fn has_read_bucket(&self) -> bool {
        self.ready && self.serving.basis.as_ref().is_none_or(|basis| basis == "bucket")
    }

    /// By what it serves, when that is not the bucket.
    pub fn serves_without_store(&self) -> Option<String> {
        match self.serving.basis.as_deref()? {
            "peers" => Some("it has what the other servers have".to_owned()),
            "own-data" => Some(self.serving.last_in_sync.as_ref().map_or_else(
                || "by its own data".to_owned(),
                |time| format!("by its own data, which were in sync at {}", time.0),
            )),
            _ => None,
        }
    }

    /// What keeps it from loading the bucket, when it has not since it started. Without that it does not serve, so this is said
    /// sooner than what fails later.
    pub fn cannot_load(&self) -> Option<&str> {
        if self.ready || self.serving.basis.is_some() {
            return None;
        }
        let steps = self
            .databases
            .values()
            .flat_map(|of| [of.failing.get(LIST), of.failing.get(LOAD)]);
        let failing = steps.flatten().find(|failing| failing.seconds >= STARTS)?;
        Some(&failing.last_error)
    }

    /// What has been failing for too long. The same text each time for the same cause: how long it has been so is not in it.
    pub fn trouble(&self) -> Option<String> {
        let own = format!("_{NAMESAKE}");
        let (check, text) = self
            .health
            .failures
            .iter()
            .find(|(check, _)| !check.ends_with(&own))?;
        let last_error = self.databases.iter().find_map(|(name, of)| {
            let (_, failing) = of
                .failing
                .iter()
                .find(|(step, _)| *check == format!("{name}_{step}_failed_duration"))?;
            Some(&failing.last_error)
        });
        Some(format!("{check}: {}", last_error.unwrap_or(text)))
    }
}

impl Database {
    /// Which change is the oldest that is missing is not said. It is younger than what is merged of its instance, and, as long as
    /// merging works, hardly older than the newest there is.
    fn lag(&self, now: Timestamp) -> i64 {
        let stuck = self.failing.get(LOAD).map_or(0, |failing| failing.seconds);
        let behind = self.instances.values().filter(|instance| !instance.up_to_date);
        behind
            .map(|instance| {
                let age = |time: &Option<Time>| {
                    let time = time.as_ref()?.0;
                    Some(now.duration_since(time).as_secs())
                };
                let least = age(&instance.newest).unwrap_or_default().max(stuck);
                age(&instance.merged_taken).map_or(least, |most| least.min(most))
            })
            .max()
            .unwrap_or_default()
    }
}

fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
