//! Which release of PowerDNS runs beside the agent.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::control::{Command, Control};
use crate::status::PowerDnsStatus;

/// From one question to the next, until it is known and then.
const UNKNOWN: Duration = Duration::from_secs(1);
const KNOWN: Duration = Duration::from_secs(30);

/// Asks again and again, until `shutdown` is cancelled: another image may run there the next time.
pub async fn watch_version(control: Control, status: PowerDnsStatus, shutdown: CancellationToken) {
    let asking = async {
        loop {
            match control.ask(&Command::Version).await {
                // Builds of others may say more.
                Ok(answer) => status.runs(answer.split_whitespace().next().map(str::to_owned)),
                Err(error) if error.is_absence() => status.runs(None),
                // It may be busy, and is no other for that.
                Err(error) => tracing::debug!(%error, "PowerDNS does not say its version"),
            }
            let known = status.version().is_some();
            tokio::time::sleep(if known { KNOWN } else { UNKNOWN }).await;
        }
    };
    shutdown.run_until_cancelled(asking).await;
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::super::control::tests::powerdns;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_version_is_known_while_powerdns_runs_and_another_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pdns.controlsocket");
        let (status, shutdown) = (PowerDnsStatus::default(), CancellationToken::new());
        let watch = watch_version(Control::new(path.clone()), status.clone(), shutdown.clone());
        let watch = tokio::spawn(watch);
        let mut told = powerdns(UnixListener::bind(&path).unwrap(), |_| "5.1.5".into());
        told.recv().await.unwrap();
        status.known().await;
        assert_eq!(status.version().as_deref(), Some("5.1.5"));
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(KNOWN * 2).await;
        assert_eq!(status.version(), None, "it is gone");
        shutdown.cancel();
        watch.await.unwrap();
    }
}
