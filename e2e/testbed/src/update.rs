//! DNS UPDATE (RFC 2136), signed by TSIG or not, and whole zones by AXFR.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::update_message::{UpdateMessage as _, delete_rrset};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dns::{Code, DnsClient, DnsError, parse};

/// How far clocks may be apart, seconds.
const FUDGE: u16 = 300;

/// A key of HMAC-SHA-256.
#[derive(Debug, Clone)]
pub struct TsigKey {
    pub name: String,
    pub secret: Vec<u8>,
}

impl DnsClient {
    /// Sets the only A record of a name, or removes it: what the server says of it.
    pub async fn update(
        &self,
        zone: &str,
        name: &str,
        address: Option<Ipv4Addr>,
        key: Option<&TsigKey>,
    ) -> Result<Code, DnsError> {
        let what = format!("the update of {name}");
        let decode = |reason: String| DnsError::Decode {
            question: what.clone(),
            reason,
        };
        let (zone, name) = (parse(zone)?, parse(name)?);
        let old = Record::update0(name.clone(), 0, RecordType::A).into_record_of_rdata();
        let mut message = delete_rrset(old, zone, false);
        if let Some(address) = address {
            message.add_update(Record::from_rdata(name, 60, RData::A(A(address))));
        }
        if let Some(key) = key {
            let algorithm = TsigAlgorithm::HmacSha256;
            let signer = TSigner::new(key.secret.clone(), algorithm, parse(&key.name)?, FUDGE)
                .map_err(|error| decode(error.to_string()))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            message
                .finalize(&signer, now.as_secs())
                .map_err(|error| decode(error.to_string()))?;
        }
        Ok(self.send(&message, &what).await?.0.metadata.response_code)
    }
}

/// All records of a zone by AXFR, `name type data` each, as they come.
///
/// # Errors
/// When it is refused, or does not end.
pub async fn transfer(server: SocketAddr, zone: &str) -> io::Result<Vec<String>> {
    let zone: Name = zone.parse().map_err(io::Error::other)?;
    let mut message = Message::query();
    message.add_query(Query::query(zone, RecordType::AXFR));
    let bytes = message.to_vec().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], &bytes].concat())
        .await?;
    let mut records = Vec::new();
    let mut ends = 0;
    // It begins and ends with the SOA.
    while ends < 2 {
        let mut part = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut part).await?;
        let part = Message::from_vec(&part).map_err(io::Error::other)?;
        if part.answers.is_empty() {
            return Err(io::Error::other(format!(
                "no transfer: {}",
                part.metadata.response_code
            )));
        }
        for record in part.answers {
            ends += usize::from(record.record_type() == RecordType::SOA);
            records.push(format!(
                "{} {} {}",
                record.name,
                record.record_type(),
                record.data
            ));
        }
    }
    Ok(records)
}
