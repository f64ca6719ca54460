//! What the supervisor answers: `/startup`, `/livez`, `/dns`, `/dns/livez`, `/drain`, `/draining`. Nothing can be changed by them but that the pod ends, with a token.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::get;
use subtle::ConstantTimeEq as _;

use super::Settings;
use super::coalesced::Coalesced;
use super::dns::probe;
use super::landmarks::Landmarks;
use super::question::{Heard, judge, lives};
use super::startup::Startup;
use super::story::Story;

/// For so long an answer is good: however many ask, PowerDNS is asked twice a second at most.
const FRESH: Duration = Duration::from_millis(500);
/// Longest drain, seconds.
const LONGEST_DRAIN: u64 = 30;

/// What shows that the pod's own kubelet says that the pod ends.
const DRAIN: HeaderName = HeaderName::from_static("zonetide-drain");

type Words = Result<String, String>;

/// The state behind the endpoints.
pub(super) struct Probes {
    dns: SocketAddr,
    landmarks: Arc<Landmarks>,
    story: Arc<Mutex<Story>>,
    startup: Startup,
    last_startup: Coalesced<Words>,
    last_dns: Coalesced<(Heard, Heard)>,
    /// What whoever says that the pod ends has to show.
    drain_token: Option<String>,
    /// The pod ends.
    draining: AtomicBool,
    /// What the log says of PowerDNS, so that it says it once.
    answered: AtomicBool,
}

impl Probes {
    pub(super) fn new(settings: &Settings, story: Arc<Mutex<Story>>) -> Arc<Self> {
        Arc::new(Self {
            dns: settings.dns,
            landmarks: Arc::new(Landmarks::new(settings.socket_dir.clone())),
            startup: Startup::new(settings.agent, settings.dns, story.clone()),
            story,
            last_startup: Coalesced::new(FRESH),
            last_dns: Coalesced::new(FRESH),
            drain_token: settings.drain_token.clone(),
            draining: AtomicBool::new(false),
            answered: AtomicBool::new(true),
        })
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/startup", get(startup))
            .route("/livez", get(livez))
            .route("/dns", get(dns))
            .route("/dns/livez", get(dns_livez))
            .route("/drain", get(drain))
            .route("/draining", get(draining))
            .with_state(self)
    }

    /// What comes over UDP, and over TCP.
    async fn ask_powerdns(&self) -> (Heard, Heard) {
        let ask = async { probe(self.dns, &self.landmarks.zones()).await };
        let (udp, tcp) = self.last_dns.get(ask).await;
        match &judge(&udp, &tcp) {
            Ok(words) if !self.answered.swap(true, Ordering::Relaxed) => tracing::info!("{words}"),
            Err(words) if self.answered.swap(false, Ordering::Relaxed) => tracing::warn!("{words}"),
            _ => {}
        }
        (udp, tcp)
    }
}

fn answer(words: Words) -> (StatusCode, String) {
    match words {
        Ok(words) => (StatusCode::OK, words + "\n"),
        Err(words) => (StatusCode::SERVICE_UNAVAILABLE, words + "\n"),
    }
}

/// 503 with the agent's words until it was ready once, or PowerDNS answers.
async fn startup(State(probes): State<Arc<Probes>>) -> (StatusCode, String) {
    let look = async { probes.startup.look().await.map(|()| "started".to_owned()) };
    answer(probes.last_startup.get(look).await)
}

/// 200 as long as the supervisor works, whatever the agent does. It says what that is.
async fn livez(State(probes): State<Arc<Probes>>) -> String {
    let story = probes.story.lock().unwrap_or_else(PoisonError::into_inner);
    story.words(Instant::now()) + "\n"
}

/// 503 when PowerDNS does not answer as it should.
async fn dns(State(probes): State<Arc<Probes>>) -> (StatusCode, String) {
    if probes.draining.load(Ordering::Relaxed) {
        return answer(Err("the pod ends: others are to be asked".to_owned()));
    }
    let (udp, tcp) = probes.ask_powerdns().await;
    answer(judge(&udp, &tcp))
}

