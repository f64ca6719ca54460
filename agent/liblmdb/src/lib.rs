//! Declarations of the distribution's liblmdb 0.9, as much of `lmdb.h` as heed asks for.
//!
//! The crate stands in for `lmdb-master-sys`, which bundles LMDB's development branch: that one writes lock
//! files of version 2, and PowerDNS, linked with LMDB 0.9, refuses them (and it refuses those of PowerDNS).
//! Names and numbers are those of `lmdb.h` 0.9; see there for what each function does.
#![allow(non_camel_case_types)]

use libc::{c_char, c_int, c_uint, c_void, mode_t};

pub type mdb_mode_t = mode_t;
pub type mdb_filehandle_t = c_int;
/// `lmdb.h` 0.9 says `size_t` wherever the development branch says `mdb_size_t`.
pub type mdb_size_t = usize;
pub type MDB_dbi = c_uint;
pub type MDB_cursor_op = c_uint;
pub type MDB_cmp_func = Option<unsafe extern "C" fn(a: *const MDB_val, b: *const MDB_val) -> c_int>;

macro_rules! opaque {
    ($($name:ident),+) => {$(
        #[repr(C)]
        #[derive(Debug, Copy, Clone)]
        pub struct $name {
            _unused: [u8; 0],
        }
    )+};
}
opaque!(MDB_env, MDB_txn, MDB_cursor);

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct MDB_val {
    pub mv_size: usize,
    pub mv_data: *mut c_void,
}

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct MDB_stat {
    pub ms_psize: c_uint,
    pub ms_depth: c_uint,
    pub ms_branch_pages: mdb_size_t,
    pub ms_leaf_pages: mdb_size_t,
    pub ms_overflow_pages: mdb_size_t,
    pub ms_entries: mdb_size_t,
}

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct MDB_envinfo {
    pub me_mapaddr: *mut c_void,
    pub me_mapsize: mdb_size_t,
    pub me_last_pgno: mdb_size_t,
    pub me_last_txnid: mdb_size_t,
    pub me_maxreaders: c_uint,
    pub me_numreaders: c_uint,
}

macro_rules! constants {
    ($kind:ty: $($name:ident = $value:expr),+ $(,)?) => {$(pub const $name: $kind = $value;)+};
}

// Environment flags.
constants!(c_uint:
    MDB_FIXEDMAP = 0x01,
    MDB_NOSUBDIR = 0x4000,
    MDB_NOSYNC = 0x1_0000,
    MDB_RDONLY = 0x2_0000,
    MDB_NOMETASYNC = 0x4_0000,
    MDB_WRITEMAP = 0x8_0000,
    MDB_MAPASYNC = 0x10_0000,
    MDB_NOTLS = 0x20_0000,
    MDB_NOLOCK = 0x40_0000,
    MDB_NORDAHEAD = 0x80_0000,
    MDB_NOMEMINIT = 0x100_0000,
    // Unknown to LMDB 0.9, which answers EINVAL; heed names it in its flags all the same.
    MDB_PREVSNAPSHOT = 0x200_0000,
);

// Database and write flags.
constants!(c_uint:
    MDB_REVERSEKEY = 0x02,
    MDB_DUPSORT = 0x04,
    MDB_INTEGERKEY = 0x08,
    MDB_DUPFIXED = 0x10,
    MDB_INTEGERDUP = 0x20,
    MDB_REVERSEDUP = 0x40,
    MDB_CREATE = 0x4_0000,
    MDB_NOOVERWRITE = 0x10,
    MDB_NODUPDATA = 0x20,
    MDB_CURRENT = 0x40,
    MDB_RESERVE = 0x1_0000,
    MDB_APPEND = 0x2_0000,
    MDB_APPENDDUP = 0x4_0000,
    MDB_CP_COMPACT = 0x01,
);

constants!(MDB_cursor_op:
    MDB_FIRST = 0,
    MDB_FIRST_DUP = 1,
    MDB_GET_CURRENT = 4,
    MDB_LAST = 6,
    MDB_LAST_DUP = 7,
    MDB_NEXT = 8,
    MDB_NEXT_DUP = 9,
    MDB_NEXT_NODUP = 11,
    MDB_PREV = 12,
    MDB_PREV_DUP = 13,
    MDB_PREV_NODUP = 14,
    MDB_SET = 15,
    MDB_SET_RANGE = 17,
);

constants!(c_int:
    MDB_SUCCESS = 0,
    MDB_KEYEXIST = -30799,
    MDB_NOTFOUND = -30798,
    MDB_PAGE_NOTFOUND = -30797,
    MDB_CORRUPTED = -30796,
    MDB_PANIC = -30795,
    MDB_VERSION_MISMATCH = -30794,
    MDB_INVALID = -30793,
    MDB_MAP_FULL = -30792,
    MDB_DBS_FULL = -30791,
    MDB_READERS_FULL = -30790,
    MDB_TLS_FULL = -30789,
    MDB_TXN_FULL = -30788,
    MDB_CURSOR_FULL = -30787,
    MDB_PAGE_FULL = -30786,
    MDB_MAP_RESIZED = -30785,
    MDB_INCOMPATIBLE = -30784,
    MDB_BAD_RSLOT = -30783,
    MDB_BAD_TXN = -30782,
    MDB_BAD_VALSIZE = -30781,
    MDB_BAD_DBI = -30780,
    // Only the development branch returns it.
    MDB_PROBLEM = -30779,
);

