//! Peers as several agents of one process, over real connections on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod guarding;
mod handing;
mod orders;
mod private;
mod renewed;
mod shown;
mod telling;
