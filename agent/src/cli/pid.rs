//! `--minimum-pid`: the answer to containers that each count processes from 1.
//!
//! LMDB tells readers apart by process ID. Where agent and PowerDNS are in PID namespaces of their own, both may be
//! process 1 and take each other's reader slot. Sharing the namespace is the cure; this makes a clash unlikely where
//! that cannot be had.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::supervise::PARENT;

/// More is a mistake: processes are counted up one by one.
const LARGEST: u32 = 200;
/// Tells the agent that was started again that it need not look.
const CHECKED: &str = "ZONETIDE_NO_PID_CHECK";

/// Runs the agent again as a process of at least this ID, if it is not one. Returns how that one ended; `None` when
/// this process may go on itself.
pub(super) fn ensure(minimum: u32) -> anyhow::Result<Option<ExitCode>> {
    let own = std::process::id();
    let Some(missing) = missing(own, minimum) else {
        return Ok(None);
    };
    if std::env::var_os(CHECKED).is_some() {
        tracing::warn!(
            pid = own,
            minimum,
            "this process ID is too low, and another start did not help"
        );
        return Ok(None);
    }
    tracing::info!(pid = own, minimum, "counting process IDs up, then starting again");
    for _ in 0..missing {
        // Each takes an ID and ends, whether there is such a program or not.
        let _ = Command::new("/nonexistent").status();
    }
    let program = std::env::current_exe().context("cannot find the own program for --minimum-pid")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_again(&program)).map(Some)
}

/// How many IDs are missing; `None`: enough.
fn missing(own: u32, minimum: u32) -> Option<u32> {
    minimum
        .min(LARGEST)
        .checked_sub(own)
        .filter(|missing| *missing > 0)
}

/// Runs the agent as a child, passes on what this process is told, and returns how it ended.
async fn run_again(program: &std::path::Path) -> anyhow::Result<ExitCode> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut child = tokio::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(CHECKED, "1")
        // A supervisor that kills this process means the agent.
        .env(PARENT, std::process::id().to_string())
        .spawn()
        .context("cannot start again for --minimum-pid")?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    loop {
        let told = tokio::select! {
            status = child.wait() => {
                let code = status?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            _ = term.recv() => Signal::SIGTERM,
            _ = int.recv() => Signal::SIGINT,
        };
        if let Some(pid) = pid {
            // It has not been waited for, so the ID is still its own.
            let _ = kill(pid, told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_id_below_the_minimum_needs_another_start() {
        assert_eq!(missing(1, 0), None);
        assert_eq!(missing(50, 50), None);
        assert_eq!(missing(1, 50), Some(49));
        assert_eq!(missing(1, 100_000), Some(199));
        assert_eq!(missing(300, 100_000), None);
    }
}
