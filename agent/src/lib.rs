//! The sync agent beside each PowerDNS server.
//!
//! It replicates the server's LMDB files through an object store, in the format of PowerDNS Lightning Stream.
//! The layers, each ignorant of those after it: [`lmdb`], [`snapshot`], [`merge`], [`store`], [`content`], [`history`], [`report`], [`restoring`],
//! [`peers`], [`sync`], [`status`], [`powerdns`]; [`config`] and [`cli`] put them together. Below [`peers`], [`status`] and [`supervise`],
//! which looks after an agent from another process, is [`serve`].

pub mod cli;
mod clocks;
pub mod compare;
pub mod config;
pub mod content;
pub mod history;
mod human;
pub mod lmdb;
pub mod merge;
pub mod peers;
pub mod powerdns;
pub mod report;
pub mod restoring;
pub mod serve;
pub mod show;
pub mod skew;
pub mod smaps;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod supervise;
pub mod sync;
