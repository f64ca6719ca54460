//! What happened to one key on all servers, and which outcomes are right. It knows nothing of objects, agents or LMDB.
//!
//! - A write *happened after* another one if its PowerDNS put it in the place of it, or of one that happened after it. A
//!   deletion is a write; one of what is not there is nothing.
//! - A write is *demanded* once its agent reported it stored, and for as long as a database that stores had it and
//!   lives. The outcome is a write that happened before none of those, and of the ones that neither happened before the other
//!   the newest: a later time, then a deletion, then the lower value.
//!
//! An agent may give a write a later time than PowerDNS did, never an earlier one, unless some agents go by the fleet's time. Then a write
//! counts with the earliest of the times that it had or should have had, as far as a server knows the time: which one exactly it gets is not for this to say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::server::SECOND;
use super::support::Version;

pub(crate) type Id = usize;

/// A version in the order of who wins.
type Rank<'v> = (u64, bool, Reverse<&'v [u8]>);

fn rank((time, deleted, value): &Version) -> Rank<'_> {
    (*time, *deleted, Reverse(value))
}

#[derive(Debug, Clone)]
struct Write {
    server: usize,
    /// As PowerDNS wrote it.
    version: Version,
    /// When that was.
    time: u64,
    /// All that it happened after.
    after: BTreeSet<Id>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Agents go by the fleet's time.
    corrected: bool,
    writes: Vec<Write>,
    /// All that a version may be. More than one are alike to the last bit: marks or empty values of one time.
    known: BTreeMap<Version, BTreeSet<Id>>,
    /// By server, what its database has, and which writes that may be.
    held: BTreeMap<usize, (Version, BTreeSet<Id>)>,
    /// By server that stores, what its database had for sure.
    taken: BTreeMap<usize, BTreeSet<Id>>,
    stored: BTreeSet<Id>,
    /// By server, what PowerDNS wrote to the database that it has now. What it wrote to one that is lost may come back by a merge, and
    /// then its agent reports nothing about it.
    here: BTreeMap<usize, BTreeSet<Id>>,
}

impl History {
    pub(crate) fn new(corrected: bool) -> Self {
        Self {
            corrected,
            ..Self::default()
        }
    }

    /// PowerDNS of a server writes a version at this time.
    pub(crate) fn write(&mut self, server: usize, version: Version, time: u64) {
        let replaced = self
            .held
            .get(&server)
            .map(|(_, ids)| ids.clone())
            .unwrap_or_default();
        // Of versions that are alike nobody can tell which one it was.
        let mut all = replaced.iter().map(|id| self.up_to(*id));
        let first = all.next().unwrap_or_default();
        let after = all.fold(first, |common, of| &common & &of);
        let id = self.writes.len();
        let taken = self.taken.entry(server).or_default();
        taken.retain(|id| !after.contains(id));
        taken.insert(id);
        self.here.entry(server).or_default().insert(id);
        self.known.entry(version.clone()).or_default().insert(id);
        self.held.insert(server, (version.clone(), BTreeSet::from([id])));
        self.writes.push(Write {
            server,
            version,
            time,
            after,
        });
    }

    fn up_to(&self, id: Id) -> BTreeSet<Id> {
        let mut ids = self.writes[id].after.clone();
        ids.insert(id);
        ids
    }

    fn is_after(&self, later: Id, earlier: Id) -> bool {
        self.writes[later].after.contains(&earlier)
    }

    /// An agent has been at work: its database has this now. `stores`: what its database has does not stay with it.
    pub(crate) fn see(&mut self, server: usize, now: Option<&Version>, stores: bool) -> Result<(), String> {
        let before = self.held.get(&server);
        let Some(now) = now else {
            if let Some((version @ (_, false, _), _)) = before {
                return Err(format!("{} was lost without a mark", show(version)));
            }
            self.held.remove(&server);
            return Ok(());
        };
        if before.is_some_and(|(version, _)| version == now) {
            return Ok(());
        }
        self.tell(server, now)?;
        let ids = self.known[now].clone();
        if let Some((version, replaced)) = self.held.get(&server) {
            let goes_back = |id: &Id| replaced.iter().all(|old| self.is_after(*old, *id));
            if ids.iter().all(goes_back) {
                return Err(format!(
                    "{} was replaced by {}, which happened before it",
                    show(version),
                    show(now)
                ));
            }
        }
        // An own version that got a later time is what it was.
        let ids = match self.held.get(&server) {
            Some((_, same)) if same.is_subset(&ids) => same.clone(),
            _ => ids,
        };
        if stores && ids.len() == 1 {
            self.taken.entry(server).or_default().extend(&ids);
        }
        self.held.insert(server, (now.clone(), ids));
        Ok(())
    }

    /// A server shows a version to others: one that is known, or its own with a later time.
    pub(crate) fn tell(&mut self, server: usize, version: &Version) -> Result<(), String> {
        let is_known = self.known.contains_key(version);
        if is_known && !self.corrected {
            return Ok(());
        }
        match self.held.get(&server) {
            Some((own, ids))
                if own.1 == version.1 && own.2 == version.2 && (own.0 < version.0 || self.corrected) =>
            {
                self.known.entry(version.clone()).or_default().extend(ids);
                Ok(())
            }
            // An own one that got another time may be alike to it to the last bit, but this is not.
            _ if is_known => Ok(()),
            own => Err(format!(
                "nobody wrote {}, it has {:?}",
                show(version),
                own.map(|own| show(&own.0))
            )),
        }
    }

