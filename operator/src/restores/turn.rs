//! Whose turn it is: of the `DnsRestore`s of a `DnsCluster`, whether they write or only look, one is done at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::{Api, ResourceExt, api::ListParams};
use zonetide_crds::DnsRestore;

use super::{Guarded, is_over};
use crate::{context::Context, error::Error, reconcile::fetch::FetchError};

/// A namespace and a `DnsCluster` in it.
type Place = (String, String);

/// Which `DnsRestore` is about to begin, for each `DnsCluster`.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<Place, String>>);

/// Others see in the status what was begun only when that is written: until then this keeps them from beginning.
#[derive(Debug)]
pub(super) struct Held<'t> {
    turns: &'t Turns,
    place: Place,
}

#[derive(Debug)]
pub(super) enum Turn<'t> {
    /// Until it is dropped, if it has yet to begin.
    Own(Option<Held<'t>>),
    /// That of this one.
    Other(String),
}

impl Turns {
    /// Otherwise who has it.
    fn hold(&self, place: Place, name: &str) -> Result<Held<'_>, String> {
        match self.map().entry(place.clone()) {
            Entry::Occupied(other) => Err(other.get().clone()),
            Entry::Vacant(free) => {
                free.insert(name.to_owned());
                Ok(Held { turns: self, place })
            }
        }
    }

    /// A poisoned lock has its content as it was: nothing here is left half done.
    fn map(&self) -> MutexGuard<'_, HashMap<Place, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.turns.map().remove(&self.place);
    }
}

pub(super) async fn turn<'c>(context: &'c Context, restore: &DnsRestore) -> Result<Turn<'c>, Error> {
    if let Some(other) = first_before(restore, &others(context, restore).await?) {
        return Ok(Turn::Other(other));
    }
    if is_begun(restore) {
        return Ok(Turn::Own(None));
    }
    let place = (
        restore.namespace().unwrap_or_default(),
        restore.spec.cluster.clone(),
    );
    let held = match context.turns.hold(place, &restore.name_any()) {
        Ok(held) => held,
        Err(other) => return Ok(Turn::Other(other)),
    };
    // Who had it a moment ago may have begun since we looked.
    let other = first_before(restore, &others(context, restore).await?);
    Ok(other.map_or(Turn::Own(Some(held)), Turn::Other))
}

/// All in its namespace. Those that cannot be read are left out: nothing is done for them either.
async fn others(context: &Context, restore: &DnsRestore) -> Result<Vec<DnsRestore>, Error> {
    let namespace = restore.namespace().unwrap_or_default();
    let api: Api<Guarded> = Api::namespaced(context.client.clone(), &namespace);
    let all = api.list(&ListParams::default()).await;
    let all = all.map_err(|source| FetchError::Get {
        what: "the DnsRestores of the namespace",
        name: namespace,
        source,
    })?;
    Ok(all.items.into_iter().filter_map(|one| one.0.ok()).collect())
}

/// The one that comes before this one, if there is any.
fn first_before(restore: &DnsRestore, all: &[DnsRestore]) -> Option<String> {
    let own = rank(restore);
    all.iter()
        .filter(|other| other.spec.cluster == restore.spec.cluster && !is_over(other))
        .map(rank)
        .filter(|other| *other < own)
        .min()
        .map(|(.., name)| name)
}

/// The lowest comes first: what is begun, then what is older.
fn rank(restore: &DnsRestore) -> (bool, Option<jiff::Timestamp>, String) {
    let made = restore.metadata.creation_timestamp.as_ref();
    (!is_begun(restore), made.map(|made| made.0), restore.name_any())
}

/// A server was ordered to do it.
fn is_begun(restore: &DnsRestore) -> bool {
    let status = restore.status.as_ref();
    status.is_some_and(|status| status.server.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn restore(name: &str, second: u32, status: &Value) -> DnsRestore {
        serde_json::from_value(json!({
            "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsRestore",
            "metadata": {"name": name, "creationTimestamp": format!("2026-11-30T10:00:{second:02}Z")},
            "spec": {"cluster": "tide", "at": "2026-11-30T09:00:00Z", "all": true},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_begun_comes_first_then_the_oldest_then_the_first_by_name() {
        let (none, begun) = (json!({}), json!({"server": "tide-0", "phase": "Running"}));
        let first = |name: &str, all: &[DnsRestore]| {
            let own = all.iter().find(|one| one.name_any() == name).unwrap();
            first_before(own, all)
        };
        let mut all = vec![
            restore("c", 1, &none),
            restore("b", 2, &none),
            restore("a", 2, &none),
        ];
        assert_eq!(first("c", &all), None);
        assert_eq!(first("a", &all).as_deref(), Some("c"));
        assert_eq!(first("b", &all).as_deref(), Some("c"));
        all[0] = restore("c", 1, &json!({"server": "tide-0", "phase": "Done"}));
        assert_eq!(first("a", &all), None, "what is over keeps nobody waiting");
        assert_eq!(first("b", &all).as_deref(), Some("a"));
        all[1] = restore("b", 2, &begun);
        assert_eq!(first("b", &all), None);
        assert_eq!(first("a", &all).as_deref(), Some("b"));
        all[1].spec.cluster = "ebb".to_owned();
        assert_eq!(first("a", &all), None, "that is another DnsCluster");
    }

    #[test]
    fn who_is_about_to_begin_keeps_others_from_it_until_that_is_written_down() {
        let turns = Turns::default();
        let place = |cluster: &str| ("shore".to_owned(), cluster.to_owned());
        let held = turns.hold(place("tide"), "a").unwrap();
        assert_eq!(turns.hold(place("tide"), "b").unwrap_err(), "a");
        drop(turns.hold(place("ebb"), "b").unwrap());
        drop(held);
        turns.hold(place("tide"), "b").unwrap();
    }
}
