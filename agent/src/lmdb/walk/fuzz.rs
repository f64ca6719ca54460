//! Whatever bytes the file has, the walk ends, with entries or with an error that names the page.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::page::{Data, Page, check_overflow};
use super::tests::open;
use super::{Meta, Tree, Walk, read_meta};
use crate::lmdb::{LmdbError, LmdbErrorKind};

/// Reads all that a page has.
fn exhaust(pgno: u64, bytes: &[u8]) -> Result<usize, LmdbErrorKind> {
    let mut seen = 0;
    if let Ok(page) = Page::branch(pgno, bytes) {
        for child in page.children() {
            assert!(child? < 1 << 48);
            seen += 1;
        }
    }
    for entry in Page::leaf(pgno, bytes)?.entries() {
        let (key, data) = entry?;
        assert!(key.len() <= bytes.len());
        if let Data::Inline(value) = data {
            assert!(value.len() <= bytes.len());
        }
        seen += 1;
    }
    Ok(seen)
}

/// Random bytes behind a header that passes for a page, so that the nodes are reached.
fn page() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 512..=4096);
    (bytes, 0..3_u8, 0..64_u16, any::<u16>()).prop_map(|(mut bytes, kind, slots, upper)| {
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[10..12].copy_from_slice(&(1_u16 << kind).to_ne_bytes());
        bytes[12..14].copy_from_slice(&(16 + 2 * slots).to_ne_bytes());
        bytes[14..16].copy_from_slice(&(upper % 4097).to_ne_bytes());
        for slot in 0..usize::from(slots) {
            // Mostly offsets inside the page and small nodes, sometimes whatever is there.
            if slot % 4 != 0 {
                let at = 16 + 2 * slot;
                let offset = u16::from_ne_bytes([bytes[at], bytes[at + 1]]) % 4096;
                bytes[at..at + 2].copy_from_slice(&offset.to_ne_bytes());
                if let Some(node) = bytes
                    .get_mut(usize::from(offset)..)
                    .and_then(<[u8]>::first_chunk_mut::<8>)
                {
                    node[2..4].fill(0);
                    node[5] = 0;
                    node[4] %= 5;
                    node[7] = 0;
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_nodes_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4096), pgno in any::<u64>()) {
        let _ = exhaust(pgno, &bytes);
        let _ = check_overflow(pgno, &bytes, 3);
    }

    #[test]
    fn pages_of_random_nodes_are_nodes_or_an_error(bytes in page()) {
        let _ = exhaust(7, &bytes);
        let _ = check_overflow(7, &bytes, 3);
    }

    #[test]
    fn random_records_are_a_tree_or_an_error(record in any::<[u8; 48]>()) {
        if let Ok(tree) = Tree::parse(&record) {
            prop_assert!(tree.depth <= 32);
        }
    }

    #[test]
    fn random_meta_pages_are_a_state_or_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 152),
        page_size in prop_oneof![any::<u32>(), (0..20_u32).prop_map(|bits| 1 << bits)],
    ) {
        bytes[..8].fill(0);
        bytes[10] = 8;
        bytes[16..20].copy_from_slice(&0xBEEF_C0DE_u32.to_ne_bytes());
        bytes[20..24].copy_from_slice(&1_u32.to_ne_bytes());
        bytes[40..44].copy_from_slice(&page_size.to_ne_bytes());
        bytes[94..96].fill(0);
        bytes[142..144].fill(0);
        if let Ok(meta) = Meta::parse(0, bytes.first_chunk().unwrap()) {
            prop_assert!(meta.page_size.is_power_of_two());
            prop_assert!(meta.last_page.checked_mul(meta.page_size as u64).is_some());
        }
    }
}

