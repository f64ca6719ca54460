//! Asking the agent over its own HTTP endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest answer that is of interest, bytes.
const LONGEST: usize = 64 * 1024;

/// What the agent answers on a path.
///
/// # Errors
/// In words: why there is no answer, or what it says with a status that is not 200.
pub(super) async fn ask(agent: SocketAddr, path: &str, patience: Duration) -> Result<(), String> {
    match tokio::time::timeout(patience, exchange(agent, path)).await {
        Ok(Ok((StatusCode::OK, _))) => Ok(()),
        Ok(Ok((status, words))) if words.is_empty() => Err(format!("the agent answers {status} on {path}")),
        Ok(Ok((_, words))) => Err(words),
        Ok(Err(error)) => Err(format!("the agent does not answer on {agent}: {error}")),
        Err(_) => Err(format!(
            "the agent does not answer on {agent} within {patience:?}"
        )),
    }
}

async fn exchange(
    agent: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(agent).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST)
            .collect()
            .await?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    // The connection does its work until the answer is there, and is closed with it.
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_agents_own_words_are_handed_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route(
                "/readyz",
                get(async || (StatusCode::SERVICE_UNAVAILABLE, "main: 1 of 3\n")),
            )
            .route("/empty", get(async || StatusCode::IM_A_TEAPOT))
            .route("/never", get(std::future::pending::<()>));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = |path| ask(agent, path, Duration::from_millis(500));
        assert_eq!(ask("/livez").await, Ok(()));
        assert_eq!(ask("/readyz").await, Err("main: 1 of 3".into()));
        assert!(ask("/empty").await.unwrap_err().contains("418"));
        assert!(ask("/never").await.unwrap_err().contains("within"));
        serving.abort();
        let _ = serving.await;
        assert!(ask("/livez").await.unwrap_err().contains("refused"));
    }
}
