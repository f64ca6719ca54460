//! Peers with certificates: nobody listens in, nobody comes in without one, and nobody speaks for another.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use reqwest::StatusCode;
use tempfile::{SpooledTempFile, TempDir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use zonetide_agent::peers::{CertificateFiles, NotGiven, Peers, Settings, Whole};
use zonetide_agent::serve::serve_privately;
use zonetide_testbed::authority::{Authority, Files};

use crate::agent::{Addresses, Agent, TOKEN, listen, settings, until};
use crate::handing::Still;

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The files of an agent, which go with it.
pub(super) struct Own {
    files: Files,
    _dir: TempDir,
}

impl std::ops::Deref for Own {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.files
    }
}

/// Where they will be.
pub(super) fn none() -> Own {
    let dir = tempfile::tempdir().unwrap();
    Own {
        files: Files::within(dir.path()),
        _dir: dir,
    }
}

/// Of one that tells changes.
pub(super) fn of(authority: &Authority, instance: &str) -> Own {
    let files = none();
    files.certify(authority, instance);
    files
}

fn naming(authority: &Authority, name: &str) -> Own {
    let files = none();
    files.write(authority, &[name], SystemTime::now() + DAY);
    files
}

fn private(files: &Files, peers: &[SocketAddr]) -> Settings {
    let mut settings = settings();
    settings.certificates = Some(CertificateFiles {
        ca: files.path("ca"),
        cert: files.path("cert"),
        key: files.path("key"),
    });
    settings.list = peers.iter().map(|address| format!("https://{address}")).collect();
    settings
}

pub(super) async fn agent(name: &str, files: &Files, peers: &[SocketAddr]) -> Agent {
    Agent::telling(name, private(files, peers)).await
}

/// A client that trusts the authority of these files, and has their certificate if it is `known`.
pub(super) fn client(files: &Files, known: bool) -> reqwest::ClientBuilder {
    let read = |name: &str| std::fs::read(files.path(name)).unwrap();
    let root = reqwest::Certificate::from_pem(&read("ca")).unwrap();
    // The addresses are no names in the certificates.
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .tls_danger_accept_invalid_hostnames(true);
    if known {
        let pem = [read("cert"), read("key")].concat();
        builder.identity(reqwest::Identity::from_pem(&pem).unwrap())
    } else {
        builder
    }
}

pub(super) fn post(
    client: &reqwest::Client,
    to: &Agent,
    path: &str,
    instance: &str,
) -> reqwest::RequestBuilder {
    client
        .post(format!("https://{}{path}", to.address))
        .bearer_auth(TOKEN)
        .header("zonetide-instance", instance)
        .header("zonetide-boot", "1")
        .body("x")
}

