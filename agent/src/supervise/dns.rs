//! Asking PowerDNS over UDP and TCP whether it answers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::question::{Asking, Heard, Said};

/// For both transports at a time: whoever asks the supervisor is answered within a second.
const PATIENCE: Duration = Duration::from_millis(800);
/// After so long of silence the next question goes out: a UDP packet can be lost.
const AGAIN: Duration = Duration::from_millis(250);
/// Longer than what any answer without EDNS has over UDP, bytes.
const LONGEST: usize = 4096;

/// Asks a PowerDNS about these zones: what came over UDP, and over TCP.
pub(super) async fn probe(server: SocketAddr, zones: &[String]) -> (Heard, Heard) {
    let addresses = addresses(server);
    tokio::join!(
        first_reached(&addresses, |address| over_udp(address, Asking::about(zones))),
        first_reached(&addresses, |address| over_tcp(address, Asking::about(zones))),
    )
}

/// A server on loopback may have only one kind of address.
fn addresses(server: SocketAddr) -> Vec<SocketAddr> {
    let mut addresses = vec![server];
    if server.ip() == Ipv4Addr::LOCALHOST {
        addresses.push((Ipv6Addr::LOCALHOST, server.port()).into());
    }
    addresses
}

/// Asks the first address that can be reached.
async fn first_reached<F>(addresses: &[SocketAddr], ask: impl Fn(SocketAddr) -> F) -> Heard
where
    F: Future<Output = io::Result<Heard>>,
{
    let asking = async {
        let mut refusal = String::new();
        for address in addresses {
            match ask(*address).await {
                Ok(heard) => return heard,
                // That of the address that was given is the one that says something.
                Err(error) if refusal.is_empty() => refusal = format!("{address}: {error}"),
                Err(_) => {}
            }
        }
        Heard::Refused(refusal)
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or(Heard::Nothing)
}

/// What is heard after what was said; `None`: something else is to be asked or waited for.
fn heard(said: Said) -> Option<Heard> {
    match said {
        Said::Well => Some(Heard::Answer),
        Said::OnlyFailures(zones) => Some(Heard::OnlyFailures(zones)),
        Said::AskAnother | Said::Unrelated => None,
    }
}

async fn over_udp(server: SocketAddr, mut asking: Asking) -> io::Result<Heard> {
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    // A socket that is connected is told that nobody listens there, and takes answers from there only.
    socket.connect(server).await?;
    let mut answer = vec![0; LONGEST];
    loop {
        socket.send(asking.next()).await?;
        let again = tokio::time::Instant::now() + AGAIN;
        while let Ok(received) = tokio::time::timeout_at(again, socket.recv(&mut answer)).await {
            let said = asking.hear(&answer[..received?]);
            if let Some(heard) = heard(said) {
                return Ok(heard);
            }
            if said == Said::AskAnother {
                break;
            }
        }
    }
}

async fn over_tcp(server: SocketAddr, mut asking: Asking) -> io::Result<Heard> {
    let mut stream = TcpStream::connect(server).await?;
    // From here on somebody listens: one that closes the connection instead of an answer is as good as silent.
    loop {
        let Ok(answer) = exchange(&mut stream, asking.next()).await else {
            return Ok(Heard::Nothing);
        };
        if let Some(heard) = heard(asking.hear(&answer)) {
            return Ok(heard);
        }
    }
}

async fn exchange(stream: &mut TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    // One write: the length must not wait for an acknowledgement.
    stream
        .write_all(&[&length.to_be_bytes(), question].concat())
        .await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hickory_proto::op::{Message, ResponseCode};
    use tokio::net::TcpListener;

    use super::*;

    fn answer(question: &[u8], code: ResponseCode) -> Vec<u8> {
        let question = Message::from_vec(question).unwrap();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.response_code = code;
        answer.to_vec().unwrap()
    }

    /// Sockets for both on one port, on which nothing answers yet.
    async fn sockets() -> (SocketAddr, UdpSocket, TcpListener) {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = tcp.local_addr().unwrap();
            if let Ok(udp) = UdpSocket::bind(address).await {
                return (address, udp, tcp);
            }
        }
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again_and_failures_of_one_zone_lead_to_the_next() {
        let (address, udp, _tcp) = sockets().await;
        tokio::spawn(async move {
            let mut question = [0; 512];
            udp.recv_from(&mut question).await.unwrap();
            for code in [ResponseCode::ServFail, ResponseCode::NXDomain] {
                let (length, from) = udp.recv_from(&mut question).await.unwrap();
                udp.send_to(b"noise", from).await.unwrap();
                udp.send_to(&answer(&question[..length], code), from)
                    .await
                    .unwrap();
            }
        });
        let zones = ["a.".to_owned(), "b.".to_owned()];
        let (heard, tcp) = probe(address, &zones).await;
        assert_eq!((heard, tcp), (Heard::Answer, Heard::Nothing));
    }

    #[tokio::test]
    async fn one_that_is_silent_and_one_that_is_not_there_are_told_apart_in_time() {
        let (address, udp, tcp) = sockets().await;
        let begin = Instant::now();
        assert_eq!(probe(address, &[]).await, (Heard::Nothing, Heard::Nothing));
        assert!(begin.elapsed() < Duration::from_secs(1));
        drop((udp, tcp));
        let (udp, tcp) = probe(address, &[]).await;
        for heard in [udp, tcp] {
            assert!(
                matches!(&heard, Heard::Refused(error) if error.contains("refused")),
                "{heard:?}"
            );
        }
    }
}
