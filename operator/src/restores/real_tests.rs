//! The operator's client before a real agent's door, with certificates as the operator makes them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use zonetide_agent::{
    peers::{CertificateFiles, Peers, Settings, SystemResolver, TokenSource},
    restoring::{Limits, Restorer},
    serve::serve_privately,
};
use zonetide_crds::DnsRestoreSpec;

use super::{
    client::{Denied, Door, RealRestorers, Restorers},
    message::{Account, Order, State, Why},
};
use crate::{
    peer_certificates::{Pair, PeerCertificates, Server},
    secret::SecretText,
};

const NAME: &str = "peers of shore/tide";
const TOKEN: &str = "a-token-that-only-tests-have";

/// Those of two servers.
fn certificates() -> PeerCertificates {
    let servers = ["tide-0", "tide-1"].map(|pod| Server {
        pod: pod.to_owned(),
        instance: format!("moon-shore-{pod}"),
    });
    let none = PeerCertificates::read(None, None);
    none.renewed(NAME, &servers, Timestamp::now()).unwrap()
}

struct Agent {
    address: SocketAddr,
    _peers: Peers,
    _dir: tempfile::TempDir,
    _stop: DropGuard,
}

/// The agent of tide-0, which runs this text of a shell where it is ordered to restore.
async fn agent(certificates: &PeerCertificates, script: &str) -> Agent {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> io::Result<std::path::PathBuf> {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let own = &certificates.servers["tide-0"];
    let mut settings = Settings::new();
    settings.token = Some(TokenSource::Text(TOKEN.to_owned()));
    settings.certificates = Some(CertificateFiles {
        ca: write("ca", &certificates.believed).unwrap(),
        cert: write("cert", &own.certificate).unwrap(),
        key: write("key", own.key.expose()).unwrap(),
    });
    let databases = ["main".to_owned()];
    let peers = Peers::start(settings, "moon.shore-tide-0", databases, Arc::new(SystemResolver)).unwrap();
    let arguments = ["-c", script, "sh"].map(Into::into);
    let restorer = Restorer::new(
        "/bin/sh".into(),
        arguments.into(),
        Vec::new(),
        "/nowhere".into(),
        Limits::default(),
    );
    peers.restore_by(Arc::new(restorer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve_privately(
        listener,
        peers.router(),
        peers.door().unwrap(),
        stop.clone(),
    ));
    Agent {
        address,
        _peers: peers,
        _dir: dir,
        _stop: stop.drop_guard(),
    }
}

fn door(agent: &Agent, certificates: &PeerCertificates, own: Pair) -> Door {
    Door {
        port: agent.address.port(),
        ..Door::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            "moon-shore-tide-0".to_owned(),
            certificates.believed.clone(),
            own,
            SecretText::new(TOKEN),
        )
    }
}

fn operator(certificates: &PeerCertificates) -> Pair {
    let own = certificates.for_operator(NAME, Timestamp::now());
    own.unwrap().unwrap()
}

fn order(id: &str) -> Order {
    let spec = DnsRestoreSpec {
        cluster: "tide".to_owned(),
        at: Time("2026-11-30T10:00:00Z".parse().unwrap()),
        zones: vec!["a.example".to_owned()],
        all: false,
        dry_run: false,
        despite_gaps: false,
    };
    Order::new(id, &spec)
}

async fn comes_to_end(door: &Door, id: &str) -> Account {
    let look = async {
        loop {
            let account = RealRestorers.account(door, id).await.unwrap().unwrap();
            if account.finished_at.is_some() {
                return account;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.unwrap()
}

#[tokio::test]
async fn an_agent_does_what_the_operator_orders_and_tells_what_came_of_it() {
    let certificates = certificates();
    let script = r#"case "$*" in
        *--zone=a.example*) echo '{"change":"+ a"}'; echo '{"plan":{"zones":1,"rrsets":2,"entries":7}}'
            echo '{"result":{"written":7,"left":0}}';;
    esac"#;
    let agent = agent(&certificates, script).await;
    let door = door(&agent, &certificates, operator(&certificates));
    assert_eq!(RealRestorers.account(&door, "1").await, Ok(None));
    let begun = RealRestorers.order(&door, &order("1")).await.unwrap();
    assert_eq!(begun.state, State::Planning);
    let done = comes_to_end(&door, "1").await;
    assert_eq!(
        (done.state, done.lines, done.total_lines),
        (State::Done, vec!["+ a".to_owned()], 1)
    );
    assert_eq!(done.plan.unwrap().rrsets, 2);
    assert!(done.started_at.is_some() && done.failed.is_none());
}

#[tokio::test]
async fn what_failed_says_why_and_a_second_restore_waits() {
    let certificates = certificates();
    let script = r#"case "$*" in
        *--zone=a.example*) echo '{"failed":{"reason":"NoHistory","message":"m"}}'; exit 1;;
        *) exec sleep 1000;;
    esac"#;
    let agent = agent(&certificates, script).await;
    let door = door(&agent, &certificates, operator(&certificates));
    RealRestorers.order(&door, &order("1")).await.unwrap();
    let failed = comes_to_end(&door, "1").await.failed.unwrap();
    assert_eq!(failed.reason, Why::NoHistory);
    let mut slow = order("2");
    slow.zones = vec!["b.example".to_owned()];
    RealRestorers.order(&door, &slow).await.unwrap();
    assert_eq!(RealRestorers.order(&door, &order("3")).await, Err(Denied::Busy));
}

#[tokio::test]
async fn a_servers_certificate_orders_nothing_and_only_the_right_server_is_asked() {
    let certificates = certificates();
    let agent = agent(&certificates, "exit 1").await;
    let denied = async |door: &Door| match RealRestorers.order(door, &order("1")).await {
        Err(Denied::Away(why)) => why,
        other => panic!("{other:?}"),
    };
    let peer = certificates.servers["tide-1"].clone();
    let why = denied(&door(&agent, &certificates, peer)).await;
    assert!(
        why.contains("it refuses with 403: its certificate is not for this"),
        "{why}"
    );
    let right = door(&agent, &certificates, operator(&certificates));
    let tokenless = Door {
        token: SecretText::new("another-token-than-that"),
        ..right.clone()
    };
    let why = denied(&tokenless).await;
    assert!(
        why.contains("it refuses with 401") && !why.contains("another"),
        "{why}"
    );
    let another = Door {
        instance: "moon-shore-tide-1".to_owned(),
        ..right.clone()
    };
    let why = denied(&another).await;
    assert!(why.contains("not that of moon-shore-tide-1"), "{why}");
    let others = self::certificates();
    let why = denied(&door(&agent, &others, operator(&certificates))).await;
    assert!(why.contains("certificate"), "{why}");
    let mut wrong = order("1");
    wrong.zones = vec!["a..example".to_owned()];
    let unfit = RealRestorers.order(&right, &wrong).await;
    assert!(matches!(unfit, Err(Denied::Unfit(_))), "{unfit:?}");
    let gone = Door { port: 1, ..right };
    assert!(denied(&gone).await.contains("refused"));
}