    /// What PowerDNS of a server wrote to its database, which has it.
    pub(crate) fn own(&self, server: usize) -> Option<Id> {
        let (_, ids) = self.held.get(&server)?;
        let id = *ids.first()?;
        let here = self.here.get(&server)?;
        (ids.len() == 1 && here.contains(&id)).then_some(id)
    }

    /// An agent reported that it stored what its database had all the time, or what PowerDNS put in the place of that.
    pub(crate) fn stored(&mut self, server: usize, id: Id) {
        let own = self.own(server);
        if own.is_some_and(|own| own == id || self.is_after(own, id)) {
            self.stored.insert(id);
        }
    }

    /// The database of a server is lost.
    pub(crate) fn lose(&mut self, server: usize) {
        self.taken.remove(&server);
        self.held.remove(&server);
        self.here.remove(&server);
    }

    fn demanded(&self) -> BTreeSet<Id> {
        self.taken
            .values()
            .flatten()
            .chain(&self.stored)
            .copied()
            .collect()
    }

    /// What is wrong about this outcome. Marks older than `forgotten` may be missing.
    pub(crate) fn check(&self, found: Option<&Version>, forgotten: u64) -> Result<(), String> {
        let demanded = self.demanded();
        let Some(found) = found else {
            let is_old = |id: &Id| {
                let covered = demanded.iter().any(|later| self.is_after(*later, *id));
                let (time, deleted, _) = self.newest(*id);
                covered || *deleted && *time < forgotten
            };
            return match demanded.iter().find(|id| !is_old(id)) {
                Some(id) => Err(format!("nothing is there instead of {}", self.show(*id))),
                None => Ok(()),
            };
        };
        let Some(ids) = self.known.get(found) else {
            return Err(format!("nobody wrote {}", show(found)));
        };
        let wrong = |id: &Id| demanded.iter().find(|other| !self.beats(*id, found, **other));
        let mut reasons = ids.iter().map(|id| (id, wrong(id)));
        let Some((id, Some(other))) = reasons
            .clone()
            .find(|(_, reason)| reason.is_none())
            .or_else(|| reasons.next())
        else {
            return Ok(());
        };
        let how = if self.is_after(*other, *id) {
            "happened after it"
        } else {
            "is newer"
        };
        Err(format!("{} stayed, and {} {how}", show(found), self.show(*other)))
    }

    fn beats(&self, id: Id, found: &Version, other: Id) -> bool {
        id == other
            || self.is_after(id, other)
            || !self.is_after(other, id) && rank(found) >= self.least(other)
    }

    /// What a write counts with at least.
    fn least(&self, id: Id) -> Rank<'_> {
        let Write { version, time, .. } = &self.writes[id];
        if !self.corrected {
            return rank(version);
        }
        let given = self.known.iter().filter(|(_, ids)| ids.contains(&id));
        let times = given.map(|((time, ..), _)| *time);
        let known_to = time.saturating_sub(SECOND);
        let least = times.min().unwrap_or(version.0).min(version.0).min(known_to);
        (least, version.1, Reverse(&version.2))
    }

    /// The latest time that a write was given.
    fn newest(&self, id: Id) -> &Version {
        let names = self.known.iter().filter(|(_, ids)| ids.contains(&id));
        let newest = names
            .map(|(version, _)| version)
            .max_by_key(|version| rank(version));
        newest.unwrap_or(&self.writes[id].version)
    }

    /// True if only one outcome is right: none of the others that were written is a newer one.
    pub(crate) fn is_certain(&self) -> bool {
        let demanded = self.demanded();
        let newest = demanded.iter().map(|id| rank(&self.writes[*id].version)).max();
        (0..self.writes.len()).all(|id| {
            demanded.contains(&id)
                || demanded.iter().any(|later| self.is_after(*later, id))
                || !self.corrected && Some(rank(self.newest(id))) < newest
        })
    }

    /// All that store have this, and so has the bucket: a new beginning.
    pub(crate) fn agree(&mut self, found: Option<&Version>) {
        let demanded = self.demanded();
        self.stored = match found.and_then(|found| Some((found, self.known.get(found)?))) {
            Some((found, ids)) => {
                let right = |id: &&Id| demanded.iter().all(|other| self.beats(**id, found, *other));
                ids.iter().filter(right).copied().collect()
            }
            None => demanded,
        };
        self.taken.clear();
    }

    fn show(&self, id: Id) -> String {
        format!(
            "{} of server-{}",
            show(&self.writes[id].version),
            self.writes[id].server
        )
    }
}

/// A version for people: seconds alone say more than all of a time.
pub(crate) fn show((time, deleted, value): &Version) -> String {
    let (seconds, rest) = (time / 1_000_000_000 % 1_000_000, time % 1_000_000_000);
    let what = if *deleted {
        "a deletion".into()
    } else {
        format!("{value:?}")
    };
    format!("{what} at {seconds}.{rest:09}")
}
