//! What comes from the network is bounded, and only those with the token are listened to.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::IntoResponse as _;
use futures::future::join_all;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zonetide_agent::peers::TokenSource;
use zonetide_agent::status::Metrics;

use crate::agent::{
    Agent, PATIENCE, TOKEN, changes, listen, post_to, settings, until, with_list, with_token_file,
};

const OLD: &str = "the-old-token-of-the-tests";
const NEW: &str = "the-new-token-of-the-tests";

#[tokio::test]
async fn a_wrong_token_is_refused_counted_and_shown_but_not_quoted() {
    let mut b = Agent::lonely("b").await;
    let mut wrong = with_list(&[b.address]);
    wrong.token = Some(TokenSource::Text(NEW.to_owned()));
    let a = Agent::telling("a", wrong).await;
    until("a is refused", || a.stands(b.address, "away")).await;
    let error = a.link(b.address).unwrap().last_error.unwrap();
    assert!(
        error.contains("refuses the token") && !error.contains(NEW),
        "{error}"
    );
    let report = b.report();
    assert!(report.refused["token"] >= 1);
    assert_eq!(report.last_refused.as_ref().unwrap().from, "127.0.0.1");
    assert!(!format!("{report:?}").contains(NEW));
    for header in [None, Some(format!("Basic {TOKEN}")), Some("Bearer ".to_owned())] {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("http://{}/peer/v1/changes/main/n", b.address));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let response = request.body("x").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert!(b.arrivals.try_recv().is_err() && b.contacts.all().is_empty());
    let mut metrics = Metrics::new();
    metrics.collect_from(b.peers.collector().unwrap());
    let text = metrics.encode();
    assert!(
        text.contains("zonetide_agent_peer_refused_total{reason=\"token\"}"),
        "{text}"
    );
}

#[tokio::test]
async fn a_token_is_renewed_line_by_line_without_a_moment_of_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let (a_file, b_file) = (dir.path().join("a"), dir.path().join("b"));
    for file in [&a_file, &b_file] {
        std::fs::write(file, OLD).unwrap();
    }
    let (listener, address) = listen().await;
    let mut b = Agent::start("b", listener, with_token_file(&b_file, &[]), Arc::default());
    let a = Agent::telling("a", with_token_file(&a_file, &[address])).await;
    a.reaches(&b).await;
    for (a_tokens, b_tokens) in [
        (OLD.to_owned(), format!("{OLD}\n{NEW}\n")),
        (format!("{NEW}\n{OLD}\n"), format!("{OLD}\n{NEW}\n")),
        (NEW.to_owned(), format!("{NEW}\n{OLD}\n")),
    ] {
        std::fs::write(&b_file, b_tokens).unwrap();
        // Nobody may send the new one before all accept it.
        while b.post_with(NEW, "/peer/v1/hello").send().await.unwrap().status() == StatusCode::UNAUTHORIZED {}
        std::fs::write(&a_file, a_tokens).unwrap();
        for number in 0..20 {
            a.tell(&format!("{number}"), 10);
            b.next().await;
        }
    }
    std::fs::write(&b_file, NEW).unwrap();
    let old = || b.post_with(OLD, "/peer/v1/hello");
    while old().send().await.unwrap().status() != StatusCode::UNAUTHORIZED {}
    for _ in 0..3 {
        a.tell("last", 10);
        b.next().await;
    }
    a.flush().await;
    let link = a.link(address).unwrap();
    assert_eq!((link.told, link.dropped, link.failed), (63, 0, 0), "{link:?}");
}

/// A peer that learns of a new token while a request with the old one is on its way, which it refuses.
#[tokio::test]
async fn a_token_that_is_read_again_while_the_old_one_is_on_its_way_costs_no_contact() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, OLD).unwrap();
    let (listener, address) = listen().await;
    let a = Agent::telling("a", with_token_file(&file, &[address])).await;
    let own = a.address;
    let answer = async move |request: Request| {
        if request.headers()["authorization"] == format!("Bearer {NEW}") {
            return r#"{"instance": "b", "boot": "1"}"#.into_response();
        }
        std::fs::write(&file, NEW).unwrap();
        let greeted = || post_to(own, NEW, "/peer/v1/hello").send();
        while greeted().await.unwrap().status() == StatusCode::UNAUTHORIZED {}
        StatusCode::UNAUTHORIZED.into_response()
    };
    let server = axum::serve(listener, axum::Router::new().fallback(answer));
    tokio::spawn(async move { server.await.unwrap() });
    until("the peer is reached", || a.stands(address, "reached")).await;
    let link = a.link(address).unwrap();
    assert_eq!((link.failed, link.last_error), (0, None));
}

