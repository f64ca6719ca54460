//! How the configuration's `serving` becomes decisions, and how they reach the peers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::SpooledTempFile;

use super::sync::now;
use crate::config::Config;
use crate::peers::{Answer, NotGiven, Peers, Questions, Source, Whole};
use crate::report::ReportServing;
use crate::sync::serving::{Neighbour, Neighbours, NotTaken, Question, Reply, Rules, Says, Serving};
use crate::sync::{Wanted, Word};

/// Who decides when the server may be asked.
pub(super) fn serving(config: &Config, receive_only: bool, status: Arc<dyn ReportServing>) -> Serving {
    let rules = Rules {
        stale_for: config.serving.stale_for.0,
        store_patience: config.serving.store_patience.0,
    };
    let databases = config.lmdbs.keys().cloned();
    Serving::new(rules, databases, receive_only, status, Arc::new(now))
}

/// The peers as serving sees them.
struct Asked(Questions);

#[async_trait]
impl Neighbours for Asked {
    async fn ask(&self) -> Vec<Neighbour> {
        let neighbour = |answer: Answer| {
            let says = serde_json::from_value(answer.says);
            let says = says.inspect_err(|error| {
                tracing::debug!(peer = %answer.instance, %error, "what a peer says of itself is not understood");
            });
            Some(Neighbour {
                says: says.ok()?,
                instance: answer.instance,
                boot: answer.boot,
                address: answer.address,
            })
        };
        self.0.ask().await.into_iter().filter_map(neighbour).collect()
    }

    async fn take(
        &self,
        from: &Neighbour,
        database: &str,
        into: SpooledTempFile,
        most: u64,
    ) -> Result<(Word, SpooledTempFile), NotTaken> {
        let taken = self.0.take(&from.address, database, into, most).await;
        let Whole { says, object, .. } = taken.map_err(not_taken)?;
        let word = serde_json::from_value(says);
        let word =
            word.map_err(|error| NotTaken::Failed(format!("what it says is not understood: {error}")))?;
        Ok((word, object))
    }

    fn reached(&self) -> BTreeMap<String, String> {
        self.0.reached()
    }

    async fn question(&self, address: &str, database: &str, question: &Question) -> Option<Reply> {
        let question = serde_json::to_value(question).ok()?;
        let answer = self.0.question(address, database, &question, ANSWERED).await;
        let answer =
            answer.and_then(|answer| serde_json::from_value(answer).map_err(|error| error.to_string()));
        answer
            .inspect_err(|reason| tracing::debug!(address, database, reason, "a peer has no answer"))
            .ok()
    }

    async fn entries(
        &self,
        address: &str,
        database: &str,
        wanted: &Wanted,
        into: SpooledTempFile,
        most: u64,
    ) -> Result<SpooledTempFile, NotTaken> {
        let wanted = serde_json::to_value(wanted).map_err(|error| NotTaken::Failed(error.to_string()))?;
        let given = self.0.entries(address, database, &wanted, into, most).await;
        given.map(|given| given.object).map_err(not_taken)
    }
}

fn not_taken(refused: NotGiven) -> NotTaken {
    match refused {
        NotGiven::Busy => NotTaken::Busy,
        NotGiven::Failed(reason) => NotTaken::Failed(reason),
    }
}

/// Time that a peer has to answer a question: it may look at every entry first.
const ANSWERED: Duration = Duration::from_secs(60);

/// What peers are answered.
struct Answers(Arc<Serving>);

#[async_trait]
impl Source for Answers {
    async fn say(&self) -> Option<serde_json::Value> {
        let says: Says = self.0.say().await?;
        serde_json::to_value(says).ok()
    }

    async fn hand_over(&self, database: &str) -> Option<Whole> {
        let (word, dump) = self.0.hand_over(database).await?;
        Some(Whole {
            says: serde_json::to_value(word).ok()?,
            object: dump.object,
            size: dump.size,
        })
    }

    async fn answer(
        &self,
        from: Option<&str>,
        database: &str,
        question: serde_json::Value,
    ) -> Option<serde_json::Value> {
        let question = serde_json::from_value(question).ok()?;
        let reply = self.0.reply(from, database, question).await?;
        serde_json::to_value(reply).ok()
    }

    async fn entries(&self, database: &str, wanted: serde_json::Value) -> Option<Whole> {
        let wanted = serde_json::from_value(wanted).ok()?;
        let (object, size) = self.0.entries_of(database, wanted).await?;
        Some(Whole {
            says: serde_json::Value::Null,
            object,
            size,
        })
    }
}

/// Has peers answered who start, and returns those that can be asked; none without peers.
pub(super) fn answer_for(serving: &Arc<Serving>, peers: &Peers) -> Option<Arc<dyn Neighbours>> {
    peers.answer_by(Arc::new(Answers(serving.clone())));
    let questions = peers.questions()?;
    Some(Arc::new(Asked(questions)))
}
