//! A delta that a peer told of, before it is merged.

use std::io::{Seek as _, Write as _};
use std::path::Path;

use tempfile::SpooledTempFile;

use crate::snapshot::DeltaName;
use crate::store::spool;
use crate::sync::error::SyncError;
use crate::sync::known::schema::Verdict;
use crate::sync::peer::Told;
use crate::sync::state::replica::Replica;

impl Replica {
    /// Its name, if it may be merged.
    pub(super) fn is_welcome(&self, told: &Told) -> Result<Option<DeltaName>, SyncError> {
        let name = DeltaName::parse(self.database(), &told.name)?;
        let is_welcome = name.instance() == told.from
            && name.instance() != self.own
            && !matches!(self.schemas.guard.verdict(name.instance()), Verdict::Refuse(_));
        Ok(is_welcome.then_some(name))
    }
}

/// Its content, to be read.
pub(super) fn spooled(object: &[u8], folder: &Path) -> std::io::Result<SpooledTempFile> {
    let mut file = spool(folder);
    file.write_all(object)?;
    file.rewind()?;
    Ok(file)
}
