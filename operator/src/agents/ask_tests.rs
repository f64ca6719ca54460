use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use serde_json::json;

use super::*;

/// What an agent at a free port of loopback says, when it answers on `/status` with this.
async fn answer(router: Router) -> Result<AgentStatus, String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    RealAgents::new()
        .unwrap()
        .get(format!("http://{address}/status"))
        .await
}

#[tokio::test]
async fn an_agents_status_is_read() {
    let said = json!({"instance": "a", "new": [1]}).to_string();
    let status = answer(Router::new().route("/status", get(|| async { said })))
        .await
        .unwrap();
    assert_eq!(status.instance, "a");
}

#[tokio::test]
async fn what_is_not_an_agents_answer_is_an_error_and_not_more_than_that() {
    let huge = " ".repeat(MOST_BYTES + 1);
    let huge = answer(Router::new().route("/status", get(|| async { huge }))).await;
    assert!(huge.unwrap_err().contains("larger than"));
    let page = answer(Router::new().route("/status", get(|| async { "<html>" }))).await;
    assert_eq!(page.unwrap_err(), "its /status is not that of an agent");
    let failing = answer(Router::new().route("/status", get(|| async { StatusCode::FORBIDDEN }))).await;
    assert!(failing.is_err());
    // A pod must not send the operator elsewhere.
    let other = Router::new()
        .route("/status", get(|| async { Redirect::temporary("/other") }))
        .route("/other", get(|| async { "{}" }));
    assert!(answer(other).await.is_err());
}
