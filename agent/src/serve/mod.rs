//! The HTTP server below all endpoints. Strangers may reach it: whoever connects and is silent costs it little, nothing for
//! ever, and nobody else anything.

mod attended;
mod seats;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use attended::{Attended, Place, Table};
use seats::Seats;
pub use tls::Tls;

/// Time for the head of the first request. Whoever connects to ask something does so at once.
const FIRST: Duration = Duration::from_secs(10);
/// Time between two requests. Longer than usual intervals of scrapes and probes.
const SILENCE: Duration = Duration::from_secs(75);
/// Connections at a time; where more come, those end that rest longest.
const MOST: usize = 1024;
/// More that may be there until those that were ended are gone.
const LEAVING: usize = 16;
/// Connections that may wait to be let in; the kernel may allow fewer. With the usual 128, a burst of strangers' would have a
/// probe wait for a second.
const BACKLOG: u32 = 4096;
/// After a failure to accept one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long requests may take to end after `shutdown`: one that never does must not keep the agent.
const GRACE: Duration = Duration::from_secs(5);
/// A certificate is looked at when a connection begins, so none lasts longer: an hour, and the time of the longest answer.
const STAY: Duration = Duration::from_secs(3600);
const LAST: Duration = Duration::from_secs(600);
/// The log says at most so often that there are too many connections.
const QUIET: Duration = Duration::from_secs(60);

/// Listens on an address such as `:8500`; where the machine has no IPv6, that and `[::]` mean all of IPv4.
///
/// # Errors
/// Those of the system, such as that somebody listens there already.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let address = match address.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => address.to_owned(),
    };
    match bind(&address).await {
        Err(error) if error.raw_os_error().is_some() && address.starts_with("[::]:") => {
            bind(&address.replace("[::]", "0.0.0.0")).await
        }
        other => other,
    }
}

