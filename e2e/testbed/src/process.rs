//! A child process with its log in a file, ended with the test that started it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Lines of a log in a failure message.
const LAST_LINES: usize = 60;

/// What an HTTP client says of its connections: it would be all that is left at the end of a log.
fn is_chatter(line: &str) -> bool {
    ["pooling idle connection", "reuse idle connection"]
        .iter()
        .any(|words| line.contains(words))
}

pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it prints appended to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output =
            |log: &Path| -> io::Result<File> { OpenOptions::new().create(true).append(true).open(log) };
        let started = output(log).and_then(|out| {
            let err = out.try_clone()?;
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn()
        });
        match started {
            Ok(child) => Self {
                name: name.to_owned(),
                child,
                log: log.to_owned(),
            },
            Err(error) => panic!("cannot start {name} ({command:?}): {error}"),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // The child is not reaped before `wait`, so the number is still its own. It may have ended already.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// SIGTERM, and SIGKILL when it has not ended within `patience`. True when it ended by itself.
    pub(crate) fn stop(&mut self, patience: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < patience {
            if self.exited().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        false
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of the log, for a failure message.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !is_chatter(line)).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// Asks until `ready` is `Ok`; a process that ends meanwhile is not waited for.
    pub(crate) async fn await_ready<F>(&mut self, deadline: Duration, ready: F)
    where
        F: AsyncFn() -> Result<(), String>,
    {
        let start = Instant::now();
        loop {
            let last = match ready().await {
                Ok(()) => return,
                Err(last) => last,
            };
            if let Some(status) = self.exited() {
                panic!("{} ended ({status}) instead of getting ready", self.name);
            }
            assert!(
                start.elapsed() < deadline,
                "{} is not ready after {deadline:?}: {last}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- end of the log of {} ----\n{}", self.name, self.log_tail());
        }
        // The test is over: nobody needs an orderly end, and Garage takes ten seconds for one.
        self.kill();
    }
}
