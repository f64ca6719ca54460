//! A process that must not outlive the one that started it.

use anyhow::Context as _;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// The variable of the environment with the ID of the process that a process must not outlive.
pub const PARENT: &str = "ZONETIDE_PARENT";

/// Has the kernel kill this process when the one that started it ends, if that one asked for it in the environment. The one
/// that starts must do so on its main thread, since it is the thread's end that counts.
///
/// # Errors
/// That it has ended already.
pub fn die_with_parent() -> anyhow::Result<()> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|id| id.parse::<i32>().ok()) else {
        return Ok(());
    };
    set_pdeathsig(Signal::SIGKILL).context("cannot tie this process to the one that started it")?;
    // It may have ended before that.
    anyhow::ensure!(
        getppid().as_raw() == parent,
        "process {parent}, which started this one, has ended"
    );
    Ok(())
}
