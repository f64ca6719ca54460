//! The HTTP server below the endpoints. Whoever connects and is silent costs it little, and nothing for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Time for the head of a request, and between two requests. Longer than usual intervals of scrapes and probes.
const SILENCE: Duration = Duration::from_secs(75);
/// Connections at a time; more wait until one ends.
const MOST: usize = 1024;
/// After a failure to accept one, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long requests may take to end after `shutdown`: one that never does must not keep the agent.
const GRACE: Duration = Duration::from_secs(5);

/// Serves a router until `shutdown` is cancelled.
pub(super) async fn serve_router(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, connection, from) = match shutdown.run_until_cancelled(next).await {
            None => break,
            Some((place, Ok((connection, from)))) => (place, connection, from),
            Some((_, Err(error))) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let serving = connections.watch(serve_connection(connection, from, &router));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::trace!(%from, %error, "a connection ended early");
            }
            drop(place);
        });
    }
    let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn serve_connection(connection: TcpStream, from: SocketAddr, router: &Router) -> Connection {
    // Without it an answer may wait for the acknowledgement of the one before.
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let router = router.clone().layer(Extension(ConnectInfo(from)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    async fn server() -> (SocketAddr, CancellationToken, JoinHandle<()>) {
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
            tokio::spawn(serve_router(listener, router, stop)),
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
