//! Deletions that are held back, in two small files beside the main database: in one the agent says which they are, by the other people
//! let them go.

use std::collections::BTreeMap;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{path_of, replace};
use crate::lmdb::Environment;

const HELD: &str = "zonetide-held-deletions.json";
const LET_GO: &str = "zonetide-let-go.json";
/// The layout of the files; another one is not read.
const VERSION: u32 = 1;

/// Zones whose deletion others are not told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDeletions {
    version: u32,
    /// Most that others are told of within a minute.
    pub most: u32,
    /// By the zone's ID, when it was deleted, ns since the epoch.
    pub zones: BTreeMap<u32, u64>,
    /// The same of those that others were told of within the minute before.
    #[serde(default)]
    pub told: BTreeMap<u32, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LetGo {
    version: u32,
    /// By the zone's ID, when it was deleted, ns since the epoch.
    zones: BTreeMap<u32, u64>,
}

impl HeldDeletions {
    pub(in crate::sync) fn new(most: u32, zones: BTreeMap<u32, u64>, told: BTreeMap<u32, u64>) -> Self {
        Self {
            version: VERSION,
            most,
            zones,
            told,
        }
    }

    /// What is held back of the PowerDNS with this main database, if anything.
    ///
    /// # Errors
    /// Those of the file system, and of a file that is none of this layout.
    pub fn read(main: &Environment) -> io::Result<Option<Self>> {
        let held: Option<Self> = read(main, HELD)?;
        match held {
            Some(held) if held.version != VERSION => Err(io::Error::other(format!(
                "its layout is {} and not {VERSION}",
                held.version
            ))),
            held => Ok(held),
        }
    }

    pub(in crate::sync) fn write(&self, main: &Environment) -> io::Result<()> {
        replace(main, &path_of(main, HELD), self)
    }

    /// Nothing is held back any more.
    pub(in crate::sync) fn remove(main: &Environment) -> io::Result<()> {
        match std::fs::remove_file(path_of(main, HELD)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets go of these deletions.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn let_go(&self, main: &Environment) -> io::Result<()> {
        let let_go = LetGo {
            version: VERSION,
            zones: self.zones.clone(),
        };
        replace(main, &path_of(main, LET_GO), &let_go)
    }

    /// What people let go last: by the zone's ID, when it was deleted, ns since the epoch.
    pub(in crate::sync) fn that_were_let_go(main: &Environment) -> BTreeMap<u32, u64> {
        match read::<LetGo>(main, LET_GO) {
            Ok(Some(let_go)) if let_go.version == VERSION => let_go.zones,
            Ok(_) => BTreeMap::new(),
            Err(error) => {
                tracing::warn!(path = %path_of(main, LET_GO).display(), %error, "cannot read which deletions are let go");
                BTreeMap::new()
            }
        }
    }
}

fn read<T: DeserializeOwned>(main: &Environment, name: &str) -> io::Result<Option<T>> {
    match std::fs::read(path_of(main, name)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
