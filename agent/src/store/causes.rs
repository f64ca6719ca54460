//! Errors whose text leaves out what caused them: of a broken connection the HTTP client says no more than that a request
//! could not be sent.

use std::error::Error;

/// The text of an error, and that of each of its causes that is not in it already.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot ask ({0})")]
    struct Telling(#[source] Silent);

    #[derive(Debug, thiserror::Error)]
    #[error("no luck")]
    struct Silent(#[source] std::io::Error);

    #[test]
    fn each_cause_is_told_once() {
        let error = Telling(Silent(std::io::Error::other("connection reset")));
        assert_eq!(with_causes(&error), "cannot ask (no luck): connection reset");
    }
}
