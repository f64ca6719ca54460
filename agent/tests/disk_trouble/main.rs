//! Disks that are full or read-only, files that belong to somebody else, maps and limits that are too small: the agent
//! says what is wrong and what to do, goes on running, and does its work once that is put right.
//!
//! Mounts need root. Where a test has not got it, the test prints that it did not run, and why.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod damaged;
mod file_limit;
mod full_disk;
mod full_map;
mod killed_readers;
mod read_only;
mod rights;
