//! What every store must do, tried with those that need no server.

use std::collections::BTreeSet;
use std::io::Read as _;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;

fn object(content: &[u8]) -> SpooledTempFile {
    let mut object = crate::store::spool(&std::env::temp_dir());
    object.write_all(content).unwrap();
    object
}

async fn get(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let mut object = store.get(name, object(b"")).await.unwrap()?;
    let mut content = Vec::new();
    object.read_to_end(&mut content).unwrap();
    Some(content)
}

async fn conforms(store: &dyn Store) {
    assert!(get(store, "main__a").await.is_none());
    store.put("main__a", object(b"1")).await.unwrap();
    store.put("main__b", object(b"2")).await.unwrap();
    store.put("mainly", object(b"3")).await.unwrap();
    store.put("main__deep/c", object(b"4")).await.unwrap();
    store.put("main__a", object(b"55")).await.unwrap();
    let known = |listed: Vec<Listed>| -> BTreeSet<_> {
        assert!(
            listed.iter().all(|listed| listed.modified.is_some()),
            "{listed:?}"
        );
        listed
            .into_iter()
            .map(|listed| (listed.name, listed.size))
            .collect()
    };
    let listed = store.list("main__").await.unwrap();
    let (a, b) = (("main__a".to_owned(), 2), ("main__b".to_owned(), 1));
    assert_eq!(known(listed), [a, b.clone()].into());
    assert_eq!(get(store, "main__a").await.unwrap(), b"55");
    store.delete("main__a").await.unwrap();
    store.delete("main__a").await.unwrap();
    let left = store.list("main__").await.unwrap();
    assert_eq!(known(left), [b].into());

    for len in [0, PART_LEN - 1, PART_LEN, 2 * PART_LEN, 2 * PART_LEN + 1] {
        let content: Vec<_> = (0..=250).cycle().take(len).collect();
        let carried = || store.traffic().unwrap().bytes();
        let before = carried();
        store.put("main__large", object(&content)).await.unwrap();
        assert_eq!(carried() - before, len as u64, "sent");
        assert!(get(store, "main__large").await.unwrap() == content, "{len} bytes");
        assert_eq!(carried() - before, 2 * len as u64, "and received");
    }

    let start = async |name: &str, most| store.get_start(name, most).await.unwrap();
    assert_eq!(start("main__nothing", 9).await, None);
    store.put("main__start", object(b"123456")).await.unwrap();
    assert_eq!(start("main__start", 3).await.unwrap(), b"123");
    assert_eq!(start("main__start", 9).await.unwrap(), b"123456");
    store.put("main__start", object(b"")).await.unwrap();
    assert_eq!(start("main__start", 9).await.unwrap(), b"");
    store.delete("main__start").await.unwrap();

    let folder = "zonetide/delta/main/";
    assert!(store.list(folder).await.unwrap().is_empty());
    for name in ["1", "2", "2deep/x", "3"] {
        store.put(&format!("{folder}{name}"), object(b"x")).await.unwrap();
    }
    let names = |listed: Vec<Listed>| {
        let mut names: Vec<_> = listed.into_iter().map(|listed| listed.name).collect();
        names.sort();
        names
    };
    let all = ["1", "2", "3"].map(|name| format!("{folder}{name}"));
    assert_eq!(names(store.list(folder).await.unwrap()), all);
    assert_eq!(names(store.list_after(folder, &all[0]).await.unwrap()), all[1..]);
    assert_eq!(
        names(store.list_after(folder, &format!("{folder}10")).await.unwrap()),
        all[1..]
    );
    assert!(
        names(store.list("").await.unwrap())
            .iter()
            .all(|name| !name.contains('/'))
    );
}

#[tokio::test]
async fn memory_conforms() {
    for prefix in ["", "ns/name/", "ns/name-"] {
        conforms(&ObjectBackend::new(Arc::new(InMemory::new()), prefix)).await;
    }
}

#[tokio::test]
async fn a_directory_conforms() {
    for prefix in ["", "ns/name/", "ns/name-"] {
        let dir = tempfile::tempdir().unwrap();
        let files = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
        conforms(&ObjectBackend::new(Arc::new(files), prefix)).await;
    }
}

#[tokio::test]
async fn a_name_that_is_no_key_is_refused_with_the_name() {
    let store = ObjectBackend::new(Arc::new(InMemory::new()), "");
    let error = store.get("a//b", object(b"")).await.unwrap_err().to_string();
    assert!(error.contains("\"a//b\""), "{error}");
}