async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut result = Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no address"));
    for address in lookup_host(address).await? {
        result = listen_on(address);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of a process that has just ended do not keep the next one from listening.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a router until `shutdown` is cancelled.
pub async fn serve_router(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve_at_most(affordable(descriptors()), listener, (router, None), shutdown).await;
}

/// The same for those alone who have a certificate.
pub async fn serve_privately(listener: TcpListener, router: Router, tls: Tls, shutdown: CancellationToken) {
    serve_at_most(affordable(descriptors()), listener, (router, Some(tls)), shutdown).await;
}

/// A quarter of the file descriptors at most for each of two listeners: databases, store and peers need theirs.
fn affordable(descriptors: u64) -> usize {
    usize::try_from(descriptors / 4).map_or(MOST, |quarter| quarter.clamp(LEAVING, MOST))
}

/// How many this process may have.
fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

async fn serve_at_most(
    most: usize,
    listener: TcpListener,
    (router, tls): (Router, Option<Tls>),
    shutdown: CancellationToken,
) {
    let connections = GracefulShutdown::new();
    let table: Table = Arc::new(Mutex::new(Seats::new(most)));
    let room = Arc::new(Semaphore::new(most + LEAVING));
    let mut complained = None;
    loop {
        let next = async {
            let room = room.clone().acquire_owned().await;
            (room, listener.accept().await)
        };
        let (room, connection, from) = match shutdown.run_until_cancelled(next).await {
            None => break,
            Some((room, Ok((connection, from)))) => (room, connection, from),
            Some((_, Err(error))) => {
                tracing::debug!(%error, "cannot accept a connection");
                if let Some(errno) = error.raw_os_error()
                    && [nix::libc::EMFILE, nix::libc::ENFILE].contains(&errno)
                    && let Some((_, end)) = table.lock().unwrap_or_else(PoisonError::into_inner).make_room()
                {
                    end.cancel();
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let end = CancellationToken::new();
        let (place, gone) = Place::take(&table, from.ip(), end.clone());
        if let Some((source, other)) = gone {
            other.cancel();
            if complained.is_none_or(|at: Instant| at.elapsed() >= QUIET) {
                complained = Some(Instant::now());
                tracing::warn!(most, %source, "too many connections: of the address with most of them, those are ended that rest longest");
            }
        }
        let serving = serve_connection(
            connection,
            (from, place.clone()),
            (router.clone(), tls.clone()),
            connections.watcher(),
            shutdown.clone(),
        );
        tokio::spawn(async move {
            tokio::select! {
                ended = serving => if let Err(error) = ended {
                    tracing::trace!(%from, %error, "a connection ended early");
                },
                () = end.cancelled() => tracing::trace!(%from, "a connection made room for another"),
                () = place.asks_nothing(FIRST) => tracing::trace!(%from, "a connection asked nothing"),
            }
            drop(room);
        });
    }
    let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
}

/// Serves a connection until either end ends it.
async fn serve_connection(
    connection: TcpStream,
    (from, place): (SocketAddr, Arc<Place>),
    (router, tls): (Router, Option<Tls>),
    watcher: Watcher,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Without it an answer may wait for the acknowledgement of the one before.
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let router = router.layer(Extension(ConnectInfo(from)));
    match tls {
        None => Ok(watcher.watch(answer(connection, router, place)).await?),
        // In a box, or each connection without TLS would take the memory of one with it.
        Some(tls) => {
            let serving = serve_private_connection(connection, router, place, tls, &shutdown);
            let served = Box::pin(serving).await;
            // Until now the listener waits for it.
            drop(watcher);
            served
        }
    }
}

/// The same by TLS, at most for as long as a look at a certificate is good for.
async fn serve_private_connection(
    connection: TcpStream,
    router: Router,
    place: Arc<Place>,
    mut tls: Tls,
    shutdown: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let opening = tls.open(connection, router);
    let Some(opened) = shutdown.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (stream, router) = opened?;
    let ending = GracefulShutdown::new();
    let mut serving = pin!(ending.watcher().watch(answer(stream, router, place)));
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = tls.is_outdated() => {}
        () = tokio::time::sleep(STAY) => {}
        () = shutdown.cancelled() => {}
    }
    // What is being answered comes to its end.
    let ended = async { tokio::join!(ending.shutdown(), serving).1 };
    tokio::time::timeout(LAST, ended).await??;
    Ok(())
}

type Connection<S> = http1::Connection<TokioIo<S>, Attended<TowerToHyperService<Router>>>;

fn answer<S>(stream: S, router: Router, place: Arc<Place>) -> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = Attended::new(TowerToHyperService::new(router), place);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    async fn server() -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        server_of(MOST).await
    }

    async fn server_of(most: usize) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route(
                "/from",
                get(|from: ConnectInfo<SocketAddr>| async move { from.0.to_string() }),
            )
            .route("/never", get(std::future::pending::<()>));
        let stop = CancellationToken::new();
        (
            address,
            stop.clone(),
            tokio::spawn(serve_at_most(most, listener, (router, None), stop)),
        )
    }

    async fn ask(address: SocketAddr, request: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    async fn rest(mut connection: TcpStream) -> String {
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn handlers_know_who_asks() {
        let (address, stop, serving) = server().await;
        let connection = ask(
            address,
            "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        let own = connection.local_addr().unwrap().to_string();
        assert!(rest(connection).await.ends_with(&own));
        stop.cancel();
        serving.await.unwrap();
    }

    // With a paused clock, time passes by itself as soon as nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_finish_the_head_of_a_request_is_disconnected() {
        let (address, _stop, _serving) = server().await;
        for begun in ["", "GET /from HTTP/1.1\r\nHos"] {
            let connection = ask(address, begun).await;
            let answer = rest(connection).await;
            assert!(!answer.contains("200 OK"), "{answer}");
        }
    }

    #[test]
    fn the_connections_of_two_listeners_take_half_of_the_files_at_most() {
        assert_eq!(affordable(1 << 20), MOST);
        assert_eq!(affordable(u64::MAX), MOST);
        assert_eq!(affordable(256), 64);
        assert_eq!(affordable(0), LEAVING);
    }

    #[tokio::test]
    async fn when_all_places_are_taken_whoever_has_most_loses_one_and_nobody_else() {
        let (address, _stop, _serving) = server_of(4).await;
        let again = "GET /from HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut scraper = ask(address, again).await;
        let mut answer = [0; 4096];
        assert_ne!(scraper.read(&mut answer).await.unwrap(), 0);
        for head in [
            "",
            "GET /from HTTP/1.1\r\nHos",
            "GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let mut strangers = Vec::new();
            for _ in 0..20 {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
                let mut stranger = socket.connect(address).await.unwrap();
                let _ = stranger.write_all(head.as_bytes()).await;
                strangers.push(stranger);
            }
            // It still has the connection of before.
            scraper.write_all(again.as_bytes()).await.unwrap();
            let length = scraper.read(&mut answer).await.unwrap();
            assert!(String::from_utf8_lossy(&answer[..length]).contains("200 OK"));
            // All but three of the strangers are gone. Which of those that ask something is not certain.
            let gone = if head.contains("never") { 0 } else { 17 };
            for stranger in &mut strangers[..gone] {
                assert!(!matches!(stranger.read(&mut answer).await, Ok(1..)));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_does_not_keep_the_agent_from_ending() {
        let (address, stop, serving) = server().await;
        let _never = ask(address, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
        // One that is answered was accepted later.
        let later = ask(
            address,
            "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(rest(later).await.contains("200 OK"));
        stop.cancel();
        serving.await.unwrap();
    }
}
