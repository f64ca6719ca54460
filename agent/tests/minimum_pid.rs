//! `--minimum-pid` in a PID namespace of its own, as a container has: the agent is started again under a higher number,
//! and the first process is only its messenger.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{golden_dir, open};
use tempfile::TempDir;
use zonetide_testbed::eventually;

const SOON: Duration = Duration::from_secs(30);
const MINIMUM: u32 = 50;

struct Container {
    dir: TempDir,
    namespace: Vec<&'static str>,
}

impl Container {
    /// `None`, and a word about it, where no namespace may be made.
    fn new() -> Option<Self> {
        let privileged = ["--pid", "--fork", "--kill-child"].to_vec();
        let unprivileged = [&["--user", "--map-root-user"], privileged.as_slice()].concat();
        let works = |namespace: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(namespace).arg("true").stderr(Stdio::null());
            unshare.status().is_ok_and(|status| status.success())
        };
        let Some(namespace) = [privileged, unprivileged]
            .into_iter()
            .find(|namespace| works(namespace))
        else {
            eprintln!("NOT RUN: --minimum-pid: `unshare` can make no PID namespace here");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(
            golden_dir().join("lmdb-a/pdns.lmdb"),
            dir.path().join("pdns.lmdb"),
        )
        .unwrap();
        let config = "instance: own
lmdb_poll_interval: 1h
lmdbs:
  main: {path: pdns.lmdb, schema_tracks_changes: true, options: {no_subdir: true, map_size: 16MB}}
storage: {type: fs, options: {root_path: store}}
";
        std::fs::write(dir.path().join("agent.yaml"), config).unwrap();
        Some(Self { dir, namespace })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, args: &[&str]) -> Child {
        let log = File::create(self.path("log")).unwrap();
        let mut unshare = Command::new("unshare");
        unshare
            .args(&self.namespace)
            .arg(env!("CARGO_BIN_EXE_zonetide-agent"));
        unshare.args(["--config", "agent.yaml", "--minimum-pid", &MINIMUM.to_string()]);
        unshare.args(args).current_dir(self.dir.path());
        unshare.stdout(log.try_clone().unwrap()).stderr(log);
        unshare.spawn().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn deltas(&self) -> usize {
        std::fs::read_dir(self.path("store/zonetide/delta/main")).map_or(0, Iterator::count)
    }

    fn snapshots(&self) -> usize {
        let files = std::fs::read_dir(self.path("store")).into_iter().flatten();
        files
            .filter(|file| file.as_ref().unwrap().path().is_file())
            .count()
    }
}

/// The only child of a process.
fn child_of(pid: u32) -> Result<u32, String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.map_err(|error| error.to_string())?;
    children
        .trim()
        .parse()
        .map_err(|_| format!("children of {pid}: {children:?}"))
}

/// The number that a process has in its own namespace.
fn inner_number(pid: u32) -> u32 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    numbers.split_whitespace().next_back().unwrap().parse().unwrap()
}

#[tokio::test]
async fn sigterm_and_sigint_reach_the_agent_which_stores_the_last_change() {
    for told in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(container) = Container::new() else { return };
        let mut unshare = container.start(&["sync"]);
        eventually(SOON, "the database is stored", async || {
            match container.snapshots() {
                1 => Ok(()),
                _ => Err(container.log()),
            }
        })
        .await;
        let messenger = child_of(unshare.id()).unwrap();
        assert_eq!(inner_number(messenger), 1);
        let agent = child_of(messenger).unwrap();
        assert!(inner_number(agent) >= MINIMUM, "{}", inner_number(agent));

        let env = open(&container.path("pdns.lmdb"));
        env.write(|writer| {
            let dbi = writer.dbi("pdns")?;
            writer.put(&dbi, b"late", 1, false, b"1")
        })
        .unwrap();
        kill(Pid::from_raw(i32::try_from(messenger).unwrap()), told).unwrap();
        let ended = unshare.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", container.log());
        assert_eq!(container.deltas(), 2, "{told}: {}", container.log());
    }
}

#[test]
fn the_exit_code_of_the_agent_is_passed_on() {
    let Some(container) = Container::new() else { return };
    let code = container
        .start(&["--timeout", "1s", "sync"])
        .wait()
        .unwrap()
        .code();
    assert_eq!(code, Some(75), "{}", container.log());
    std::fs::remove_file(container.path("pdns.lmdb")).unwrap();
    let code = container.start(&["stats"]).wait().unwrap().code();
    assert_eq!(code, Some(1), "{}", container.log());
}
