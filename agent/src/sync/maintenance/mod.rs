//! What is done now and then: cleaning the store, and sweeping the database.

pub(super) mod cleaner;
mod retired;
mod sweep;
pub(super) mod tidy;
