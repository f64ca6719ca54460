//! How the configuration's `serving` becomes decisions, and how they reach the peers.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::SpooledTempFile;

use super::sync::now;
use crate::config::Config;
use crate::peers::{Answer, NotGiven, Peers, Questions, Source, Whole};
use crate::report::ReportServing;
use crate::sync::Word;
use crate::sync::serving::{Neighbour, Neighbours, NotTaken, Rules, Says, Serving};

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
        let Whole { says, object, .. } = taken.map_err(|refused| match refused {
            NotGiven::Busy => NotTaken::Busy,
            NotGiven::Failed(reason) => NotTaken::Failed(reason),
        })?;
        let word = serde_json::from_value(says);
        let word =
            word.map_err(|error| NotTaken::Failed(format!("what it says is not understood: {error}")))?;
        Ok((word, object))
    }
}

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
}

/// Has peers answered who start, and returns those that can be asked; none without peers.
pub(super) fn answer_for(serving: &Arc<Serving>, peers: &Peers) -> Option<Arc<dyn Neighbours>> {
    peers.answer_by(Arc::new(Answers(serving.clone())));
    let questions = peers.questions()?;
    Some(Arc::new(Asked(questions)))
}
