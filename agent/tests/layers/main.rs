//! The agent's modules are layers, each ignorant of those after it: what `docs/architecture.md` says, read from the imports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod rooms;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the lowest on. A module may use those before it.
const LAYERS: [&str; 22] = [
    "human",
    "clocks",
    "skew",
    "smaps",
    "lmdb",
    "snapshot",
    "merge",
    "compare",
    "store",
    "serve",
    "content",
    "history",
    "report",
    "restoring",
    "peers",
    "show",
    "sync",
    "status",
    "powerdns",
    "supervise",
    "config",
    "cli",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Tests may look at everything.
fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part.to_string_lossy().trim_end_matches(".rs").ends_with("tests"))
}

/// What a source uses of the crate, its tests aside.
fn uses(text: &str) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    product
        .split("crate::")
        .skip(1)
        .map(name)
        .filter(|used| !used.is_empty())
        .collect()
}

#[test]
fn no_module_uses_one_of_a_later_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let place: BTreeMap<_, _> = LAYERS
        .iter()
        .enumerate()
        .map(|(place, name)| (*name, place))
        .collect();
    let mut seen = BTreeSet::new();
    for path in all.iter().filter(|path| !is_test(path)) {
        let within = path.strip_prefix(&root).unwrap();
        let module = within.iter().next().unwrap().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        if ["main", "lib"].contains(&&*module) {
            continue;
        }
        let own = place
            .get(&*module)
            .unwrap_or_else(|| panic!("{module} is in no layer: {within:?}"));
        for used in uses(&std::fs::read_to_string(path).unwrap()) {
            let other = place
                .get(&*used)
                .unwrap_or_else(|| panic!("{within:?} uses {used}, which is in no layer"));
            assert!(
                other <= own,
                "{within:?} is of a layer below {used}, which it uses"
            );
        }
        seen.insert(module);
    }
    let named: BTreeSet<_> = LAYERS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, named);
}

#[test]
fn what_a_source_uses_is_found_and_what_its_tests_use_is_not() {
    let text = "use crate::lmdb::Environment;\nlet x = crate::report::Ago(y);\n#[cfg(test)]\nmod tests { use crate::cli; }";
    let expected = ["lmdb", "report"].map(str::to_owned);
    assert_eq!(uses(text), expected.into());
}
