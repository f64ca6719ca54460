//! Changes on their way as deltas: stored, found, joined on, told to peers, and what happens when some of it is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

#[path = "../support/mod.rs"]
mod support;

mod adopted;
mod away;
mod clocks;
mod deletions;
mod early;
mod gaps;
mod gone;
mod later;
mod lost;
mod mixed;
mod order;
mod parts;
mod peers;
mod quarantine;
mod release;
mod restart;
mod server;
mod vectors;
mod vouching;
mod way;
mod witness;
