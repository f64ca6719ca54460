//! How a client reaches its server: a TCP address here, a port-forward of a pod in the cluster tests.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use nix::fcntl::{FcntlArg, fcntl};
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

/// A loopback port that is free for TCP and UDP. No other test gets it before this process ends, though nobody may be
/// listening on it: not yet, or not between two starts of a server.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let Ok(tcp) = std::net::TcpListener::bind(loopback(0)) else {
            continue;
        };
        let Ok(address) = tcp.local_addr() else { continue };
        if std::net::UdpSocket::bind(address).is_ok() && take(address.port()) {
            return address.port();
        }
    }
    panic!("no loopback port is free for TCP and UDP");
}

/// Locks a port's byte of a file that all tests of this user share. False if another one has it.
fn take(port: u16) -> bool {
    let file = std::env::temp_dir().join(format!("zonetide-ports-{}", nix::unistd::getuid()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file);
    let file = file.expect("a file for the locks of ports");
    let small = |number: i32| i16::try_from(number).expect("a constant of fcntl");
    let lock = nix::libc::flock {
        l_type: small(nix::libc::F_WRLCK),
        l_whence: small(nix::libc::SEEK_SET),
        l_start: port.into(),
        l_len: 1,
        l_pid: 0,
    };
    let taken = fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).is_ok();
    if taken {
        // It is closed, and the lock let go, when the process ends.
        std::mem::forget(file);
    }
    taken
}
