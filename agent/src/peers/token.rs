//! The token that agents of one cluster share. A file may hold several, a line each: the first is sent, all are accepted,
//! so that a new one can be brought in without a moment in which agents refuse each other.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::HeaderValue;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{PeersError, lock};

const SHORTEST: usize = 16;
const LONGEST: usize = 512;
const MOST: usize = 8;
/// Wrong tokens make the file be read at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the token is from.
#[derive(Clone)]
pub enum TokenSource {
    Text(String),
    /// Read again when it changes.
    File(PathBuf),
}

// The derived form would print the token.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl TokenSource {
    fn read(&self) -> Result<Vec<String>, PeersError> {
        let (origin, text) = match self {
            Self::Text(text) => ("peers.token".to_owned(), text.clone()),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| PeersError::TokenFile {
                    path: path.clone(),
                    error,
                })?;
                (format!("peers.token_file {}", path.display()), text)
            }
        };
        parse(&text).map_err(|reason| PeersError::Token { origin, reason })
    }
}

/// The tokens of a text, without ever quoting it.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Vec<_> = lines.map(str::to_owned).collect();
    if tokens.is_empty() {
        return Err(
            "holds no token: write a random one into it, such as `openssl rand -hex 32` makes".to_owned(),
        );
    }
    if tokens.len() > MOST {
        return Err(format!(
            "holds more than {MOST} tokens, a line each: remove old ones"
        ));
    }
    for (index, token) in tokens.iter().enumerate() {
        let number = index + 1;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "token {number} has characters other than ASCII letters, digits and signs: make another one"
            ));
        }
        if !(SHORTEST..=LONGEST).contains(&token.len()) {
            return Err(format!(
                "token {number} has {} characters: make one with {SHORTEST} to {LONGEST}",
                token.len()
            ));
        }
    }
    Ok(tokens)
}

struct Reading {
    tokens: Arc<Vec<String>>,
    read: Instant,
    failing: bool,
}

/// The tokens as last read.
pub(super) struct Tokens {
    source: TokenSource,
    reading: Mutex<Reading>,
}

impl Tokens {
    pub(super) fn read(source: TokenSource) -> Result<Self, PeersError> {
        let tokens = Arc::new(source.read()?);
        let reading = Reading {
            tokens,
            read: Instant::now(),
            failing: false,
        };
        Ok(Self {
            source,
            reading: Mutex::new(reading),
        })
    }

    /// Reads the file again. One that cannot be used leaves the old tokens.
    pub(super) fn renew(&self) {
        let TokenSource::File(path) = &self.source else {
            return;
        };
        // Read under the lock, or a slow reader would put back what a quicker one has replaced.
        let mut reading = lock(&self.reading);
        let read = self.source.read();
        reading.read = Instant::now();
        match read {
            Ok(tokens) if *reading.tokens != tokens => {
                tracing::info!(file = %path.display(), tokens = tokens.len(), "the token of the peers changed and is used");
                reading.tokens = Arc::new(tokens);
                reading.failing = false;
            }
            Ok(_) => reading.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut reading.failing, true) {
                    tracing::warn!(%error, "the old token of the peers stays in use");
                }
            }
        }
    }

    /// What is sent: `Bearer` and the first token.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let tokens = lock(&self.reading).tokens.clone();
        let mut header = HeaderValue::from_str(&format!("Bearer {}", tokens.first()?)).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// The content of an `Authorization` header has one of the tokens. The time it takes does not tell how much of it is
    /// right.
    pub(super) fn accepts(&self, header: &[u8]) -> bool {
        let Some(given) = header.strip_prefix(b"Bearer ") else {
            return false;
        };
        let (tokens, read) = {
            let reading = lock(&self.reading);
            (reading.tokens.clone(), reading.read)
        };
        if is_one_of(given, &tokens) {
            return true;
        }
        if read.elapsed() >= PAUSE {
            self.renew();
        }
        // Others may have read it in the meantime.
        let tokens = lock(&self.reading).tokens.clone();
        is_one_of(given, &tokens)
    }
}

fn is_one_of(given: &[u8], tokens: &[String]) -> bool {
    let matching = tokens
        .iter()
        .map(|token| token.as_bytes().ct_eq(given))
        .fold(subtle::Choice::from(0), |any, one| any | one);
    matching.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-old-old-old-old";
    const NEW: &str = "new-new-new-new-new";

    fn bearer(token: &str) -> Vec<u8> {
        format!("Bearer {token}").into_bytes()
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_quoted() {
        for (text, part) in [
            ("\n \n", "no token"),
            ("short", "token 1 has 5 characters"),
            (
                "0123456789abcdef\nwith space 0123456789",
                "token 2 has characters",
            ),
            (&"0123456789abcdef\n".repeat(9), "more than 8"),
        ] {
            let error = Tokens::read(TokenSource::Text(text.to_owned())).err().unwrap();
            let error = error.to_string();
            assert!(
                error.contains(part) && error.starts_with("peers.token"),
                "{error}"
            );
            assert!(
                !error.contains("short") && !error.contains("with space"),
                "{error}"
            );
        }
        assert_eq!(format!("{:?}", TokenSource::Text(OLD.into())), "***");
    }

    #[test]
    fn only_a_whole_token_is_accepted() {
        let tokens = Tokens::read(TokenSource::Text(format!("{OLD}\n{NEW}\n"))).unwrap();
        assert!(tokens.accepts(&bearer(OLD)) && tokens.accepts(&bearer(NEW)));
        for wrong in ["", &OLD[1..], &format!("{OLD}x"), &format!("{OLD}\n{NEW}")] {
            assert!(!tokens.accepts(&bearer(wrong)), "{wrong}");
        }
        assert!(!tokens.accepts(OLD.as_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_when_a_newer_one_is_given_and_a_bad_file_leaves_the_old_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, OLD).unwrap();
        let tokens = Tokens::read(TokenSource::File(path.clone())).unwrap();
        std::fs::write(&path, format!("{NEW}\n{OLD}\n")).unwrap();
        assert!(
            !tokens.accepts(&bearer(NEW)),
            "the file is not read for every wrong token"
        );
        tokio::time::advance(PAUSE).await;
        assert!(tokens.accepts(&bearer(NEW)) && tokens.accepts(&bearer(OLD)));
        assert_eq!(tokens.header().unwrap().as_bytes(), bearer(NEW));
        std::fs::write(&path, "short").unwrap();
        tokens.renew();
        assert!(tokens.accepts(&bearer(NEW)));
        std::fs::remove_file(&path).unwrap();
        tokens.renew();
        assert!(tokens.accepts(&bearer(OLD)));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Tokens::read(TokenSource::File("/nowhere/token".into()))
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }
}
