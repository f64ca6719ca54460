//! A digest that follows the database, from one state that is kept to a later one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lmdb::{KeptReader, LmdbError};
use crate::sync::known::sums::Content;

/// Time after which a digest is made of all entries anew: so it is of what is in the file, and not of what was thought to be.
const ANEW: Duration = Duration::from_secs(6 * 3600);
/// A look at all entries may take one part in so many of the time.
const SHARE: u32 = 100;

/// A digest that follows the database.
#[derive(Default)]
pub(in crate::sync) struct Followed {
    at: Option<At>,
    /// All entries are not looked at before.
    rests_until: Option<Instant>,
}

/// The digest of a state that is kept, by which it gets to later ones.
pub(in crate::sync) struct At {
    state: Arc<KeptReader>,
    pub(in crate::sync) content: Content,
    /// When all entries were looked at, and how long that took.
    since: Instant,
    took: Duration,
}

impl Followed {
    /// Whence to get to a later state. `None`: that is not to be done now.
    pub(in crate::sync) fn begin(&mut self) -> Option<Start> {
        let before = self.at.take().filter(|at| at.since.elapsed() < ANEW);
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        (before.is_some() || !rests).then_some(Start(before))
    }

    /// The state is not kept for longer than this many transactions, `last` being the newest.
    pub(in crate::sync) fn let_go_of_an_old_state(&mut self, last: u64, kept: u64) {
        self.at
            .take_if(|at| last.saturating_sub(at.state.txn_id()) > kept);
    }

    pub(in crate::sync) fn end(&mut self, at: At) {
        self.rests_until = Some(at.since + at.took * SHARE);
        self.at = Some(at);
    }
}

/// Where a digest starts from: an earlier one, or nothing where none is kept.
pub(in crate::sync) struct Start(Option<At>);

impl Start {
    /// The digest of a later state.
    ///
    /// # Errors
    /// Those of [`KeptReader::changes_since_nothing`].
    pub(in crate::sync) fn follow(self, state: Arc<KeptReader>) -> Result<At, LmdbError> {
        if let Some(mut at) = self.0 {
            let walked = state.changes_since(&at.state, |change| {
                at.content.note(&change);
                Ok::<(), LmdbError>(())
            });
            match walked {
                Ok(changes) if changes.emptied_dbis.is_empty() => return Ok(At { state, ..at }),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot compare two states: looking at every entry"),
            }
        }
        let (since, mut content) = (Instant::now(), Content::default());
        state.changes_since_nothing(|change| {
            content.note(&change);
            Ok::<(), LmdbError>(())
        })?;
        Ok(At {
            state,
            content,
            since,
            took: since.elapsed(),
        })
    }
}
