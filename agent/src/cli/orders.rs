//! How this program carries out what the operator orders: as a person would in the pod, with a command of its own.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::restoring::{Limits, Restorer};
use crate::supervise::PARENT;

/// Runs commands for the same databases and store. They end with this process, so it is called on the main thread.
pub(super) fn restorer(file: &Path, config: &Config) -> anyhow::Result<Arc<Restorer>> {
    let program = std::env::current_exe().context("cannot find the own program")?;
    let arguments: [OsString; 4] = [
        "--config".into(),
        file.into(),
        "--instance".into(),
        config.instance.clone().into(),
    ];
    let variables = vec![(PARENT, std::process::id().to_string())];
    let database = config.lmdbs.values().next().and_then(|lmdb| lmdb.path.parent());
    let folder = database.unwrap_or(Path::new("/nowhere")).to_owned();
    let restorer = Restorer::new(program, arguments.into(), variables, folder, Limits::default());
    Ok(Arc::new(restorer))
}