unsafe extern "C" {
    pub fn mdb_version(major: *mut c_int, minor: *mut c_int, patch: *mut c_int) -> *mut c_char;
    pub fn mdb_strerror(err: c_int) -> *mut c_char;

    pub fn mdb_env_create(env: *mut *mut MDB_env) -> c_int;
    pub fn mdb_env_open(env: *mut MDB_env, path: *const c_char, flags: c_uint, mode: mdb_mode_t) -> c_int;
    pub fn mdb_env_copyfd2(env: *mut MDB_env, fd: mdb_filehandle_t, flags: c_uint) -> c_int;
    pub fn mdb_env_stat(env: *mut MDB_env, stat: *mut MDB_stat) -> c_int;
    pub fn mdb_env_info(env: *mut MDB_env, stat: *mut MDB_envinfo) -> c_int;
    pub fn mdb_env_sync(env: *mut MDB_env, force: c_int) -> c_int;
    pub fn mdb_env_close(env: *mut MDB_env);
    pub fn mdb_env_set_flags(env: *mut MDB_env, flags: c_uint, onoff: c_int) -> c_int;
    pub fn mdb_env_get_flags(env: *mut MDB_env, flags: *mut c_uint) -> c_int;
    pub fn mdb_env_get_fd(env: *mut MDB_env, fd: *mut mdb_filehandle_t) -> c_int;
    pub fn mdb_env_set_mapsize(env: *mut MDB_env, size: mdb_size_t) -> c_int;
    pub fn mdb_env_set_maxreaders(env: *mut MDB_env, readers: c_uint) -> c_int;
    pub fn mdb_env_get_maxreaders(env: *mut MDB_env, readers: *mut c_uint) -> c_int;
    pub fn mdb_env_set_maxdbs(env: *mut MDB_env, dbs: MDB_dbi) -> c_int;
    pub fn mdb_env_get_maxkeysize(env: *mut MDB_env) -> c_int;
    pub fn mdb_reader_check(env: *mut MDB_env, dead: *mut c_int) -> c_int;

    pub fn mdb_txn_begin(
        env: *mut MDB_env,
        parent: *mut MDB_txn,
        flags: c_uint,
        txn: *mut *mut MDB_txn,
    ) -> c_int;
    pub fn mdb_txn_id(txn: *mut MDB_txn) -> mdb_size_t;
    pub fn mdb_txn_commit(txn: *mut MDB_txn) -> c_int;
    pub fn mdb_txn_abort(txn: *mut MDB_txn);

    pub fn mdb_dbi_open(txn: *mut MDB_txn, name: *const c_char, flags: c_uint, dbi: *mut MDB_dbi) -> c_int;
    pub fn mdb_stat(txn: *mut MDB_txn, dbi: MDB_dbi, stat: *mut MDB_stat) -> c_int;
    pub fn mdb_drop(txn: *mut MDB_txn, dbi: MDB_dbi, del: c_int) -> c_int;
    pub fn mdb_set_compare(txn: *mut MDB_txn, dbi: MDB_dbi, cmp: MDB_cmp_func) -> c_int;
    pub fn mdb_set_dupsort(txn: *mut MDB_txn, dbi: MDB_dbi, cmp: MDB_cmp_func) -> c_int;

    pub fn mdb_get(txn: *mut MDB_txn, dbi: MDB_dbi, key: *mut MDB_val, data: *mut MDB_val) -> c_int;
    pub fn mdb_put(
        txn: *mut MDB_txn,
        dbi: MDB_dbi,
        key: *mut MDB_val,
        data: *mut MDB_val,
        flags: c_uint,
    ) -> c_int;
    pub fn mdb_del(txn: *mut MDB_txn, dbi: MDB_dbi, key: *mut MDB_val, data: *mut MDB_val) -> c_int;

    pub fn mdb_cursor_open(txn: *mut MDB_txn, dbi: MDB_dbi, cursor: *mut *mut MDB_cursor) -> c_int;
    pub fn mdb_cursor_close(cursor: *mut MDB_cursor);
    pub fn mdb_cursor_get(
        cursor: *mut MDB_cursor,
        key: *mut MDB_val,
        data: *mut MDB_val,
        op: MDB_cursor_op,
    ) -> c_int;
    pub fn mdb_cursor_put(
        cursor: *mut MDB_cursor,
        key: *mut MDB_val,
        data: *mut MDB_val,
        flags: c_uint,
    ) -> c_int;
    pub fn mdb_cursor_del(cursor: *mut MDB_cursor, flags: c_uint) -> c_int;
}