#[tokio::test]
async fn whoever_sends_slowly_is_cut_off_and_keeps_nobody_out() {
    let mut short = settings();
    short.request_timeout = Duration::from_millis(200);
    let mut b = Agent::telling("b", short).await;
    let a = Agent::telling("a", with_list(&[b.address])).await;
    a.reaches(&b).await;
    let mut slow = TcpStream::connect(b.address).await.unwrap();
    let request = format!(
        "POST /peer/v1/changes/main/n HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {TOKEN}\r\n\
         Zonetide-Instance: slow\r\nZonetide-Boot: 1\r\nContent-Length: 1000\r\n\r\nxx"
    );
    slow.write_all(request.as_bytes()).await.unwrap();
    a.tell("meanwhile", 10);
    assert_eq!(b.next().await, "meanwhile");
    let mut answer = vec![0; 12];
    let answered = tokio::time::timeout(PATIENCE, slow.read_exact(&mut answer)).await;
    answered.expect("it is not cut off").unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    assert_eq!(b.report().refused["slow"], 1);
    assert!(b.arrivals.try_recv().is_err());
}

#[tokio::test]
async fn an_object_over_the_limit_is_neither_sent_nor_taken() {
    let mut small = settings();
    small.max_object = 1000;
    let mut b = Agent::telling("b", small).await;
    let mut large = with_list(&[b.address]);
    large.max_object = 8 << 20;
    large.queue_bytes = 8 << 20;
    let a = Agent::telling("a", large).await;
    a.reaches(&b).await;
    assert!(!a.outbox.tell(&changes("n", (8 << 20) + 1)));
    assert!(!a.outbox.tell(&changes("no/name", 10)));
    a.tell("large", 6 << 20);
    a.tell("small", 1000);
    assert_eq!(b.next().await, "small");
    a.flush().await;
    let link = a.link(b.address).unwrap();
    assert_eq!((link.standing, link.told, link.dropped), ("reached", 1, 1));
    assert_eq!(link.failed, 1, "the answer was not understood: {link:?}");
    assert_eq!(b.report().refused["too_large"], 1);
    // A body that does not say how long it is may have any length.
    let endless = futures::stream::iter([Ok::<_, std::io::Error>("x")]);
    let request = b.post("/peer/v1/changes/main/n");
    let response = request.body(reqwest::Body::wrap_stream(endless)).send().await;
    assert_eq!(response.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_flood_fills_a_bounded_room_and_is_told_to_come_back() {
    let mut b = Agent::lonely("b").await;
    let object = vec![b'x'; 1 << 20];
    let posts = (0..64).map(|number| {
        let request = b.post(&format!("/peer/v1/changes/main/n{number}"));
        request.body(object.clone()).send()
    });
    let responses = join_all(posts).await;
    let mut taken = 0;
    for response in responses {
        let response = response.unwrap();
        match response.status() {
            StatusCode::NO_CONTENT => taken += 1,
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(response.headers()["retry-after"], "1"),
            other => panic!("{other}"),
        }
    }
    assert!((1..=4).contains(&taken), "{taken} MiB are waiting");
    assert_eq!(b.report().refused["busy"], 64 - taken);
    for _ in 0..taken {
        drop(b.next_arrived().await);
    }
    let again = b.post("/peer/v1/changes/main/again").body(object).send().await;
    assert_eq!(again.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_no_agent_would_send_is_refused() {
    let mut b = Agent::lonely("b").await;
    let unknown = b.post("/peer/v1/changes/other/n").body(vec![b'x'; 1 << 20]);
    assert_eq!(unknown.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    for (instance, boot) in [("", "1"), ("a.b", "1"), ("a", ""), ("a", "a-b")] {
        let hello = serde_json::json!({"instance": instance, "boot": boot, "progress": {}});
        let request = b.post("/peer/v1/hello").body(hello.to_string());
        assert_eq!(
            request.send().await.unwrap().status(),
            StatusCode::BAD_REQUEST,
            "{hello}"
        );
    }
    let request = b.post("/peer/v1/changes/main/%2e%2e%2fx").body("x");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let request = b.post("/peer/v1/hello").body("x".repeat((64 << 10) + 1));
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(b.contacts.all().is_empty() && b.arrivals.try_recv().is_err());
}

#[tokio::test]
async fn two_agents_of_one_name_do_not_listen_to_each_other_and_say_why() {
    let b = Agent::lonely("same").await;
    let a = Agent::telling("same", with_list(&[b.address])).await;
    until("it is refused", || a.stands(b.address, "away")).await;
    let error = a.link(b.address).unwrap().last_error.unwrap();
    assert!(error.contains("the name of this instance"), "{error}");
    assert!(b.contacts.all().is_empty());
}