/// What was seen on the wire between whoever connects to the returned address and another.
async fn tapped(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let (listener, address) = listen().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let there = TcpStream::connect(to).await.unwrap();
            let (from, there) = (from.into_split(), there.into_split());
            for (mut reader, mut writer) in [(from.0, there.1), (there.0, from.1)] {
                let seen = all.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 4096];
                    while let Ok(length @ 1..) = reader.read(&mut bytes).await {
                        seen.lock().unwrap().extend_from_slice(&bytes[..length]);
                        if writer.write_all(&bytes[..length]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (address, seen)
}

#[tokio::test]
async fn changes_travel_and_nobody_on_the_way_reads_anything() {
    for (private_ones, readable) in [(true, false), (false, true)] {
        let authority = Authority::new();
        let (a_files, b_files) = (of(&authority, "a"), of(&authority, "b"));
        let mut b = if private_ones {
            agent("b", &b_files, &[]).await
        } else {
            Agent::lonely("b").await
        };
        let (way, seen) = tapped(b.address).await;
        let a = if private_ones {
            agent("a", &a_files, &[way]).await
        } else {
            Agent::telling("a", crate::agent::with_list(&[way])).await
        };
        until("the peer is reached", || a.stands(way, "reached")).await;
        a.tell("some-changes", 10);
        let arrived = b.next_arrived().await;
        assert_eq!(
            (&*arrived.from_instance, &*arrived.changes.name),
            ("a", "some-changes")
        );
        let seen = seen.lock().unwrap().clone();
        assert!(!seen.is_empty());
        for text in ["some-changes", TOKEN, "zonetide-instance", "/peer/v1"] {
            let found = seen.windows(text.len()).any(|window| window == text.as_bytes());
            assert_eq!(found, readable, "{text}");
        }
    }
}

#[tokio::test]
async fn whoever_has_no_certificate_of_the_authority_does_not_come_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (own, strange) = (of(&authority, "b"), of(&other, "c"));
    let b = agent("b", &own, &[]).await;
    let without = client(&own, false).build().unwrap();
    assert!(post(&without, &b, "/peer/v1/hello", "c").send().await.is_err());
    strange.believe(&[&authority]);
    let strange_one = client(&strange, true).build().unwrap();
    assert!(
        post(&strange_one, &b, "/peer/v1/hello", "c")
            .send()
            .await
            .is_err()
    );
    until("they are counted", || {
        b.report().refused.get("certificate") == Some(&2)
    })
    .await;
    assert_eq!(b.report().last_refused.unwrap().from, "127.0.0.1");
    let nameless = naming(&authority, "https://b.example.org");
    let nameless_one = client(&nameless, true).build().unwrap();
    assert!(
        post(&nameless_one, &b, "/peer/v1/hello", "c")
            .send()
            .await
            .is_err()
    );
    let old = client(&own, true).tls_version_max(reqwest::tls::Version::TLS_1_2);
    assert!(
        post(&old.build().unwrap(), &b, "/peer/v1/hello", "b")
            .send()
            .await
            .is_err()
    );
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let plain = plain.post(format!("http://{}/peer/v1/hello", b.address));
    assert!(plain.bearer_auth(TOKEN).send().await.is_err());
    // Whoever is silent keeps nobody else out.
    let _silent = TcpStream::connect(b.address).await.unwrap();
    let known = client(&of(&authority, "c"), true).build().unwrap();
    let answer = post(&known, &b, "/peer/v1/hello", "c").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "it is no hello");
    // The token is asked for besides.
    let answer = known
        .post(format!("https://{}/peer/v1/hello", b.address))
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nobody_is_believed_whose_certificate_is_of_another_instance_or_authority_or_has_expired() {
    let (authority, other) = (Authority::new(), Authority::new());
    let a_files = of(&authority, "a");
    // It has a certificate of its own, and says that it is another.
    let c = agent("c", &of(&authority, "c"), &[]).await;
    let (listener, impostor) = listen().await;
    let says = axum::routing::post(async || r#"{"instance":"b","boot":"1"}"#);
    let router = axum::Router::new().route("/peer/v1/hello", says);
    let door = c.peers.door().unwrap();
    tokio::spawn(serve_privately(listener, router, door, CancellationToken::new()));
    let strange = of(&other, "b");
    strange.believe(&[&authority, &other]);
    let strange_one = agent("b", &strange, &[]).await;
    let expired = none();
    expired.write(&authority, &["urn:zonetide:instance:b"], SystemTime::now() - DAY);
    let expired_one = agent("b", &expired, &[]).await;
    for (address, part) in [
        (impostor, "of another instance"),
        (strange_one.address, "invalid peer certificate"),
        (expired_one.address, "xpired"),
    ] {
        let a = agent("a", &a_files, &[address]).await;
        let refused = || a.link(address).is_some_and(|link| link.last_error.is_some());
        until("it is refused", refused).await;
        let error = a.link(address).unwrap().last_error.unwrap();
        assert!(error.contains(part), "{part}: {error}");
        assert!(!a.stands(address, "reached"));
    }
}

#[tokio::test]
async fn an_instance_speaks_for_itself_alone_and_one_that_receives_tells_nothing() {
    let authority = Authority::new();
    let mut b = agent("b", &of(&authority, "b"), &[]).await;
    let c = client(&of(&authority, "c"), true).build().unwrap();
    let receiver = naming(&authority, "urn:zonetide:receiver:edge");
    let edge = client(&receiver, true).build().unwrap();
    let hello = |instance: &str| format!(r#"{{"instance":"{instance}","boot":"1","progress":{{"main":7}}}}"#);
    for (sender, instance, reason) in [(&c, "a", "identity"), (&edge, "edge", "receiver")] {
        let sent = post(sender, &b, "/peer/v1/changes/main/n", instance)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), StatusCode::FORBIDDEN);
        assert_eq!(b.report().refused[reason], 1);
    }
    let wrong = post(&c, &b, "/peer/v1/hello", "a").body(hello("a")).send().await;
    assert_eq!(wrong.unwrap().status(), StatusCode::FORBIDDEN);
    let asked = post(&c, &b, "/peer/v1/database/main", "a").send().await;
    assert_eq!(asked.unwrap().status(), StatusCode::FORBIDDEN);
    // Who only receives is greeted, and nobody relies on it.
    for (sender, instance, progress) in [(&c, "c", Some(7)), (&edge, "edge", None)] {
        let heard = post(sender, &b, "/peer/v1/hello", instance).body(hello(instance));
        assert_eq!(heard.send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(b.contacts.in_contact(instance), progress.is_some());
        assert_eq!(b.contacts.progress(instance, "main"), progress, "{instance}");
    }
    assert_eq!(b.contacts.progress("a", "main"), None);
    assert!(b.arrivals.try_recv().is_err());
    // Nor does anybody ask it, take a database from it, or go by its clock, as of others.
    let told = agent("t", &of(&authority, "t"), &[]).await;
    let asking = agent("edge", &receiver, &[b.address]).await;
    for (source, believed) in [(&told, true), (&asking, false)] {
        source.peers.answer_by(Still::of(1000));
        let a = agent("a", &of(&authority, "a"), &[source.address]).await;
        a.reaches(source).await;
        assert_eq!(a.outbox.skews().len(), usize::from(believed));
        let questions = a.peers.questions().unwrap();
        assert_eq!(questions.ask().await.len(), usize::from(believed));
        let taken = take(&a, source).await;
        assert_eq!(taken.is_ok(), believed, "{:?}", taken.err());
    }
    asking.reaches(&b).await;
    assert_eq!(asking.outbox.skews().len(), 1);
    b.peers.answer_by(Still::of(1000));
    take(&asking, &b).await.unwrap();
}

async fn take(agent: &Agent, from: &Agent) -> Result<Whole, NotGiven> {
    let address = format!("https://{}", from.address);
    let questions = agent.peers.questions().unwrap();
    questions
        .take(&address, "main", SpooledTempFile::new(0), 10_000)
        .await
}

#[tokio::test]
async fn a_certificate_is_enough_where_there_is_no_token() {
    let authority = Authority::new();
    let (a_files, b_files) = (of(&authority, "a"), of(&authority, "b"));
    let without = |files: &Files, peers: &[SocketAddr]| Settings {
        token: None,
        ..private(files, peers)
    };
    let mut b = Agent::telling("b", without(&b_files, &[])).await;
    let a = Agent::telling("a", without(&a_files, &[b.address])).await;
    a.reaches(&b).await;
    a.tell("first", 10);
    assert_eq!(b.next().await, "first");
}

#[tokio::test]
async fn whoever_does_not_end_the_handshake_is_let_go_and_keeps_no_agent_from_ending() {
    let authority = Authority::new();
    let files = of(&authority, "b");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let peers = Peers::start(
        private(&files, &[]),
        "b",
        ["main".to_owned()],
        Arc::<Addresses>::default(),
    );
    let peers = peers.unwrap();
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    let serving = serve_privately(listener, peers.router(), peers.door().unwrap(), stop.clone());
    let serving = tokio::spawn(serving);
    let mut silent = TcpStream::connect(address).await.unwrap();
    // The first bytes of a ClientHello.
    silent.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let known = client(&files, true).build().unwrap();
    let asked = known.post(format!("https://{address}/")).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::NOT_FOUND);
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn an_agent_with_a_certificate_says_nothing_in_clear_text_though_it_is_told_to() {
    let authority = Authority::new();
    let files = of(&authority, "a");
    let (listener, address) = listen().await;
    let mut plain = private(&files, &[]);
    plain.list = vec![format!("http://{address}")];
    let a = Agent::telling("a", plain).await;
    let refused = || a.link(address).is_some_and(|link| link.last_error.is_some());
    until("it does not greet it", refused).await;
    assert!(listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn an_agent_in_the_dns_is_reached_by_tls() {
    let authority = Authority::new();
    let b = agent("b", &of(&authority, "b"), &[]).await;
    let a_files = of(&authority, "a");
    let mut of_a = private(&a_files, &[]);
    of_a.dns = Some(("peers.example".to_owned(), 8500));
    let addresses = Arc::new(crate::agent::Addresses(Mutex::new(vec![b.address])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = Agent::start("a", listener, of_a, addresses);
    a.reaches(&b).await;
    assert!(a.link(b.address).unwrap().address.starts_with("https://"));
}
