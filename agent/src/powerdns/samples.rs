//! Names of a few zones that PowerDNS serves, in a file beside its control socket: a probe that opens no database asks
//! PowerDNS about them.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::content::keys::presented;
use crate::content::zone_labels;
use crate::lmdb::{Environment, LmdbError};

/// The file, in the directory of the control socket: a name on each line.
const FILE: &str = "zonetide-zones";
/// Enough to tell that PowerDNS fails from that one zone does.
const MOST: usize = 5;
/// Longest name, each byte of it escaped.
const LONGEST: usize = 255 * 4;
/// How often it is looked at whether zones have changed. One that is gone is refused, which is an answer as well.
const LOOK: Duration = Duration::from_secs(60);
/// Entries read for it at most, so that nobody waits.
const ENTRIES: usize = 50_000;

/// The names in the file, none if there is no file.
pub fn read(directory: &Path) -> Vec<String> {
    let mut text = String::new();
    let file = std::fs::File::open(directory.join(FILE));
    let limit = (MOST * (LONGEST + 1)) as u64;
    // What is no text has no names.
    let _ = file.and_then(|file| file.take(limit).read_to_string(&mut text));
    text.lines()
        .filter(|name| !name.is_empty())
        .take(MOST)
        .map(str::to_owned)
        .collect()
}

/// Keeps the file of a main database true, about once a minute, until `shutdown` is cancelled.
pub async fn keep(main: Arc<Environment>, directory: PathBuf, shutdown: CancellationToken) {
    let mut looked = None;
    loop {
        let (txn, last) = (main.last_txn_id(), looked.as_ref());
        if last.is_none_or(|(at, _)| *at != txn) {
            let (main, directory) = (main.clone(), directory.clone());
            let written = last.map(|(_, names): &(u64, Vec<String>)| names.clone());
            match spawn_blocking(move || update(&main, &directory, written.as_deref())).await {
                Ok(Ok(names)) => looked = Some((txn, names)),
                Ok(Err(error)) => tracing::warn!(%error, "cannot name zones for the probe of PowerDNS"),
                Err(_) => tracing::warn!("naming zones for the probe of PowerDNS crashed"),
            }
        }
        let pause = tokio::time::sleep(LOOK);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Writes the file unless it says that already.
fn update(main: &Environment, directory: &Path, written: Option<&[String]>) -> anyhow::Result<Vec<String>> {
    let names = served(main)?;
    if written != Some(names.as_slice()) {
        write(directory, &names)?;
    }
    Ok(names)
}

/// Writes the file as a whole.
fn write(directory: &Path, names: &[String]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    for name in names {
        writeln!(file, "{name}")?;
    }
    file.persist(directory.join(FILE)).map_err(|error| error.error)?;
    Ok(())
}

/// Why the zones were not read to the end.
enum Stop {
    Enough,
    Lmdb(LmdbError),
}

impl From<LmdbError> for Stop {
    fn from(error: LmdbError) -> Self {
        Self::Lmdb(error)
    }
}

/// The first zones of a main database.
fn served(main: &Environment) -> Result<Vec<String>, LmdbError> {
    let reader = main.begin_read()?;
    let mut names = Vec::new();
    if let Some(domains) = reader.dbi("domains_v5")? {
        let mut entries = 0;
        let visited = reader.for_each(&domains, |_, header, value| {
            let name = zone_labels(value).filter(|_| !header.deleted).map(presented);
            names.extend(name);
            entries += 1;
            if names.len() == MOST || entries == ENTRIES {
                return Err(Stop::Enough);
            }
            Ok(())
        });
        if let Err(Stop::Lmdb(error)) = visited {
            return Err(error);
        }
    }
    reader.finish()?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::samples::zone;
    use crate::lmdb::OpenOptions;

    fn main_database(dir: &Path) -> Arc<Environment> {
        let options = OpenOptions::of_a_new_file(10 << 20);
        Arc::new(Environment::open(&dir.join("pdns.lmdb"), &options).unwrap())
    }

    fn put(main: &Environment, id: u32, deleted: bool, value: &[u8]) {
        main.write(|writer| {
            let domains = writer.dbi("domains_v5")?;
            writer.put(&domains, &id.to_be_bytes(), 1, deleted, value)
        })
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_follows_the_zones_and_has_five_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let main = main_database(dir.path());
        put(&main, 1, true, b"");
        put(&main, 2, false, b"of a later PowerDNS");
        put(
            &main,
            3,
            false,
            &zone(b"\x04a\x20b\x0a\x07example\0", 3, 0, 0, b""),
        );
        let keeping = tokio::spawn(keep(
            main.clone(),
            dir.path().to_owned(),
            CancellationToken::new(),
        ));
        let first = ["a\\032b\\010.example."];
        while read(dir.path()) != first {
            tokio::task::yield_now().await;
        }
        for id in 4..20 {
            put(&main, id, false, &zone(b"\x04zone\0", id, 0, 0, b""));
        }
        while read(dir.path()).len() < MOST {
            tokio::time::sleep(LOOK).await;
        }
        assert_eq!(read(dir.path())[..2], [first[0], "zone."]);
        keeping.abort();
    }

    #[test]
    fn without_a_file_or_with_one_that_is_no_text_there_are_no_names() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).is_empty());
        std::fs::write(dir.path().join(FILE), vec![0xff; 100_000]).unwrap();
        assert!(read(dir.path()).is_empty());
        std::fs::write(dir.path().join(FILE), "x\n".repeat(100_000)).unwrap();
        assert_eq!(read(dir.path()).len(), MOST);
        write(dir.path(), &["zone.".to_owned()]).unwrap();
        assert_eq!(read(dir.path()), ["zone."]);
    }
}
