//! An agent with a directory as its store, what is put into either, and volumes that can be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tempfile::TempDir;
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_agent::snapshot::{GENERATION, Meta, SnapshotName};
use zonetide_agent::sync::dump;
use zonetide_testbed::{Agent, eventually};

/// It tries again every 500 ms; the rest is room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The DBI of PowerDNS' records, with entries that belong to no zone.
const DBI: &str = "records";

/// An agent, its store and its database.
pub(crate) struct Bench {
    pub(crate) agent: Agent,
    database: PathBuf,
    store: PathBuf,
    /// Last, so that the agent has ended before.
    _dir: TempDir,
}

impl Bench {
    /// With everything in a directory of its own.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, store) = (dir.path().join("data"), dir.path().join("store"));
        Self::at(dir, &data, &store)
    }

    /// With the database and the store in these folders.
    pub(crate) fn at(dir: TempDir, data: &Path, store: &Path) -> Self {
        std::fs::create_dir_all(store).unwrap();
        let database = data.join("pdns.lmdb");
        let agent = Agent::new(env!("CARGO_BIN_EXE_zonetide-agent"), "own", &database, store);
        Self {
            agent,
            database,
            store: store.to_owned(),
            _dir: dir,
        }
    }

    /// The file of PowerDNS' records, which the agent calls `shard`.
    pub(crate) fn records(&self) -> PathBuf {
        self.database.with_extension("lmdb-0")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.database.with_extension("lmdb-0-lock")
    }

    /// Another instance stores a snapshot of records with so many values of 1 KiB that no compression makes smaller.
    pub(crate) fn other_instance_stores(&self, values: usize) {
        let dir = tempfile::tempdir().unwrap();
        let env = new_database(&dir.path().join("other"), values);
        let timestamp = 1_795_510_850_000_000_000;
        let meta = Meta {
            generation: GENERATION.into(),
            instance: "other".into(),
            database: "shard".into(),
            timestamp,
            ..Meta::default()
        };
        let mut snapshot = dump(&env, &meta).unwrap();
        std::io::Seek::rewind(&mut snapshot.object).unwrap();
        let name = SnapshotName::new("shard", "other", timestamp).unwrap();
        // Nobody must see half of it.
        let partial = self.store.join("partial");
        std::io::copy(&mut snapshot.object, &mut File::create(&partial).unwrap()).unwrap();
        std::fs::rename(partial, self.store.join(name.as_str())).unwrap();
    }

    pub(crate) async fn status(&self) -> Result<Value, String> {
        let status = self.agent.http().get_text("/status").await;
        Ok(serde_json::from_str(&status.map_err(|error| error.to_string())?).unwrap())
    }

    /// Waits until a database has this condition, and returns its text.
    pub(crate) async fn comes_to_complain(&mut self, database: &str, condition: &str) -> String {
        let what = format!("{database} has the condition {condition}");
        let text = eventually(SOON, &what, async || {
            let status = self.status().await?;
            let text = &status["databases"][database]["conditions"][condition]["text"];
            text.as_str().map(str::to_owned).ok_or_else(|| status.to_string())
        })
        .await;
        assert!(
            self.agent.is_running(),
            "the agent has ended:\n{}",
            self.agent.log()
        );
        text
    }

    /// Waits until one of a database's checks fails, and returns its text.
    pub(crate) async fn comes_to_fail(&mut self, database: &str, check: &str) -> String {
        let what = format!("{database} fails {check}");
        let text = eventually(SOON, &what, async || {
            let status = self.status().await?;
            let text = &status["databases"][database]["failing"][check]["last_error"];
            text.as_str().map(str::to_owned).ok_or_else(|| status.to_string())
        })
        .await;
        assert!(
            self.agent.is_running(),
            "the agent has ended:\n{}",
            self.agent.log()
        );
        text
    }

    pub(crate) async fn comes_to_have_stored_everything(&self, database: &str) {
        eventually(SOON, "everything is stored", async || {
            let status = self.status().await?;
            let database = &status["databases"][database];
            if database["unsynced"] == false && database["stored"].is_object() {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
    }

    /// Waits until nothing fails and nothing is complained of, and everything in the store is merged.
    pub(crate) async fn comes_to_be_well(&self) {
        eventually(SOON, "the agent is well", async || {
            let status = self.status().await?;
            let quiet = |database: &Value| {
                ["conditions", "failing"]
                    .iter()
                    .all(|field| database[field].as_object().is_some_and(serde_json::Map::is_empty))
            };
            let databases = status["databases"].as_object().unwrap();
            if status["ready"] == true && status["health"]["ok"] == true && databases.values().all(quiet) {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
    }

    /// Entries of the records.
    pub(crate) fn entries(&self) -> usize {
        let env = Environment::open(&self.records(), &options(false)).unwrap();
        count(&env)
    }
}

/// An answer that is not 200, with its text.
pub(crate) async fn refusal(agent: &Agent, path: &str) -> String {
    let answer = agent.http().get_text(path).await;
    answer.expect_err("an answer other than 200").to_string()
}

fn options(create: bool) -> OpenOptions {
    OpenOptions {
        map_size: 64 << 20,
        max_dbs: 64,
        create,
        no_subdir: true,
    }
}

fn count(env: &Environment) -> usize {
    let mut count = 0;
    env.read(|reader| {
        let Some(dbi) = reader.dbi(DBI)? else {
            return Ok(());
        };
        reader.for_each(&dbi, |_, _, _| {
            count += 1;
            Ok::<(), LmdbError>(())
        })
    })
    .unwrap();
    count
}

/// A database of records with so many random values of 1 KiB.
pub(crate) fn new_database(path: &Path, values: usize) -> Environment {
    let env = Environment::open(path, &options(true)).unwrap();
    add(&env, values);
    env
}

/// Adds values to a database.
fn add(env: &Environment, values: usize) {
    let mut random = StdRng::seed_from_u64(1);
    env.write(|writer| {
        let dbi = writer.dbi(DBI)?;
        for number in 0..values {
            let value: [u8; 1024] = random.random();
            writer.put(&dbi, format!("{number:08}").as_bytes(), 1, false, &value)?;
        }
        Ok::<(), LmdbError>(())
    })
    .unwrap();
}

/// A volume of its own in memory, of which nothing is left when it goes.
pub(crate) struct Volume {
    pub(crate) path: PathBuf,
}

impl Volume {
    /// `None`, and a word about it, where nothing may be mounted.
    pub(crate) fn mount(dir: &Path, bytes: usize) -> Option<Self> {
        let path = dir.join("volume");
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={bytes},mode=0777");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path);
        let mounted = mount.output().unwrap();
        if mounted.status.success() {
            return Some(Self { path });
        }
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!(
            "NOT RUN: {test} needs root to mount a volume: {}",
            String::from_utf8_lossy(&mounted.stderr).trim()
        );
        None
    }

    pub(crate) fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.path);
        assert!(mount.status().unwrap().success(), "cannot mount it {how}");
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .unwrap();
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whoever still has a file there is about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