/// The pod is to end. PowerDNS still answers, but its address leaves the Service, and nodes forget who was sent there: only then may
/// it end. Whoever says so must show the token, since it takes the server away.
async fn draining(State(probes): State<Arc<Probes>>, headers: HeaderMap) -> StatusCode {
    let Some(token) = &probes.drain_token else {
        return StatusCode::NOT_FOUND;
    };
    let given = headers.get(DRAIN).map(HeaderValue::as_bytes).unwrap_or_default();
    if !bool::from(given.ct_eq(token.as_bytes())) {
        return StatusCode::UNAUTHORIZED;
    }
    tracing::info!("the pod ends: its address leaves the Service");
    probes.draining.store(true, Ordering::Relaxed);
    StatusCode::OK
}

/// 503 when PowerDNS answers nothing.
async fn dns_livez(State(probes): State<Arc<Probes>>) -> (StatusCode, String) {
    let (udp, tcp) = probes.ask_powerdns().await;
    answer(lives(&udp, &tcp))
}

/// Answers after the seconds asked for. A hook that waits for it keeps a container until endpoints have forgotten its pod.
///
/// It holds a connection and nothing else, so that the bound of connections is the bound of these.
async fn drain(RawQuery(query): RawQuery) -> (StatusCode, String) {
    let query = query.unwrap_or_default();
    let seconds = query.split('&').find_map(|pair| pair.strip_prefix("seconds="));
    let Some(seconds) = seconds.and_then(|seconds| seconds.parse::<u64>().ok()) else {
        let words = format!("say for how long: /drain?seconds=N, at most {LONGEST_DRAIN}\n");
        return (StatusCode::BAD_REQUEST, words);
    };
    let seconds = seconds.min(LONGEST_DRAIN);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    (StatusCode::OK, format!("{seconds} s have passed\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(drain_token: Option<&str>) -> Arc<Probes> {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let settings = Settings {
            listen: String::new(),
            dns: nobody,
            agent: nobody,
            socket_dir: "/nonexistent".into(),
            patience: Duration::from_secs(60),
            drain_token: drain_token.map(str::to_owned),
            arguments: vec![],
            environment: vec![],
        };
        Probes::new(&settings, Arc::default())
    }

    #[tokio::test]
    async fn only_who_has_the_token_can_say_that_the_pod_ends() {
        let shown = |token: &str| HeaderMap::from_iter([(DRAIN, HeaderValue::from_str(token).unwrap())]);
        let none = probes(None);
        assert_eq!(draining(State(none), shown("")).await, StatusCode::NOT_FOUND);
        let pod = probes(Some("right"));
        for headers in [HeaderMap::new(), shown(""), shown("wrong")] {
            assert_eq!(
                draining(State(pod.clone()), headers).await,
                StatusCode::UNAUTHORIZED
            );
            assert!(!pod.draining.load(Ordering::Relaxed));
        }
        assert_eq!(draining(State(pod.clone()), shown("right")).await, StatusCode::OK);
        let (code, words) = dns(State(pod)).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(words.contains("the pod ends"), "{words}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_takes_as_long_as_it_is_asked_to_and_half_a_minute_at_most() {
        for (query, code, seconds) in [
            ("seconds=5", StatusCode::OK, 5),
            ("a=b&seconds=0", StatusCode::OK, 0),
            ("seconds=4000000000", StatusCode::OK, 30),
            ("seconds=-1", StatusCode::BAD_REQUEST, 0),
            ("", StatusCode::BAD_REQUEST, 0),
        ] {
            let begin = tokio::time::Instant::now();
            let (answer, _) = drain(RawQuery(Some(query.to_owned()))).await;
            assert_eq!((answer, begin.elapsed().as_secs()), (code, seconds), "{query}");
        }
    }
}
