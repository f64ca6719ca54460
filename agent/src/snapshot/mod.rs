//! Lightning Stream's snapshot objects: their names, and the gzip-compressed protobuf message inside.
//!
//! Both directions work as streams: neither the decompressed message nor the list of its entries is ever in
//! memory as a whole.

mod decode;
mod delta;
mod encode;
mod name;
mod parts;
mod past;
mod segment;
mod time;
mod vector;
mod wire;

pub use decode::{DbiOutline, DecodeError, Outline, Snapshot, meta_of_start};
pub use delta::{DeltaName, Folder, SpanName};
pub use encode::{EncodeError, SnapshotWriter, entry_len};
pub use name::{NameError, SnapshotName, is_database_name, sanitize_instance};
pub use parts::DeltaWriter;
pub use past::{BaseName, SegmentName};
pub use segment::{Cut, Segment, SegmentWriter};
pub use vector::{Had, Vector};

use std::collections::{BTreeMap, BTreeSet};

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
/// The version of deltas and of our own fields in Meta: an agent that writes 1 or more reads deltas.
pub const ZONETIDE_VERSION: u64 = 2;
/// An agent that writes this version or a later one reads version vectors.
pub const WITH_VECTORS: u64 = 2;
/// The numbers of our fields in Meta, far from those that Lightning Stream may come to use.
const ZONETIDE_FIELD: u64 = 1000;
const SCHEMA_FIELD: u64 = 1001;
const VECTOR_FIELD: u64 = 1002;
const ADOPTED_FIELD: u64 = 1003;
/// LMDB's limit on the length of a key, in bytes (`mdb_env_get_maxkeysize` of liblmdb 0.9).
pub const MAX_KEY_LEN: usize = 511;
/// Longest entry that is taken, in bytes, for an entry is in memory as a whole: far above what PowerDNS stores in one
/// RRset, which a DNS message of 64 KiB has to hold.
pub const MAX_ENTRY_LEN: u64 = 16 << 20;
/// Most DBIs that are taken, for their names are in memory: PowerDNS has a dozen.
pub const MAX_DBIS: usize = 1024;

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
    /// The version of Zonetide's own rules that the writer follows, [`ZONETIDE_VERSION`]; 0 in an object of Lightning Stream, which
    /// has no such field and passes over it.
    pub zonetide: u64,
    /// The schema of the writer's PowerDNS database; 0 where it is not known, and in an object of Lightning Stream.
    pub schema: u64,
    /// Of a snapshot: what it has of other instances. Whoever has merged it needs none of their objects up to these states.
    pub vector: Vector,
    /// Of a delta: by other instances, states that it has the changes of because they told of them and did not store them; ns since
    /// the epoch.
    pub adopted: BTreeMap<String, BTreeSet<u64>>,
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
