//! What is done, in a small file: whoever is asked for it again after a restart must not do it again, since it would take back what was
//! written in between.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::account::{Account, State};

const NAME: &str = "zonetide-restores.json";
/// Nothing of ours is larger.
const LONGEST: u64 = 2 << 20;

/// The accounts in this folder; none where they cannot be read.
pub(super) fn read(folder: &Path) -> Vec<Account> {
    let path = folder.join(NAME);
    let is_ours = path.metadata().is_ok_and(|file| file.len() <= LONGEST);
    let Some(text) = is_ours.then(|| std::fs::read(&path).ok()).flatten() else {
        return Vec::new();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "which restores are done is not readable");
        Vec::new()
    })
}

/// Writes those down that are done.
///
/// # Errors
/// Those of the file system: the file says what it said before.
pub(super) fn write<'a>(folder: &Path, accounts: impl Iterator<Item = &'a Account>) -> std::io::Result<()> {
    let done: Vec<_> = accounts.filter(|account| account.state == State::Done).collect();
    let new: PathBuf = folder.join(format!("{NAME}.new"));
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(&done)?)?;
    file.sync_all()?;
    std::fs::rename(new, folder.join(NAME))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_is_done_is_known_again_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), []);
        let account = |id: &str, state: State| {
            let mut account = Account::new(id, false, Timestamp::UNIX_EPOCH);
            account.state = state;
            account
        };
        let all = [
            account("1", State::Running),
            account("2", State::Done),
            account("3", State::Failed),
        ];
        write(dir.path(), all.iter()).unwrap();
        assert_eq!(read(dir.path()), [account("2", State::Done)]);
        std::fs::write(dir.path().join(NAME), "[{").unwrap();
        assert_eq!(read(dir.path()), []);
        std::fs::write(dir.path().join(NAME), vec![b' '; 3 << 20]).unwrap();
        assert_eq!(read(dir.path()), []);
    }
}
