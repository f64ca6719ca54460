//! Opening a database for as long as somebody may still put right what stands in the way. An agent that ended instead
//! would be started again and again, and nobody would see why.

use anyhow::Context as _;

use crate::config::Lmdb;
use crate::lmdb::{Environment, LmdbError, LmdbErrorKind, create_files};
use crate::report::Report;
use crate::sync::{Pace, Trouble};

/// Opens a database and makes it if it may; waits where PowerDNS has to make it, or a person to put something right.
pub(super) async fn open_when_possible(
    name: &str,
    lmdb: &Lmdb,
    status: &dyn Report,
    pace: &Pace,
) -> anyhow::Result<Environment> {
    let mut told = None;
    loop {
        let error = match open(lmdb) {
            Ok(env) => {
                status.clear(Trouble::Volume.name());
                let (txn, readers) = (env.last_txn_id(), env.max_readers());
                tracing::info!(database = %name, path = %lmdb.path.display(), txn, readers, "opened");
                return Ok(env);
            }
            Err(error) if !pace.once && error.kind.can_pass() => error,
            Err(error) => return Err(error).with_context(|| format!("cannot open database {name}")),
        };
        status.failed("open", &error);
        let missing = matches!(error.kind, LmdbErrorKind::Missing);
        let text = error.to_string();
        if told.as_ref() != Some(&text) {
            if missing {
                tracing::info!(database = %name, %error, "waiting for it");
            } else {
                tracing::error!(database = %name, %error, "cannot open it, will try again");
            }
        }
        // That PowerDNS has not made it yet is no trouble.
        match Trouble::of_database(&error) {
            Some(trouble) => status.raise(trouble.name(), trouble.level(), &text),
            None => status.clear(Trouble::Volume.name()),
        }
        told = Some(text);
        let wait = if missing { pace.lmdb_poll } else { pace.retry };
        tokio::time::sleep(wait).await;
    }
}

fn open(lmdb: &Lmdb) -> Result<Environment, LmdbError> {
    let options = lmdb.open_options();
    if options.create {
        let (dir_mask, file_mask) = (lmdb.options.dir_mask.0, lmdb.options.file_mask.0);
        create_files(&lmdb.path, options.no_subdir, dir_mask, file_mask)?;
    }
    Environment::open(&lmdb.path, &options)
}
