//! Asks the other agents how they are, and takes whole databases from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use tempfile::SpooledTempFile;
use tokio::time::timeout;

use super::answers::LONGEST;
use super::core::Core;
use super::link::Standing;
use super::lock;
use super::message::{
    DATABASE_PATH, ENTRIES_PATH, LONGEST_SAYS, QUESTION_PATH, SAYS, STATE_PATH, Statement, is_boot,
    is_instance,
};
use super::request::{post, read, reason};
use super::source::{Answer, Whole};
use super::transport::answered_by;

/// Time until a database begins to come: the other agent looks at every entry first.
const BEGINNING: Duration = Duration::from_secs(60);
/// Time without anything more of it.
const STALL: Duration = Duration::from_secs(15);

/// Why a peer gave no database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGiven {
    /// It gives to somebody else now.
    Busy,
    /// For people.
    Failed(String),
}

impl<S: Into<String>> From<S> for NotGiven {
    fn from(reason: S) -> Self {
        Self::Failed(reason.into())
    }
}

/// Asks the peers. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    core: Arc<Core>,
}

impl Questions {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Asks all peers at a time, each no longer than any request may last. Who does not answer, or is too old to know the
    /// question, is not among the answers, and an agent with two addresses is once.
    pub async fn ask(&self) -> Vec<Answer> {
        let addresses: Vec<String> = {
            let links = lock(&self.core.links);
            let others = links.values().filter(|link| link.standing() != Standing::Own);
            others.map(|link| link.address.clone()).collect()
        };
        let asked = addresses.iter().map(|address| self.ask_one(address));
        let mut boots = BTreeSet::new();
        let answers = join_all(asked).await.into_iter().flatten();
        answers
            .filter(|answer| boots.insert(answer.boot.clone()))
            .collect()
    }

    async fn ask_one(&self, address: &str) -> Option<Answer> {
        let sent = self.post(address, &[STATE_PATH], Bytes::new(), None).await;
        let who = sent.as_ref().ok().and_then(answered_by);
        let body = match sent {
            Ok(mut response) if response.status() == StatusCode::OK => {
                read(&mut response, LONGEST_SAYS).await
            }
            Ok(response) => Err(format!("it answers {}", response.status())),
            Err(reason) => Err(reason),
        };
        match body.map(|body| serde_json::from_slice::<Statement>(&body)) {
            Ok(Ok(Statement { instance, boot, says }))
                if is_instance(&instance)
                    && is_boot(&boot)
                    && who.is_none_or(|who| who.instance == instance) =>
            {
                Some(Answer {
                    address: address.to_owned(),
                    instance,
                    boot,
                    says,
                })
            }
            Ok(_) => {
                tracing::debug!(address, "what answers there is no agent");
                None
            }
            Err(reason) => {
                tracing::debug!(address, reason, "a peer does not say how it is");
                None
            }
        }
    }

    /// The instances that answer, by the address of one of their starts, in the order of their names.
    pub fn reached(&self) -> BTreeMap<String, String> {
        let links = lock(&self.core.links);
        let states = links.values().map(|link| (link.state(), &link.address));
        let reached = states.filter(|(state, _)| state.standing == Standing::Reached);
        reached
            .filter_map(|(state, address)| Some((state.instance?, address.clone())))
            .collect()
    }

    /// Asks the peer at an address something about a database. `limit`: for the whole request.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub async fn question(
        &self,
        address: &str,
        database: &str,
        question: &serde_json::Value,
        limit: Duration,
    ) -> Result<serde_json::Value, String> {
        let path = [QUESTION_PATH, database];
        let question = serde_json::to_vec(question).map_err(|error| error.to_string())?;
        let mut response = self.post(address, &path, question.into(), Some(limit)).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let answer = read(&mut response, LONGEST_SAYS).await?;
        serde_json::from_slice(&answer).map_err(|error| format!("its answer is not understood: {error}"))
    }

    async fn post(
        &self,
        address: &str,
        path: &[&str],
        body: Bytes,
        limit: Option<Duration>,
    ) -> Result<Response, String> {
        let body = (body, "application/json");
        let response = post(&self.core, address, path, body, limit).await?;
        match answered_by(&response) {
            Some(who) if !who.may_tell() => Err("by its certificate it only receives".to_owned()),
            _ => Ok(response),
        }
    }

    /// Has the peer at an address hand a database over, which goes into `object`: at most `most` bytes.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn take(
        &self,
        address: &str,
        database: &str,
        object: SpooledTempFile,
        most: u64,
    ) -> Result<Whole, NotGiven> {
        let path = [DATABASE_PATH, database];
        self.take_object((address, &path), Bytes::new(), object, most)
            .await
    }

    /// Has the peer at an address give some entries of a database, which go into `object`: at most `most` bytes.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn entries(
        &self,
        address: &str,
        database: &str,
        wanted: &serde_json::Value,
        object: SpooledTempFile,
        most: u64,
    ) -> Result<Whole, NotGiven> {
        let path = [ENTRIES_PATH, database];
        let wanted = serde_json::to_vec(wanted).map_err(|error| error.to_string())?;
        self.take_object((address, &path), wanted.into(), object, most)
            .await
    }

    async fn take_object(
        &self,
        (address, path): (&str, &[&str]),
        body: Bytes,
        mut object: SpooledTempFile,
        most: u64,
    ) -> Result<Whole, NotGiven> {
        let asked = timeout(BEGINNING, self.post(address, path, body, Some(LONGEST)));
        let mut response = asked.await.map_err(|_| "it does not begin to hand it over")??;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => return Err(NotGiven::Busy),
            StatusCode::NOT_FOUND => return Err("it does not have this database".into()),
            status => return Err(format!("it answers {status}").into()),
        }
        let said = response.headers().get(SAYS);
        let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
        let said: usize = said
            .filter(|length| *length <= LONGEST_SAYS)
            .ok_or("it does not say what it hands over")?;
        let mut says = Vec::with_capacity(said);
        let mut size = 0_u64;
        loop {
            let chunk = timeout(STALL, response.chunk()).await;
            let chunk = chunk.map_err(|_| "it stopped half-way")?.map_err(reason)?;
            let Some(chunk) = chunk else { break };
            let (head, rest) = chunk.split_at(chunk.len().min(said - says.len()));
            says.extend_from_slice(head);
            size += rest.len() as u64;
            if size > most {
                return Err(format!("it hands over more than {most} bytes").into());
            }
            // Into memory or the page cache: too short to be worth another thread.
            object.write_all(rest).map_err(|error| error.to_string())?;
        }
        object.rewind().map_err(|error| error.to_string())?;
        let says = serde_json::from_slice(&says).map_err(|_| "it does not say what it hands over")?;
        Ok(Whole { says, object, size })
    }
}
