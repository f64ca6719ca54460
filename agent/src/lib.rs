//! The sync agent beside each PowerDNS server.
//!
//! It replicates the server's LMDB files through an object store, in the format of PowerDNS Lightning Stream.
//! The layers, each ignorant of those after it: [`lmdb`], [`snapshot`], [`merge`], [`store`], [`sync`], [`status`];
//! [`config`] and [`cli`] put them together.

pub mod cli;
pub mod compare;
pub mod config;
mod human;
pub mod lmdb;
pub mod merge;
pub mod show;
pub mod smaps;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod sync;