/// A database with trees of three heights, long values and several DBIs; its states before and after some changes.
fn database(dir: &tempfile::TempDir) -> (Vec<u8>, Meta, Meta) {
    let env = open(dir);
    let put = |round: u64| {
        let written = env.write::<(), LmdbError>(|writer| {
            for (dbi, entries, long) in [
                ("domains_v5", 20_u32, 0),
                ("records_v5", 600, 400),
                ("tsig_v5", 1, 0),
            ] {
                let dbi = writer.dbi(dbi)?;
                for number in (0..entries).step_by(if round == 1 { 1 } else { 97 }) {
                    let key = format!("{number:0>width$}", width = 8 + long);
                    let len = if number % 97 == 0 { 9_000 } else { 40 };
                    writer.put(&dbi, key.as_bytes(), round, false, &vec![1; len])?;
                }
            }
            Ok(())
        });
        written.unwrap();
    };
    put(1);
    let old = env.keep_reader().unwrap();
    put(2);
    put(3);
    let new = env.keep_reader().unwrap();
    let bytes = std::fs::read(env.path()).unwrap();
    (bytes, old.state, new.state)
}

fn walk(file: &File, old: &Meta, new: &Meta) -> Result<u64, LmdbError> {
    let walk = Walk {
        path: Path::new("damaged"),
        file,
        old,
        new,
    };
    Ok(walk.run::<LmdbError>(|_| Ok(()))?.entries)
}

#[test]
fn a_damaged_file_gives_entries_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, old, new) = database(&dir);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let nothing = Meta {
        main: Tree::EMPTY,
        txn_id: 0,
        ..old
    };
    assert_eq!(walk(&file, &old, &new).unwrap(), 1 + 7 + 1);
    assert_eq!(walk(&file, &nothing, &new).unwrap(), 20 + 600 + 1);

    let damage = (
        any::<Index>(),
        prop_oneof![Just(0), Just(0xff), any::<u8>()],
        0..24_usize,
        1..9_usize,
    );
    let faults = Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&prop::collection::vec(damage, 1..20), |damages| {
        let mut touched = Vec::new();
        for (index, byte, offset, len) in damages {
            // Headers, node offsets and nodes are what steers the walk; half of the damage goes to headers.
            let at = index.index(bytes.len() - 32);
            let at = if byte % 2 == 0 {
                at / 4096 * 4096 + offset
            } else {
                at
            };
            file.write_all_at(&vec![byte; len], at as u64).unwrap();
            touched.push((at, len));
        }
        for old in [&old, &nothing] {
            match walk(&file, old, &new) {
                Ok(_) => {}
                Err(error) => {
                    faults.set(faults.get() + 1);
                    let known = matches!(
                        error.kind,
                        LmdbErrorKind::Page { .. }
                            | LmdbErrorKind::Disorder { .. }
                            | LmdbErrorKind::Header { .. }
                            | LmdbErrorKind::DbiFlags { .. }
                    );
                    prop_assert!(known, "{error}");
                }
            }
        }
        for key in [b"0".as_slice(), &vec![b'5'; 300]] {
            let _ = super::header(Path::new("damaged"), &file, &new, "records_v5", key);
        }
        let _ = read_meta(&file, 1);
        for (at, len) in touched {
            file.write_all_at(&bytes[at..at + len], at as u64).unwrap();
        }
        Ok(())
    });
    outcome.unwrap();
    let faults = faults.get();
    assert!(
        faults > 300,
        "only {faults} walks noticed the damage: it does not reach them"
    );
}

#[test]
fn a_root_with_the_greatest_number_there_is_is_named_as_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, old, new) = database(&dir);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let main = Tree {
        root: u64::MAX,
        ..new.main
    };
    let damaged = Meta { main, ..new };
    let error = walk(&file, &old, &damaged).unwrap_err().to_string();
    assert!(error.contains("it lies behind the last page"), "{error}");
    let error = super::is_empty(Path::new("damaged"), &file, &damaged, "records_v5").unwrap_err();
    assert!(
        error.to_string().contains("it lies behind the last page"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_cut_off_is_named_with_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, old, new) = database(&dir);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes[..3 * 4096], 0).unwrap();
    let error = walk(&file, &old, &new).unwrap_err().to_string();
    assert!(
        error.contains("damaged: page ") && error.contains("the file ends before it does"),
        "{error}"
    );
}
