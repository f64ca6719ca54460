//! What a replica knows is kept in a small file beside the database, so that a restart need not compare everything again.
//!
//! The file is safe to lose, and says nothing when it does not belong to this database or to this store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::State;
use super::replica::Replica;
use crate::sync::database::lost::recount::{Counts, count, missing};
use crate::sync::files::{FileId, path_of, replace};
use crate::sync::known::heard::{Heard, HeardState, States};

const NAME: &str = "zonetide-state.json";
/// The layout of the file; another one is not read.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Memory {
    version: u32,
    instance: String,
    /// Where the objects are, without secrets.
    store: String,
    /// Which file the database is: a new one knows nothing of what is told here.
    file: FileId,
    /// The transaction up to which the store has everything, and the state that it stands for.
    txn: u64,
    time: u64,
    /// By instance, the state up to which everything is merged.
    have: BTreeMap<String, u64>,
    /// By instance, the states that a peer told of and that the store may lack.
    #[serde(default)]
    heard: BTreeMap<String, BTreeSet<u64>>,
    /// The same, with what is known of each.
    #[serde(default)]
    told: States,
    /// By instance, the newest snapshot that was read.
    read: BTreeMap<String, u64>,
    lightning_stream: BTreeSet<String>,
    /// By instance, the version of our rules that it follows.
    #[serde(default)]
    versions: BTreeMap<String, u64>,
    /// By instance, the state from which on a snapshot is to be read though deltas lead there.
    #[serde(default)]
    wanted: BTreeMap<String, u64>,
    /// By instance whose objects are gone, the state of it that is here.
    #[serde(default)]
    gone: BTreeMap<String, u64>,
    /// By instance, the schema of its PowerDNS; of a main database.
    schemas: BTreeMap<String, Option<u32>>,
    /// While deletions are held back: the transactions that wrote what others have, and up to which nobody knows which those were.
    #[serde(default)]
    foreign: BTreeSet<u64>,
    #[serde(default)]
    forgotten: u64,
    /// How many entries there were; nothing while marks are being removed.
    #[serde(default)]
    entries: Counts,
}

/// What the last run wrote down of this database and this store.
pub(in crate::sync) struct LastRun {
    memory: Memory,
    /// The file is where it was.
    pub(in crate::sync) is_here: bool,
}

impl LastRun {
    /// The transaction up to which the store had everything.
    pub(in crate::sync) fn checkpoint(&self) -> u64 {
        self.memory.txn
    }
}

