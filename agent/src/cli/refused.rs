//! Why a past cannot be shown or brought back, for people and for programs.

use crate::history::HistoryError;
use crate::restoring::Reason;

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("--at is not in the past")]
    NotPast,
    #[error(
        "there is no zone {zone} and was none at {at}: `zonetide-agent history --zone {zone}` shows when there was"
    )]
    UnknownZone { zone: String, at: String },
    #[error("there was no zone {zone} at {at}: `zonetide-agent history --zone {zone}` shows when there was")]
    NoZoneThen { zone: String, at: String },
    #[error("--as needs exactly one --zone")]
    NotOneZone,
    #[error(
        "there is a zone {0}, and a copy never replaces one: choose another name, or delete that zone first"
    )]
    Exists(String),
    #[error("the history of {database} begins at {from}: choose that time or a later one")]
    BeforeHistory { database: String, from: String },
    #[error(
        "something is missing in the history, see above, and would be taken back as well: look at what --dry-run shows, and if that is \
         right, add --despite-gaps"
    )]
    Gaps,
    #[error(
        "{0} entries were written by somebody else meanwhile and stay as they are: run this again if they are to be as they were, too"
    )]
    Left(u64),
}

/// What programs go by.
pub(super) fn reason(error: &anyhow::Error) -> Reason {
    if let Some(refused) = error.downcast_ref() {
        return match refused {
            Refused::NotPast => Reason::NotPast,
            Refused::UnknownZone { .. } | Refused::NoZoneThen { .. } => Reason::UnknownZone,
            Refused::BeforeHistory { .. } => Reason::BeforeHistory,
            Refused::Gaps => Reason::Gaps,
            Refused::Left(_) | Refused::NotOneZone | Refused::Exists(_) => Reason::Other,
        };
    }
    match error.downcast_ref() {
        Some(HistoryError::None(_)) => Reason::NoHistory,
        Some(HistoryError::Store(_) | HistoryError::Moving) => Reason::Store,
        _ => Reason::Other,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn programs_are_told_the_reason_whatever_was_said_around_it() {
        let none = HistoryError::None("main".to_owned());
        let error = Err::<(), _>(none).context("cannot read").unwrap_err();
        assert_eq!(reason(&error), Reason::NoHistory);
        assert_eq!(reason(&Refused::Gaps.into()), Reason::Gaps);
        assert_eq!(reason(&anyhow::anyhow!("else")), Reason::Other);
    }
}
