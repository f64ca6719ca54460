//! What can go wrong in a reconcile, by step, and the short category that events and metrics show.

use std::error::Error as StdError;

use thiserror::Error;

use crate::reconcile::{apply::ApplyError, fetch::FetchError, status::StatusError};

#[derive(Debug, Error)]
pub enum Error {
    /// The definition of the kind accepted an object that our types do not.
    #[error("the object cannot be read ({0}): apply the definition of this version, from crds/ or the chart")]
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
            if let Some(kube::Error::Api(status)) = error.downcast_ref() {
                // Its Display adds the whole answer.
                text.push_str(&status.message);
                break;
            }
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }

    /// Whether it failed because the namespace is being deleted, and the `DnsCluster` with it.
    pub fn is_namespace_ending(&self) -> bool {
        let mut next = self.source();
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref() {
                return is_namespace_ending(error);
            }
            next = error.source();
        }
        false
    }
}

/// Whether the API server refused something because the namespace is being deleted.
pub(crate) fn is_namespace_ending(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == "NamespaceTerminating")
}

/// The innermost cause, like "connection refused": the layers around it say nothing to a user.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(cause: &str) -> Error {
        let status = serde_json::from_value(json!({
            "status": "Failure", "message": "services \"a\" is forbidden: why", "reason": "Forbidden", "code": 403,
            "details": {"causes": [{"reason": cause}]},
        }));
        let source = kube::Error::Api(Box::new(status.unwrap()));
        ApplyError::Apply {
            kind: "Service".into(),
            name: "a".into(),
            source,
        }
        .into()
    }

    #[test]
    fn an_answer_of_the_api_server_is_described_by_its_message_alone() {
        assert_eq!(
            refused("").describe(),
            "failed to apply Service a: services \"a\" is forbidden: why"
        );
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_told_apart() {
        assert!(refused("NamespaceTerminating").is_namespace_ending());
        assert!(!refused("").is_namespace_ending());
    }
}
