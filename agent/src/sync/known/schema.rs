//! Which schema of PowerDNS' database an instance has, and what follows from it.
//!
//! PowerDNS 4.8 and 4.9 write schema 5, 5.x writes schema 6 and upgrades what it opens. A database of schema 5 that takes in
//! entries of schema 6 is lost to PowerDNS 4.9, so a newer schema is never merged into an older database. And an instance
//! must not write into a prefix of another schema, since not all who read there know this rule.
//!
//! Only the main database says its schema (DBI `pdns`, key `schemaversion`); the shards of PowerDNS beside it go by what
//! is known of the main one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::content::zone_name;
use crate::lmdb::{Environment, LmdbError, Reader};
use crate::snapshot::{DecodeError, Entry, Snapshot};

/// Where PowerDNS writes the schema of its database.
pub(in crate::sync) const SCHEMA_DBI: &str = "pdns";
const SCHEMA_KEY: &[u8] = b"schemaversion";

/// The schema of a database; `None` while PowerDNS has not written one.
fn schema_of(reader: &Reader<'_>) -> Result<Option<u32>, LmdbError> {
    let Some(dbi) = reader.dbi(SCHEMA_DBI)? else {
        return Ok(None);
    };
    Ok(reader.get(&dbi, SCHEMA_KEY)?.and_then(|(_, value)| parse(value)))
}

/// The schema that a snapshot of a main database shows; `None` for one of a shard.
///
/// # Errors
/// Those of decoding.
pub(in crate::sync) fn schema_of_snapshot(snapshot: &mut Snapshot) -> Result<Option<u32>, DecodeError> {
    if !snapshot
        .outline()
        .dbis
        .iter()
        .any(|dbi| dbi.header.name == SCHEMA_DBI)
    {
        return Ok(None);
    }
    let mut schema = None;
    snapshot.for_each_entry(|dbi, entry| {
        if dbi.header.name == SCHEMA_DBI && entry.key == SCHEMA_KEY && !entry.deleted {
            schema = parse(entry.value);
        }
        Ok::<(), DecodeError>(())
    })?;
    Ok(schema)
}

fn parse(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Whether an entry would make a database look older than it is. PowerDNS 4.9 that makes its database later than
/// PowerDNS 5 upgraded another has the newer entry; with it, the upgraded one would pass for one of the older schema.
pub(in crate::sync) fn lowers(dbi: &str, incoming: &Entry<'_>, local: &Entry<'_>) -> bool {
    dbi == SCHEMA_DBI
        && incoming.key == SCHEMA_KEY
        && !local.deleted
        && parse(local.value).is_some_and(|own| incoming.deleted || parse(incoming.value) < Some(own))
}

/// What may be done with the snapshots of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The main database has not looked at the instance yet: wait.
    Unknown,
    Merge,
    /// Its schema, which is newer than the own one.
    Refuse(u32),
}

/// What the replicas of a main database and its shards know of schemas.
#[derive(Default)]
pub struct SchemaGuard {
    known: Mutex<Known>,
    /// The main database itself.
    database: OnceLock<Arc<Environment>>,
    /// Tells the shards' replicas that the main database's one has looked at something.
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    own: Option<u32>,
    /// The transaction that the own database was read at.
    read_at: Option<u64>,
    /// By instance, as object names show it; `None` for an instance whose snapshots say no schema.
    others: BTreeMap<String, Option<u32>>,
    /// What was known of those that had no snapshots any more.
    gone: BTreeMap<String, Option<u32>>,
    /// Instances with main snapshots that are not judged yet, once the store was listed.
    waiting: Option<Vec<String>>,
}

impl SchemaGuard {
    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The schema of the own database, where there is none to be read. Returns whether it is another one than before.
    pub fn set_own(&self, schema: Option<u32>) -> bool {
        self.known(|known| std::mem::replace(&mut known.own, schema) != schema)
    }

    /// The main database, for [`SchemaGuard::look_again`].
    pub(in crate::sync) fn watch(&self, database: Arc<Environment>) {
        // A guard has one main database, so it is the same if there is one already.
        let _ = self.database.set(database);
    }

    pub(in crate::sync) fn database(&self) -> Option<Arc<Environment>> {
        self.database.get().cloned()
    }

    /// The name of a zone by its ID, where the main database says it.
    pub(in crate::sync) fn zone(&self, id: u32) -> Option<String> {
        zone_name(self.database.get()?, id)
    }

    /// Something was committed to the main database since it was read.
    pub(in crate::sync) fn must_look_again(&self) -> bool {
        let last = self.database.get().map(|database| database.last_txn_id());
        last.is_some() && last != self.known(|known| known.read_at)
    }

    /// Reads the own schema again: PowerDNS may have been upgraded since.
    ///
    /// # Errors
    /// Those of LMDB.
    pub(in crate::sync) fn look_again(&self) -> Result<(), LmdbError> {
        if let Some(database) = self.database.get() {
            let (own, read_at) =
                database.read(|reader| Ok::<_, LmdbError>((schema_of(reader)?, reader.txn_id())))?;
            self.known(|known| (known.own, known.read_at) = (own, Some(read_at)));
        }
        Ok(())
    }

