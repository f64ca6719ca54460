//! PowerDNS' control socket: one command a connection, one line, and the answer until PowerDNS closes it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// PowerDNS takes one command at a time, and another may be before ours.
const PATIENCE: Duration = Duration::from_secs(10);
/// Reading the list of zones takes as long as it is long.
const PATIENCE_FOR_ZONES: Duration = Duration::from_secs(60);
/// More than any of its answers to us.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Empties the caches of names, and of all below those that end in `$`.
    Purge(Vec<String>),
    PurgeAll,
    /// Reads the list of zones.
    Rediscover,
    /// Says which release it is.
    Version,
}

impl Command {
    pub(super) fn line(&self) -> String {
        match self {
            Self::Purge(names) => format!("PURGE {}", names.join(" ")),
            Self::PurgeAll => "PURGE".to_owned(),
            Self::Rediscover => "REDISCOVER".to_owned(),
            Self::Version => "VERSION".to_owned(),
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Rediscover => PATIENCE_FOR_ZONES,
            _ => PATIENCE,
        }
    }

    /// `PURGE` says how many answers were dropped, `REDISCOVER` begins with this word, `VERSION` has a word like `5.1.5`.
    fn is_done(&self, answer: &str) -> bool {
        match self {
            Self::Rediscover => answer.starts_with("Ok"),
            Self::Version => !answer.trim().is_empty() && !answer.starts_with("Unknown command"),
            _ => answer.trim().parse::<u64>().is_ok(),
        }
    }
}

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    #[error("PowerDNS does not answer on {}: {error}; is it running, and is this its socket?", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("PowerDNS did not answer on {} within {patience:?}", path.display())]
    Timeout { path: PathBuf, patience: Duration },
    #[error("PowerDNS answered {answer:?} to {command} on {}: is this the socket of an authoritative server?", path.display())]
    Answer {
        path: PathBuf,
        command: &'static str,
        answer: String,
    },
}

impl ControlError {
    /// Nobody listens there.
    pub(super) fn is_absence(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Self::Io { error, .. } if matches!(error.kind(), NotFound | ConnectionRefused))
    }
}

/// A PowerDNS, by its control socket.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Has a command carried out.
    ///
    /// # Errors
    /// [`ControlError`]; whether PowerDNS has done it is not known then.
    pub(super) async fn send(&self, command: &Command) -> Result<(), ControlError> {
        self.ask(command).await.map(drop)
    }

    /// The same, with the answer.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn ask(&self, command: &Command) -> Result<String, ControlError> {
        let patience = command.patience();
        let answer = tokio::time::timeout(patience, self.exchange(command)).await;
        let answer = answer
            .map_err(|_| ControlError::Timeout {
                path: self.path.clone(),
                patience,
            })?
            .map_err(|error| ControlError::Io {
                path: self.path.clone(),
                error,
            })?;
        if command.is_done(&answer) {
            return Ok(answer.trim().to_owned());
        }
        Err(ControlError::Answer {
            path: self.path.clone(),
            command: match command {
                Command::Rediscover => "REDISCOVER",
                Command::Version => "VERSION",
                Command::Purge(_) | Command::PurgeAll => "PURGE",
            },
            answer: answer.chars().take(200).collect(),
        })
    }

    async fn exchange(&self, command: &Command) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.path).await?;
        stream
            .write_all(format!("{}\n", command.line()).as_bytes())
            .await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    /// A PowerDNS that answers each command by `answer`, and hands the commands on.
    pub(in super::super) fn powerdns(
        listener: UnixListener,
        answer: impl Fn(&str) -> String + Send + 'static,
    ) -> tokio::sync::mpsc::UnboundedReceiver<String> {
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let line = line.trim_end().to_owned();
                stream.write_all(answer(&line).as_bytes()).await.unwrap();
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        told
    }

    #[tokio::test]
    async fn a_command_is_a_line_and_its_answer_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pdns.controlsocket");
        let control = Control::new(path.clone());
        let gone = control.send(&Command::PurgeAll).await.unwrap_err();
        assert!(matches!(gone, ControlError::Io { .. }), "{gone}");

        let mut told = powerdns(UnixListener::bind(&path).unwrap(), |line| match line {
            "REDISCOVER" => "Ok".into(),
            "VERSION" => "5.1.5".into(),
            "PURGE" => "Unknown command: 'PURGE'".into(),
            _ => "17\n".into(),
        });
        let purge = Command::Purge(vec!["a.example.".into(), "z.example.$".into()]);
        control.send(&purge).await.unwrap();
        control.send(&Command::Rediscover).await.unwrap();
        assert_eq!(control.ask(&Command::Version).await.unwrap(), "5.1.5");
        let wrong = control.send(&Command::PurgeAll).await.unwrap_err();
        assert!(wrong.to_string().contains("Unknown command"), "{wrong}");
        assert_eq!(told.recv().await.unwrap(), "PURGE a.example. z.example.$");
        assert_eq!(told.recv().await.unwrap(), "REDISCOVER");
        assert_eq!(told.recv().await.unwrap(), "VERSION");
        assert_eq!(told.recv().await.unwrap(), "PURGE");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pdns.controlsocket");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = Control::new(path).send(&Command::PurgeAll).await.unwrap_err();
        assert!(matches!(error, ControlError::Timeout { .. }), "{error}");
    }
}
