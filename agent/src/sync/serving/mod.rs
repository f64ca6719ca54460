//! When a server may be asked: the bucket, the peers or the age of the own data say that it is up to date.
//!
//! Nothing in here touches the rules of storing: as long as the store has not been seen, nothing is stored.

mod comparing;
mod keeper;
mod members;
mod neighbours;
mod peers;
mod rule;
mod suspects;

use std::sync::Arc;

pub use neighbours::{Neighbour, Neighbours, NotTaken, Question, Reply, Says};
pub use rule::Rules;

use self::members::Members;
use self::suspects::Suspects;
use crate::report::ReportServing;
use crate::sync::database::dump::Dump;
use crate::sync::known::fleet_time::Clock;
use crate::sync::known::word::Word;
use crate::sync::state::replica::Replica;

/// Decides when an agent serves, and answers other agents that start.
pub struct Serving {
    rules: Rules,
    receive_only: bool,
    members: Members,
    status: Arc<dyn ReportServing>,
    /// Who was found to differ when it asked.
    suspects: Suspects,
}

impl Serving {
    /// Of an agent that starts now and has databases of these names. What comes of it is reported to `status`.
    pub fn new(
        rules: Rules,
        databases: impl IntoIterator<Item = String>,
        receive_only: bool,
        status: Arc<dyn ReportServing>,
        clock: Clock,
    ) -> Self {
        Self {
            rules,
            receive_only,
            members: Members::new(databases.into_iter().collect(), clock),
            status,
            suspects: Suspects::default(),
        }
    }

    /// A database is open, and what the last run knew of it is known.
    pub(in crate::sync) fn join(&self, replica: Arc<Replica>) {
        self.members.join(replica);
        self.status.in_sync(self.members.last_in_sync());
    }

    /// What this server says of itself, once all its databases are open.
    pub async fn say(&self) -> Option<Says> {
        if !self.members.are_open() {
            return None;
        }
        Some(self.members.say(&*self.status, !self.receive_only).await)
    }

    /// A database for another server; `None`: it cannot be had now.
    pub async fn hand_over(&self, database: &str) -> Option<(Word, Dump)> {
        if self.receive_only {
            return None;
        }
        self.members.hand_over(database).await
    }
}
