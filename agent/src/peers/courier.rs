//! Carries what waits for one peer, one request after the other over one connection, and greets it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::Settings;
use super::core::Core;
use super::identity::Identity;
use super::link::{Link, Standing, Waiting};
use super::message::{CHANGES_PATH, HELLO_PATH, LONGEST_HELLO, Welcome, is_boot, is_instance};
use super::request::{post, read};
use super::transport::answered_by;
use crate::clocks::Moment;
use crate::skew::Sample;

/// Hellos to a peer that is away are at most so many times rarer.
const RAREST: u32 = 4;
/// The own address is tried again after so many hellos: behind a name or a Service there may be another agent by then.
const OWN: u32 = 30;
/// A peer that has no room is asked so often, with at most this time between.
const MOST_REFUSALS: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What became of a request.
enum Outcome {
    Done(Bytes, Option<Identity>),
    Own,
    /// It may work after a while.
    Busy(Duration),
    /// The peer answers, but does not take this.
    Unwanted(String),
    Failed(String),
}

pub(super) struct Courier {
    core: Arc<Core>,
    link: Arc<Link>,
    settings: Settings,
    failures: u32,
}

impl Courier {
    pub(super) fn new(core: Arc<Core>, link: Arc<Link>, settings: Settings) -> Self {
        Self {
            core,
            link,
            settings,
            failures: 0,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut hello = Instant::now();
        let mut paused = hello;
        loop {
            let now = Instant::now();
            if self.link.must_greet() {
                hello = hello.min(now);
            }
            // Changes go first, so that nobody learns of them by a hello and looks for them in the store; but a queue that
            // never gets empty must not keep the hellos back.
            if now >= paused
                && now < hello + self.settings.hello
                && let Some(waiting) = self.link.take()
            {
                if let Some(pause) = self.tell(waiting).await {
                    paused = Instant::now() + pause;
                }
                if self.link.standing() != Standing::Reached {
                    hello = Instant::now() + self.until_next();
                }
                continue;
            }
            if now >= hello {
                self.greet().await;
                hello = Instant::now() + self.until_next();
                continue;
            }
            let until = if paused > now { hello.min(paused) } else { hello };
            tokio::select! {
                () = self.link.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn until_next(&self) -> Duration {
        let hello = self.settings.hello;
        match self.link.standing() {
            Standing::New | Standing::Reached => hello,
            Standing::Away => {
                hello
                    * 2_u32
                        .saturating_pow(self.failures.saturating_sub(1))
                        .clamp(1, RAREST)
            }
            Standing::Own => hello * OWN,
        }
    }

    /// Tells changes once; how long to wait if the peer has no room for them.
    async fn tell(&mut self, mut waiting: Waiting) -> Option<Duration> {
        let changes = &waiting.changes;
        let path = [CHANGES_PATH, &changes.database, &changes.name];
        match self
            .post(&path, changes.object.clone(), "application/octet-stream")
            .await
        {
            Outcome::Done(..) => {
                self.core.latency.observe(waiting.since.elapsed().as_secs_f64());
                self.link.told();
            }
            Outcome::Own => self.own(1),
            Outcome::Busy(pause) => {
                waiting.refusals += 1;
                if waiting.refusals < MOST_REFUSALS {
                    self.link.put_back(waiting);
                } else {
                    self.link.dropped("it has no room for changes".to_owned());
                }
                return Some(pause);
            }
            Outcome::Unwanted(reason) => self.link.dropped(reason),
            Outcome::Failed(reason) => self.lost(&reason, 1),
        }
        None
    }

    async fn greet(&mut self) {
        let hello = match serde_json::to_vec(&self.core.hello()) {
            Ok(hello) => hello,
            Err(error) => return self.lost(&error.to_string(), 0),
        };
        let asked = Moment::now();
        let outcome = self.post(&[HELLO_PATH], hello.into(), "application/json").await;
        let answered = Moment::now();
        match outcome {
            Outcome::Done(body, who) => match serde_json::from_slice::<Welcome>(&body) {
                Ok(welcome) if who.as_ref().is_some_and(|who| who.instance != welcome.instance) => {
                    self.lost("its certificate is of another instance than it says", 0);
                }
                Ok(mut welcome) if is_instance(&welcome.instance) && is_boot(&welcome.boot) => {
                    // The time of one that may tell nothing else counts as little.
                    if who.is_some_and(|who| !who.may_tell()) {
                        welcome.clock = None;
                    }
                    self.welcomed(welcome, asked, answered);
                }
                _ => self.lost("what answers there is no agent", 0),
            },
            Outcome::Own => self.own(0),
            Outcome::Busy(_) => self.lost("it knows too many agents", 0),
            Outcome::Unwanted(reason) | Outcome::Failed(reason) => self.lost(&reason, 0),
        }
    }

    fn welcomed(&mut self, welcome: Welcome, asked: Moment, answered: Moment) {
        self.failures = 0;
        let Welcome {
            instance,
            boot,
            clock,
        } = welcome;
        let time = clock.and_then(|clock| Sample::exact(clock, asked, answered));
        if self.link.greeted(instance.clone(), boot, time) {
            tracing::info!(address = %self.link.address, peer = %instance, "a peer is in contact");
        }
    }

    fn lost(&mut self, reason: &str, taken: usize) {
        self.failures = self.failures.saturating_add(1);
        let address = &self.link.address;
        if self.link.lost(reason.to_owned(), taken) {
            tracing::warn!(%address, error = reason, "no contact: changes reach this peer through the store");
        } else {
            tracing::debug!(%address, error = reason, "no contact");
        }
    }

    fn own(&mut self, taken: usize) {
        self.failures = 0;
        if self.link.is_own(taken) {
            tracing::debug!(address = %self.link.address, "this is the own address");
        }
    }

    async fn post(&self, path: &[&str], body: Bytes, kind: &'static str) -> Outcome {
        match post(&self.core, &self.link.address, path, (body, kind), None).await {
            Ok(response) => outcome(response).await,
            Err(reason) => Outcome::Failed(reason),
        }
    }
}

async fn outcome(mut response: Response) -> Outcome {
    let (status, who) = (response.status(), answered_by(&response));
    let pause = response.headers().get(RETRY_AFTER);
    let pause = pause.and_then(|pause| pause.to_str().ok()?.parse().ok());
    let pause = pause
        .map_or(LONGEST_PAUSE, Duration::from_secs)
        .min(LONGEST_PAUSE);
    let body = match read(&mut response, LONGEST_HELLO).await {
        Ok(body) => body,
        Err(reason) => return Outcome::Failed(reason),
    };
    match status {
        status if status.is_success() => Outcome::Done(body, who),
        StatusCode::MISDIRECTED_REQUEST => Outcome::Own,
        StatusCode::SERVICE_UNAVAILABLE => Outcome::Busy(pause),
        StatusCode::UNAUTHORIZED => {
            Outcome::Failed("it refuses the token: give all agents the same".to_owned())
        }
        StatusCode::CONFLICT => {
            Outcome::Failed("it has the name of this instance: give each its own".to_owned())
        }
        StatusCode::FORBIDDEN => Outcome::Unwanted(
            "it takes nothing from this agent: by its certificate this is another instance, or one that only receives".to_owned(),
        ),
        StatusCode::NOT_FOUND => Outcome::Unwanted("it does not have this database".to_owned()),
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::Unwanted("its peers.max_object is smaller".to_owned()),
        status => Outcome::Failed(format!("it answers {status}")),
    }
}
