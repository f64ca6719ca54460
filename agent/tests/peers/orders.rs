//! The operator orders restores and does nothing else, and nobody else orders any.

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use zonetide_agent::restoring::{Limits, Restorer};
use zonetide_testbed::authority::Authority;

use crate::agent::{Agent, TOKEN, until};
use crate::handing::Still;
use crate::private::{DAY, Own, agent, client, none, of, post};

const ORDERS: &str = "/operator/v1/restores";

fn certified(authority: &Authority, name: &str) -> Own {
    let files = none();
    files.write(authority, &[name], SystemTime::now() + DAY);
    files
}

fn operator(authority: &Authority) -> Client {
    let files = certified(authority, "urn:zonetide:operator:zonetide-operator");
    client(&files, true).build().unwrap()
}

/// Runs this text of a shell instead of the command.
fn running(script: &str) -> Arc<Restorer> {
    let arguments = ["-c", script, "sh"].map(Into::into);
    let restorer = Restorer::new(
        "/bin/sh".into(),
        arguments.into(),
        Vec::new(),
        "/nowhere".into(),
        Limits::default(),
    );
    Arc::new(restorer)
}

fn order(id: &str) -> Value {
    json!({"id": id, "at": "2026-11-30T10:00:00Z", "zones": ["zone.example"]})
}

async fn ask(client: &Client, to: &Agent, order: &Value) -> (StatusCode, Value) {
    let request = post(client, to, ORDERS, "x").body(order.to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn look(client: &Client, at: &Agent, id: &str) -> (StatusCode, Value) {
    let url = format!("https://{}{ORDERS}/{id}", at.address);
    let answer = client.get(url).bearer_auth(TOKEN).send().await.unwrap();
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn the_operator_may_order_restores_and_do_nothing_else() {
    let authority = Authority::new();
    let mut b = agent("b", &of(&authority, "b"), &[]).await;
    b.peers.answer_by(Still::of(10));
    let operator = operator(&authority);
    for path in [
        "hello",
        "changes/main/n",
        "state",
        "database/main",
        "question/main",
        "entries/main",
    ] {
        let asked = post(&operator, &b, &format!("/peer/v1/{path}"), "zonetide-operator");
        assert_eq!(
            asked.send().await.unwrap().status(),
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert_eq!(b.report().refused["role"], 6);
    assert!(!b.contacts.in_contact("zonetide-operator"));
    assert!(b.arrivals.try_recv().is_err());
    // One that does not restore says so.
    assert_eq!(
        ask(&operator, &b, &order("1")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    b.peers.restore_by(running(
        r#"echo '{"change":"+ a"}'; echo '{"result":{"written":1,"left":0}}'"#,
    ));
    assert_eq!(look(&operator, &b, "1").await.0, StatusCode::NOT_FOUND);
    let (status, account) = ask(&operator, &b, &order("1")).await;
    assert_eq!(
        (status, account["state"].as_str()),
        (StatusCode::ACCEPTED, Some("planning"))
    );
    let done = async {
        loop {
            let (status, account) = look(&operator, &b, "1").await;
            assert_eq!(status, StatusCode::OK);
            if account["state"] == "done" {
                return account;
            }
        }
    };
    let account = tokio::time::timeout(crate::agent::PATIENCE, done).await.unwrap();
    assert_eq!(account["lines"], json!(["+ a"]));
    for (wrong, expected) in [
        (json!({"id": "2"}), StatusCode::BAD_REQUEST),
        (
            json!({"id": "2", "at": "x", "zones": ["a"]}),
            StatusCode::BAD_REQUEST,
        ),
        (json!({"id": "a".repeat(70_000)}), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(ask(&operator, &b, &wrong).await.0, expected);
    }
}

#[tokio::test]
async fn no_agent_orders_a_restore_and_nobody_does_without_the_token_or_a_certificate() {
    let authority = Authority::new();
    let b = agent("b", &of(&authority, "b"), &[]).await;
    b.peers.restore_by(running("exit 1"));
    let receiver = certified(&authority, "urn:zonetide:receiver:edge");
    for files in [of(&authority, "c"), of(&authority, "b"), receiver] {
        let peer = client(&files, true).build().unwrap();
        assert_eq!(ask(&peer, &b, &order("1")).await.0, StatusCode::FORBIDDEN);
        assert_eq!(look(&peer, &b, "1").await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(b.report().refused["role"], 6);
    let url = format!("https://{}{ORDERS}", b.address);
    let without = operator(&authority).post(url).body(order("1").to_string());
    assert_eq!(without.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Of another authority it does not even come in.
    let strange = certified(&Authority::new(), "urn:zonetide:operator:zonetide-operator");
    strange.believe(&[&authority]);
    let strange = client(&strange, true).build().unwrap();
    assert!(post(&strange, &b, ORDERS, "x").send().await.is_err());
    // Where agents have no certificates nobody can show that it is the operator.
    let plain = Agent::lonely("p").await;
    plain.peers.restore_by(running("exit 1"));
    let sent = plain.post(ORDERS).body(order("1").to_string()).send().await;
    assert_eq!(sent.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_certificate_of_the_operator_makes_no_agent() {
    let authority = Authority::new();
    let files = certified(&authority, "urn:zonetide:operator:b");
    let b = agent("b", &files, &[]).await;
    let a = agent("a", &of(&authority, "a"), &[b.address]).await;
    let refused = || a.link(b.address).is_some_and(|link| link.last_error.is_some());
    until("it is not reached", refused).await;
    assert!(!a.stands(b.address, "reached"));
}
