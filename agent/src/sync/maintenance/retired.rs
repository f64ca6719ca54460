//! The list of instances that never come back, which somebody else keeps in a file.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::cleaner::Cleaner;
use crate::report::Level;
use crate::snapshot::sanitize_instance;
use crate::sync::state::replica::Replica;

/// A file with an instance ID in each line.
pub(in crate::sync) struct RetiredFile {
    path: PathBuf,
    last: Option<BTreeSet<String>>,
}

impl RetiredFile {
    pub(in crate::sync) fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// The instances, as object names show them, if they are others than at the last look. Without the file there are none; one
    /// that cannot be read says nothing.
    pub(in crate::sync) fn look(&mut self) -> Option<BTreeSet<String>> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "cannot read which instances are retired");
                return None;
            }
            Ok(text) => text,
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let instances: BTreeSet<_> = lines.map(sanitize_instance).collect();
        if self.last.as_ref() == Some(&instances) {
            return None;
        }
        self.last = Some(instances.clone());
        Some(instances)
    }
}

impl Replica {
    /// Takes in the list. Who is on it himself has been brought back, so the list is an old one.
    pub(in crate::sync) fn take_list(&self, mut retired: BTreeSet<String>, cleaner: &mut Cleaner) {
        if retired.contains(&self.own) {
            let text = "this instance is on the list of retired ones (storage.cleanup.retired_file), which is ignored \
                        therefore: take it off the list, or stop this agent";
            tracing::warn!(database = %self.database(), "{text}");
            self.status.raise("retired", Level::Warning, text);
            retired.clear();
        } else {
            self.status.clear("retired");
        }
        self.status.retired(retired.clone());
        cleaner.retire(retired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_list_are_told_once_and_a_missing_file_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instances");
        let mut file = RetiredFile::new(path.clone());
        assert_eq!(file.look(), Some(BTreeSet::new()));
        assert_eq!(file.look(), None);
        std::fs::write(&path, "site-ns-dns-2\n\n  site-ns-dns-1 \n").unwrap();
        let both = ["site-ns-dns-1", "site-ns-dns-2"].map(str::to_owned);
        assert_eq!(file.look(), Some(both.into()));
        assert_eq!(file.look(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), Some(BTreeSet::new()));
        // A directory in its place says nothing.
        std::fs::create_dir(&path).unwrap();
        assert_eq!(file.look(), None);
    }
}
