//! Lightning Stream's snapshot objects: their names, and the gzip-compressed protobuf message inside.
//!
//! Both directions work as streams: neither the decompressed message nor the list of its entries is ever in
//! memory as a whole.

mod decode;
mod encode;
mod name;
mod wire;

pub use decode::{DbiOutline, DecodeError, Outline, Snapshot};
pub use encode::{EncodeError, SnapshotWriter, entry_len};
pub use name::{NameError, SnapshotName, sanitize_instance};

/// The format version that we and Lightning Stream write.
pub const FORMAT_VERSION: u32 = 3;
/// The oldest reader that understands what we write, as the writer declares it.
pub const COMPAT_VERSION: u32 = 1;
/// The highest `compatVersion` we can read.
pub const MAX_COMPAT_VERSION: u32 = 3;
/// The only generation there is.
pub const GENERATION: &str = "GX";
/// The one flag of an entry that travels: the entry is a deletion mark.
pub const FLAG_DELETED: u32 = 0x01;
/// LMDB's limit on the length of a key, in bytes (`mdb_env_get_maxkeysize` of liblmdb 0.9).
pub const MAX_KEY_LEN: usize = 511;
/// Longest entry that is taken, in bytes: far above what PowerDNS stores in one RRset, far below what a
/// mangled length could ask for.
pub const MAX_ENTRY_LEN: u64 = 256 << 20;

/// Where and when a snapshot was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Always [`GENERATION`].
    pub generation: String,
    /// The instance that wrote the snapshot.
    pub instance: String,
    /// The machine it ran on, for people.
    pub hostname: String,
    /// The transaction of the writer's database that the snapshot shows.
    pub lmdb_txn_id: i64,
    /// When the snapshot was taken, ns since the epoch.
    pub timestamp: u64,
    /// The configured name of the database, such as `main` or `shard`.
    pub database: String,
    /// The transaction after which the entries changed; 0 for a full snapshot.
    pub from_lmdb_txn_id: i64,
}

/// What is said of a DBI before its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DbiHeader {
    /// The name of the DBI, such as `records_v5`.
    pub name: String,
    /// LMDB's flags of the DBI (`MDB_DUPSORT` and the like); 0 in every PowerDNS database.
    pub flags: u64,
    /// Empty, or the name of a transformation that we refuse.
    pub transform: String,
}

/// One entry of a DBI, without the value header of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: &'a [u8],
    /// Empty when `deleted`.
    pub value: &'a [u8],
    /// When it was written, ns since the epoch.
    pub timestamp: u64,
    /// The entry is a deletion mark.
    pub deleted: bool,
}

/// Private DBIs of Lightning Stream: they neither leave an instance nor enter one.
pub fn is_private_dbi(name: &str) -> bool {
    name.starts_with("_sync")
}
