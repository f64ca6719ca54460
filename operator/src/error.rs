//! What can go wrong in a reconcile, by step, and the short category that events and metrics show.

use std::error::Error as StdError;

use thiserror::Error;

use crate::reconcile::{apply::ApplyError, fetch::FetchError, status::StatusError};

#[derive(Debug, Error)]
pub enum Error {
    /// The definition of the kind accepted an object that our types do not.
    #[error(
        "the DnsCluster cannot be read ({0}): apply the definition of this version, from crds/ or the chart"
    )]
    Unreadable(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Status(#[from] StatusError),
}

impl Error {
    /// A word for metrics: there are few of them.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Fetch(_) => "fetch",
            Self::Apply(_) => "apply",
            Self::Status(_) => "status",
        }
    }

    /// The whole chain in one line.
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }
}

/// The innermost cause, like "connection refused": the layers around it say nothing to a user.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
