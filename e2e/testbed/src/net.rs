//! How a client reaches its server: a TCP address here, a port-forward of a pod in the cluster tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub type BoxStream = Box<dyn Stream>;

/// Opens a new connection to one server each time it is asked.
pub trait Dial: Send + Sync {
    fn dial(&self) -> BoxFuture<'_, io::Result<BoxStream>>;
}

pub type Dialer = Arc<dyn Dial>;

impl Dial for SocketAddr {
    fn dial(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let address = *self;
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as BoxStream) })
    }
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A loopback port that was free for TCP and UDP a moment ago. The kernel hands out such ports at random, so two
/// tests that ask at once do not get the same one.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let Ok(tcp) = std::net::TcpListener::bind(loopback(0)) else {
            continue;
        };
        let Ok(address) = tcp.local_addr() else { continue };
        if std::net::UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
    panic!("no loopback port is free for TCP and UDP");
}