impl Replica {
    /// What the last run wrote down, if that is of this database and of this store.
    pub(in crate::sync) fn last_memory(&self, store: &str) -> Option<LastRun> {
        let path = path_of(&self.env, NAME);
        let text = std::fs::read(&path).ok()?;
        let memory: Memory = match serde_json::from_slice(&text) {
            Ok(memory) => memory,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the memory of the last run is not readable: everything is compared");
                return None;
            }
        };
        let file = FileId::of(&self.env).ok()?;
        // The number of a device is another one on another node, and what was away has mostly got one.
        let is_of_this = memory.version == VERSION
            && memory.instance == self.own
            && memory.store == store
            && memory.file.is_elsewhere(&file)
            && memory.txn <= self.env.last_txn_id()
            && memory.time != 0;
        if !is_of_this {
            self.doubt_the_last_memory();
            return None;
        }
        let is_here = memory.file == file;
        Some(LastRun { memory, is_here })
    }

    /// Says that it is not gone on from what the last run wrote down.
    pub(in crate::sync) fn doubt_the_last_memory(&self) {
        let path = path_of(&self.env, NAME);
        tracing::info!(path = %path.display(), "the last run's memory is of another database or store: everything is compared");
    }

    /// The schemas of the others are as the last run knew them.
    pub(in crate::sync) fn judge_as_the_last_run(&self, last: &LastRun) {
        for (instance, schema) in &last.memory.schemas {
            self.schemas.guard.judge(instance, *schema, true);
        }
    }

    /// Goes on from what the last run knew.
    pub(in crate::sync) fn go_on_from(&self, last: LastRun) {
        let memory = last.memory;
        let now = self.env.keep_reader().and_then(|now| count(&now));
        let missing = now.ok().and_then(|now| missing(&memory.entries, &now));
        let mut state = self.state();
        if missing.is_none() {
            state.known.have = memory.have;
            state.known.read = memory.read;
            state.known.wanted = memory.wanted;
            state.departed.go_on_from(memory.gone);
        }
        state.heard = Heard::new(memory.told);
        // An agent before this one knew no more of them.
        for (instance, times) in memory.heard {
            for time in times {
                if !state
                    .heard
                    .states()
                    .get(&instance)
                    .is_some_and(|told| told.contains_key(&time))
                {
                    state.heard.hear(&instance, time, HeardState::default());
                }
            }
        }
        if missing.is_some() {
            // What peers told may be among what is lost.
            state.heard.writes_are_unknown();
        }
        state.lightning_stream = memory.lightning_stream;
        state.versions = memory.versions;
        state
            .log
            .go_on_from((memory.txn, memory.time), self.peers.is_some());
        state.log.were_foreign(memory.foreign, memory.forgotten);
        state.resumed = true;
        drop(state);
        if let Some(missing) = missing {
            self.tell_of_unseen_losses(missing);
        }
    }
    /// Writes down that entries are about to be removed here, or that this is done: they are not lost.
    pub(in crate::sync) fn is_removing(&self, removing: bool) {
        let place = {
            let mut state = self.state();
            state.removing = removing;
            state.place.clone()
        };
        let Some(place) = place else { return };
        if removing && self.memory(&self.state(), &place).is_none() {
            // What was written down before is not true any more.
            let _ = std::fs::remove_file(path_of(&self.env, NAME));
        } else {
            self.remember(&place);
        }
    }

    /// Writes down what is known now. What cannot be written is only slower to find again.
    pub fn remember(&self, store: &str) {
        let Some(memory) = self.memory(&self.state(), store) else {
            return;
        };
        let path = path_of(&self.env, NAME);
        if let Err(error) = replace(&self.env, &path, &memory) {
            tracing::debug!(path = %path.display(), %error, "cannot write down what is known");
        }
    }

    fn memory(&self, state: &State, store: &str) -> Option<Memory> {
        // The reason for a snapshot is seen again by what was known before.
        if !state.log.has_stored() || state.resumed || state.log.wants_snapshot() || state.given {
            return None;
        }
        let file = FileId::of(&self.env).ok()?;
        let holds_back = self.deletions.zones().holds_anything();
        // Of a state that was looked through: what is lost of it later is seen.
        let kept = state.log.newest_kept().filter(|_| !state.removing);
        let entries = kept.and_then(|kept| count(&kept).ok()).unwrap_or_default();
        let times = |(instance, told): (&String, &BTreeMap<u64, HeardState>)| {
            (instance.clone(), told.keys().copied().collect())
        };
        // What there was no room for of theirs is not here.
        let of_all = |mut states: BTreeMap<String, u64>| {
            states.retain(|instance, _| !state.kept_out.lacks_room_for(instance));
            states
        };
        Some(Memory {
            version: VERSION,
            instance: self.own.clone(),
            store: store.to_owned(),
            file,
            txn: state.log.stored().txn,
            time: state.log.stored().time,
            have: of_all(state.known.have.clone()),
            heard: state.heard.states().iter().map(times).collect(),
            told: state.heard.states().clone(),
            read: of_all(state.known.read.clone()),
            lightning_stream: state.lightning_stream.clone(),
            versions: state.versions.clone(),
            wanted: state.known.wanted.clone(),
            gone: state.departed.gone().clone(),
            schemas: if self.schemas.main {
                self.schemas.guard.judged()
            } else {
                BTreeMap::new()
            },
            foreign: if holds_back {
                state.log.foreign().clone()
            } else {
                BTreeSet::new()
            },
            forgotten: if holds_back { state.log.forgotten() } else { 0 },
            entries,
        })
    }
}
