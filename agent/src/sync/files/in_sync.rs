//! When a database was last in sync, in a small file beside it: whoever starts without the store and without peers must know
//! how old its answers are.
//!
//! Outside of LMDB, for it is no change of the database. The file says nothing of another database that has the same name.

use serde::{Deserialize, Serialize};

use super::{FileId, path_of, replace};
use crate::lmdb::Environment;

const NAME: &str = "zonetide-in-sync.json";
/// The layout of the file; another one is not read.
const VERSION: u32 = 1;
/// A time may be so far ahead of the clock, ns, which may have been set back a little; one that is farther ahead says nothing, or
/// it would do so for ever.
const AHEAD: u64 = 60_000_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct InSync {
    version: u32,
    file: FileId,
    /// The last transaction of the database then: it has more by now, or it is an older one under the same name.
    txn: u64,
    /// Ns since the epoch.
    time: u64,
}

/// When the database was last in sync, ns since the epoch, if that is known of this one.
pub(in crate::sync) fn read(env: &Environment) -> Option<u64> {
    let path = path_of(env, NAME);
    let text = std::fs::read(&path).ok()?;
    let known: InSync = match serde_json::from_slice(&text) {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "when the database was last in sync is not readable");
            return None;
        }
    };
    let file = FileId::of(env).ok()?;
    let fits = known.version == VERSION && known.file.is_elsewhere(&file) && known.txn <= env.last_txn_id();
    if !fits {
        tracing::warn!(path = %path.display(), "when a database was last in sync is told of another one, and not believed");
        return None;
    }
    Some(known.time)
}

/// Writes down that the database is in sync, or was at this time (ns since the epoch).
///
/// # Errors
/// Those of the file system: the file says what it said before.
pub(in crate::sync) fn write(env: &Environment, time: u64) -> std::io::Result<()> {
    let known = InSync {
        version: VERSION,
        file: FileId::of(env)?,
        txn: env.last_txn_id(),
        time,
    };
    replace(env, &path_of(env, NAME), &known)
}

/// How long ago a time was, ns, by a clock that says `now`; `None` when it is too far in the future to be one.
pub(in crate::sync) fn age(time: u64, now: u64) -> Option<u64> {
    match now.checked_sub(time) {
        Some(age) => Some(age),
        None if time - now <= AHEAD => Some(0),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::lmdb::{LmdbError, OpenOptions};

    fn open(path: &Path) -> Environment {
        let options = OpenOptions {
            map_size: 1 << 20,
            max_dbs: 8,
            create: true,
            no_subdir: true,
        };
        Environment::open(path, &options).unwrap()
    }

    fn fill(env: &Environment) {
        env.write::<_, LmdbError>(|writer| {
            let dbi = writer.dbi("records")?;
            writer.put(&dbi, b"key", 1, false, b"value")
        })
        .unwrap();
    }

    #[test]
    fn what_is_written_is_read_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let env = open(&path);
        assert_eq!(read(&env), None);
        fill(&env);
        write(&env, 42).unwrap();
        drop(env);
        let env = open(&path);
        assert_eq!(read(&env), Some(42));
        write(&env, 43).unwrap();
        assert_eq!(read(&env), Some(43));
    }

    #[test]
    fn a_new_database_beside_an_old_file_does_not_inherit_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let env = open(&path);
        fill(&env);
        write(&env, 42).unwrap();
        drop(env);
        std::fs::remove_file(&path).unwrap();
        let env = open(&path);
        assert_eq!(read(&env), None);
        // Nor when it has come as far as the old one.
        fill(&env);
        fill(&env);
        assert_eq!(read(&env), None);
    }

    #[test]
    fn an_older_database_that_was_put_in_the_same_file_does_not_count_as_in_sync() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let env = open(&path);
        fill(&env);
        drop(env);
        let backup = std::fs::read(&path).unwrap();
        let env = open(&path);
        fill(&env);
        write(&env, 42).unwrap();
        drop(env);
        std::fs::write(&path, backup).unwrap();
        std::fs::remove_file(dir.path().join("db-lock")).unwrap();
        assert_eq!(read(&open(&path)), None);
    }

    #[test]
    fn nonsense_in_the_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let env = open(&dir.path().join("db"));
        std::fs::write(path_of(&env, NAME), "{").unwrap();
        assert_eq!(read(&env), None);
    }

    #[test]
    fn a_time_in_the_future_is_not_young_for_ever() {
        let (second, now) = (1_000_000_000, 1_790_000_000_000_000_000);
        assert_eq!(age(now - 5, now), Some(5));
        assert_eq!(
            age(now + 59 * second, now),
            Some(0),
            "the clock was set back a little"
        );
        assert_eq!(age(now + 61 * second, now), None);
        assert_eq!(age(now, 0), None, "a machine that starts in 1970");
    }
}
