//! A DNS client that asks one server one question and shows what came back, unlike a resolver.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

pub use hickory_proto::op::ResponseCode as Code;
pub use hickory_proto::rr::RecordType as Type;

use crate::net::{BoxStream, Dialer};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("{name} is no domain name: {reason}")]
    Name { name: String, reason: String },
    #[error("no answer about {question} within {TIMEOUT:?}")]
    Timeout { question: String },
    /// Nothing answered: refused, reset or closed early. Not a wrong answer.
    #[error("no answer about {question}: {source}")]
    Io { question: String, source: io::Error },
    #[error("the answer about {question} is no DNS message: {reason}")]
    Decode { question: String, reason: String },
    #[error("the answer about {question} is to another question")]
    Mismatch { question: String },
}

impl DnsError {
    /// True when no server answered, false when one answered wrongly.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Io { .. })
    }
}

/// What a server said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: ResponseCode,
    pub authoritative: bool,
    /// The answer section, in the server's order.
    pub records: Vec<Record>,
    /// The authority and additional sections, in the server's order.
    pub others: Vec<Record>,
    /// From the question to the answer, without the time to connect.
    pub took: Duration,
    asked: RecordType,
}

impl Answer {
    /// The data of the records of the type asked for, as in a zone file, sorted.
    pub fn values(&self) -> Vec<String> {
        let mut values: Vec<String> = self
            .records
            .iter()
            .filter(|record| record.record_type() == self.asked)
            .map(|record| record.data.to_string())
            .collect();
        values.sort();
        values
    }

    /// All that it says, for a comparison: the code, whether it is authoritative, and every record but the data of signatures,
    /// which differ from one time to the next.
    pub fn gist(&self) -> Vec<String> {
        let all = self.records.iter().chain(&self.others);
        let mut gist: Vec<String> = all
            .map(|record| {
                let (kind, data) = (record.record_type(), record.data.to_string());
                let data = if kind == RecordType::RRSIG { "" } else { &data };
                format!("{} {} {kind} {data}", record.name, record.ttl)
            })
            .collect();
        gist.sort();
        gist.insert(0, format!("{} {}", self.code, self.authoritative));
        gist
    }

    /// `Ok` when the answer is authoritative, without error, and holds just these values, in any order.
    pub fn expect(&self, values: &[&str]) -> Result<(), String> {
        let mut wanted: Vec<&str> = values.to_vec();
        wanted.sort_unstable();
        let found = self.values();
        if self.code == ResponseCode::NoError && self.authoritative && found == wanted {
            return Ok(());
        }
        Err(format!(
            "{} {found:?} (authoritative: {}) instead of {wanted:?}",
            self.code, self.authoritative
        ))
    }

    pub fn expect_code(&self, code: ResponseCode) -> Result<(), String> {
        if self.code == code && self.records.is_empty() {
            return Ok(());
        }
        Err(format!("{} {:?} instead of {code}", self.code, self.values()))
    }
}

#[derive(Clone)]
enum Transport {
    Udp(SocketAddr),
    Stream(Dialer),
}

#[derive(Clone)]
pub struct DnsClient {
    transport: Transport,
    dnssec: bool,
}

impl DnsClient {
    pub fn udp(server: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp(server),
            dnssec: false,
        }
    }

    /// DNS over a stream (two bytes of length before each message): TCP, or a port-forward.
    pub fn stream(dialer: Dialer) -> Self {
        Self {
            transport: Transport::Stream(dialer),
            dnssec: false,
        }
    }

    /// Asks for signatures too.
    #[must_use]
    pub fn with_dnssec(mut self) -> Self {
        self.dnssec = true;
        self
    }

    pub async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let question = format!("{name} {kind}");
        let mut message = Message::query();
        message.add_query(Query::query(parse(name)?, kind));
        if self.dnssec {
            let mut edns = Edns::new();
            edns.set_dnssec_ok(true).set_max_payload(1232);
            message.set_edns(edns);
        }
        let (answer, took) = self.send(&message, &question).await?;
        Ok(Answer {
            code: answer.metadata.response_code,
            authoritative: answer.metadata.authoritative,
            records: answer.answers,
            others: [answer.authorities, answer.additionals].concat(),
            took,
            asked: kind,
        })
    }

    /// Sends a message and gives what answers it; `question` is for the error.
    pub(crate) async fn send(
        &self,
        message: &Message,
        question: &str,
    ) -> Result<(Message, Duration), DnsError> {
        let question = question.to_owned();
        let decode = |reason: String| DnsError::Decode {
            question: question.clone(),
            reason,
        };
        let bytes = message.to_vec().map_err(|error| decode(error.to_string()))?;
        let (answer, took) = tokio::time::timeout(TIMEOUT, self.exchange(&bytes))
            .await
            .map_err(|_| DnsError::Timeout {
                question: question.clone(),
            })?
            .map_err(|source| DnsError::Io {
                question: question.clone(),
                source,
            })?;
        let answer = Message::from_vec(&answer).map_err(|error| decode(error.to_string()))?;
        if answer.metadata.id != message.metadata.id || answer.queries != message.queries {
            return Err(DnsError::Mismatch { question });
        }
        Ok((answer, took))
    }

    async fn exchange(&self, message: &[u8]) -> io::Result<(Vec<u8>, Duration)> {
        match &self.transport {
            Transport::Udp(server) => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
                socket.connect(server).await?;
                let start = Instant::now();
                socket.send(message).await?;
                let mut answer = vec![0; 65535];
                let length = socket.recv(&mut answer).await?;
                answer.truncate(length);
                Ok((answer, start.elapsed()))
            }
            Transport::Stream(dialer) => {
                let stream = dialer.dial().await?;
                let start = Instant::now();
                let answer = over_stream(stream, message).await?;
                Ok((answer, start.elapsed()))
            }
        }
    }
}

pub(crate) fn parse(name: &str) -> Result<Name, DnsError> {
    Name::from_str(name).map_err(|error| DnsError::Name {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

async fn over_stream(mut stream: BoxStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    // One write: some servers do not wait for the second half of a split length and message.
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    stream.flush().await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
