//! What an agent says of itself to another that starts, and the databases that it hands over. What either means is not
//! known here.

use async_trait::async_trait;
use tempfile::SpooledTempFile;

/// Who can answer for this agent.
#[async_trait]
pub trait Source: Send + Sync {
    /// What this agent says of itself; `None`: nothing yet.
    async fn say(&self) -> Option<serde_json::Value>;
    /// A whole database as an object; `None`: it cannot be had now.
    async fn hand_over(&self, database: &str) -> Option<Whole>;
    /// The answer to a question of another agent about a database; `None`: there is none now. `from`: which one it is, unless it only
    /// receives.
    async fn answer(
        &self,
        from: Option<&str>,
        database: &str,
        question: serde_json::Value,
    ) -> Option<serde_json::Value>;
    /// Some entries of a database as an object; `None`: they cannot be had now.
    async fn entries(&self, database: &str, wanted: serde_json::Value) -> Option<Whole>;
}

/// A whole database on its way.
#[derive(Debug)]
pub struct Whole {
    /// What is to be said of it.
    pub says: serde_json::Value,
    pub object: SpooledTempFile,
    /// Length of the object, bytes.
    pub size: u64,
}

/// An answer of another agent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `http://host:port`, for [`super::Questions::take`].
    pub address: String,
    /// In the form that names of objects have it.
    pub instance: String,
    /// Another one than before means that it has started again.
    pub boot: String,
    pub says: serde_json::Value,
}
