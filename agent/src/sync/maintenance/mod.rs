//! What is done now and then: cleaning the store, keeping the history, and sweeping the database.

pub(super) mod cleaner;
pub(super) mod history;
mod retired;
mod sweep;
pub(super) mod tidy;