    /// The schema of the own database, once it is known.
    pub fn own(&self) -> Option<u32> {
        self.known(|known| known.own)
    }

    /// The main database's replica listed the store: these instances have snapshots.
    pub fn listed<'i>(&self, instances: impl Iterator<Item = &'i String>) {
        self.known(|known| {
            let instances: Vec<_> = instances.cloned().collect();
            let others = std::mem::take(&mut known.others).into_iter();
            let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
                others.partition(|(instance, _)| instances.contains(instance));
            known.others = there;
            known.gone.extend(gone);
            known.waiting = Some(
                instances
                    .into_iter()
                    .filter(|instance| !known.others.contains_key(instance))
                    .collect(),
            );
        });
        self.news.send_replace(());
    }

    /// The main database's replica looked at a snapshot of an instance: its newest, or an older one in the place of a
    /// newer one that was refused.
    pub fn judge(&self, instance: &str, schema: Option<u32>, newest: bool) {
        self.known(|known| {
            let entry = known.others.entry(instance.to_owned()).or_default();
            *entry = if newest { schema } else { (*entry).max(schema) };
            known.gone.remove(instance);
            if let Some(waiting) = &mut known.waiting {
                waiting.retain(|other| other != instance);
            }
        });
        self.news.send_replace(());
    }

    /// Instances that have snapshots again, and are not judged since.
    pub(in crate::sync) fn came_back(&self) -> Vec<String> {
        self.known(|known| {
            let waiting = known.waiting.iter().flatten();
            waiting
                .filter(|instance| known.gone.contains_key(*instance))
                .cloned()
                .collect()
        })
    }

    /// All that an instance has stored is merged: nothing that it says is to be read any more, so what was known of it holds.
    pub(in crate::sync) fn judge_as_before(&self, instance: &str) {
        if let Some(schema) = self.known(|known| known.gone.remove(instance)) {
            self.judge(instance, schema, true);
        }
    }

    /// Is told whenever a verdict may have changed.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// What may be done with an instance's snapshots.
    pub fn verdict(&self, instance: &str) -> Verdict {
        self.known(|known| match (known.others.get(instance), known.own) {
            (Some(Some(schema)), Some(own)) if *schema > own => Verdict::Refuse(*schema),
            (Some(_), _) => Verdict::Merge,
            (None, _) => match &known.waiting {
                Some(waiting) if !waiting.iter().any(|other| other == instance) => Verdict::Merge,
                _ => Verdict::Unknown,
            },
        })
    }

    /// The schemas of all instances that were judged.
    pub fn judged(&self) -> BTreeMap<String, Option<u32>> {
        self.known(|known| known.others.clone())
    }

    /// An instance with a newer schema than the own one is known.
    pub fn refuses_any(&self) -> bool {
        self.known(|known| {
            let newer = |schema: &Option<u32>| known.own.is_some() && *schema > known.own;
            known.others.values().any(newer)
        })
    }

    /// An instance of another schema, with it, when the bucket has snapshots and none of them has the own schema: then
    /// the prefix belongs to that other schema, and nothing must be stored in it.
    pub fn other_schema(&self) -> Option<(String, u32)> {
        self.known(|known| {
            let own = known.own?;
            let mut said = known
                .others
                .iter()
                .filter_map(|(instance, schema)| Some((instance, (*schema)?)));
            if said.clone().any(|(_, schema)| schema == own) {
                return None;
            }
            said.next().map(|(instance, schema)| (instance.clone(), schema))
        })
    }

    /// A snapshot of the own database was stored.
    pub fn stored(&self, own_instance: &str) {
        let own = self.known(|known| known.own);
        self.judge(own_instance, own, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lmdb::OpenOptions;

    fn guard(own: u32, others: &[(&str, Option<u32>)]) -> SchemaGuard {
        let guard = SchemaGuard::default();
        guard.set_own(Some(own));
        let names: Vec<_> = others.iter().map(|(name, _)| (*name).to_owned()).collect();
        guard.listed(names.iter());
        for (name, schema) in others {
            guard.judge(name, *schema, true);
        }
        guard
    }

    #[test]
    fn a_newer_schema_is_refused_and_an_older_one_merged_but_nothing_is_stored_in_its_prefix() {
        let guard = guard(5, &[("newer", Some(6)), ("same", Some(5)), ("unsaid", None)]);
        assert_eq!(guard.verdict("newer"), Verdict::Refuse(6));
        assert_eq!(guard.verdict("same"), Verdict::Merge);
        assert_eq!(guard.verdict("unsaid"), Verdict::Merge);
        assert_eq!(guard.other_schema(), None);

        // PowerDNS of this instance is upgraded, but for the other nobody has the newer schema.
        assert!(guard.set_own(Some(6)));
        assert_eq!(guard.verdict("newer"), Verdict::Merge);
        guard.listed([&"same".to_owned()].into_iter());
        assert_eq!(guard.other_schema(), Some(("same".to_owned(), 5)));
    }

    #[test]
    fn an_entry_never_makes_a_database_look_older_and_others_are_not_concerned() {
        fn entry<'a>(key: &'a [u8], value: &'a [u8]) -> Entry<'a> {
            Entry {
                key,
                value,
                timestamp: 1,
                deleted: value.is_empty(),
            }
        }
        let (older, newer) = (entry(SCHEMA_KEY, &[0, 0, 0, 5]), entry(SCHEMA_KEY, &[0, 0, 0, 6]));
        let removed = entry(SCHEMA_KEY, &[]);
        assert!(lowers(SCHEMA_DBI, &older, &newer));
        assert!(lowers(SCHEMA_DBI, &removed, &newer));
        assert!(!lowers(SCHEMA_DBI, &newer, &older));
        assert!(!lowers(SCHEMA_DBI, &newer, &newer));
        assert!(!lowers(SCHEMA_DBI, &older, &removed));
        assert!(!lowers("records_v5", &older, &newer));
        let (less, more) = (entry(b"shards", &[0, 0, 0, 1]), entry(b"shards", &[0, 0, 0, 2]));
        assert!(!lowers(SCHEMA_DBI, &less, &more));
    }

    #[test]
    fn one_stray_instance_does_not_stop_a_fleet_of_the_other_schema() {
        let guard = guard(6, &[("stray", Some(5)), ("fleet", Some(6))]);
        assert_eq!(guard.other_schema(), None);
        let stray = self::guard(5, &[("fleet", Some(6))]);
        assert_eq!(stray.other_schema(), Some(("fleet".to_owned(), 6)));
    }

    #[test]
    fn the_first_in_a_prefix_may_store_and_go_on() {
        let guard = guard(5, &[]);
        assert_eq!(guard.other_schema(), None);
        guard.stored("me");
        guard.judge("newer", Some(6), true);
        assert_eq!(guard.other_schema(), None);
    }

    #[test]
    fn shards_wait_until_the_main_database_has_looked() {
        let guard = SchemaGuard::default();
        assert_eq!(guard.verdict("a"), Verdict::Unknown);
        let names = ["a".to_owned()];
        guard.listed(names.iter());
        assert_eq!(guard.verdict("a"), Verdict::Unknown);
        // An instance without a main database has nothing to say about schemas.
        assert_eq!(guard.verdict("shard-only"), Verdict::Merge);
        guard.judge("a", Some(5), true);
        assert_eq!(guard.verdict("a"), Verdict::Merge);
    }

    #[test]
    fn an_older_snapshot_in_the_place_of_a_refused_one_does_not_make_an_instance_older() {
        let guard = guard(5, &[("upgraded", Some(6))]);
        guard.judge("upgraded", Some(5), false);
        assert_eq!(guard.verdict("upgraded"), Verdict::Refuse(6));
        // It was made anew with the older PowerDNS.
        guard.judge("upgraded", Some(5), true);
        assert_eq!(guard.verdict("upgraded"), Verdict::Merge);
    }

    #[test]
    fn an_instance_that_is_gone_blocks_nothing() {
        let guard = guard(6, &[("old", Some(5))]);
        assert!(guard.other_schema().is_some());
        guard.listed([].iter());
        assert_eq!(guard.other_schema(), None);
    }

    #[test]
    fn an_instance_that_has_snapshots_again_is_judged_as_before_once_there_is_nothing_to_read() {
        let guard = guard(5, &[("newer", Some(6)), ("same", Some(5))]);
        guard.listed([].iter());
        let again = ["newer".to_owned(), "same".to_owned(), "unknown".to_owned()];
        guard.listed(again.iter());
        assert_eq!(guard.verdict("newer"), Verdict::Unknown);
        assert_eq!(guard.came_back(), ["newer", "same"]);
        for instance in &again {
            guard.judge_as_before(instance);
        }
        assert_eq!(guard.verdict("newer"), Verdict::Refuse(6));
        assert_eq!(guard.verdict("same"), Verdict::Merge);
        assert_eq!(guard.verdict("unknown"), Verdict::Unknown);
        // What its objects say now counts.
        guard.judge("newer", Some(5), true);
        guard.judge_as_before("newer");
        assert_eq!(guard.verdict("newer"), Verdict::Merge);
    }

    #[test]
    fn the_own_database_is_read_again_when_something_was_committed_to_it_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::of_a_new_file(1 << 20);
        let database = Arc::new(Environment::open(&dir.path().join("pdns.lmdb"), &options).unwrap());
        let write = |schema: u32| {
            let wrote = database.write::<_, LmdbError>(|writer| {
                let dbi = writer.dbi(SCHEMA_DBI)?;
                writer.put(&dbi, SCHEMA_KEY, u64::from(schema), false, &schema.to_be_bytes())
            });
            wrote.unwrap();
        };
        let guard = SchemaGuard::default();
        assert!(!guard.must_look_again(), "there is nothing to read");
        guard.watch(database.clone());
        for schema in [5, 6] {
            write(schema);
            assert!(guard.must_look_again());
            guard.look_again().unwrap();
            assert_eq!(guard.own(), Some(schema));
            assert!(!guard.must_look_again());
        }
    }
}
