//! Just enough of HTTP/1.1 to tell one message from the next: heads as bytes, bodies by their length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The first line and the headers of a message.
pub(crate) struct Head {
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        Ok(Self {
            first,
            headers: headers.collect(),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers
            .retain(|(header, _)| !header.eq_ignore_ascii_case(name));
    }

    pub(crate) fn length(&self) -> usize {
        self.get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{}\r\n{}\r\n", self.first, headers.collect::<String>()).into_bytes()
    }
}

/// Reads a head, and whatever of the body came with it. `None`: the connection has ended.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = end_of_head(&bytes) {
            let rest = bytes.split_off(end);
            return Ok(Some((Head::parse(&bytes)?, rest)));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Takes an answer apart.
pub(crate) fn split(mut answer: Vec<u8>) -> io::Result<(Head, Vec<u8>)> {
    let end =
        end_of_head(&answer).ok_or_else(|| io::Error::other("the store's answer has no end of its head"))?;
    let body = answer.split_off(end);
    Ok((Head::parse(&answer)?, body))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(END_OF_HEAD.len());
    Some(windows.position(|window| window == END_OF_HEAD)? + END_OF_HEAD.len())
}
