//! The rooms of `sync` are layers as well. They all meet in the same `Replica` and its `State`, so besides the imports it counts which
//! of their methods a room calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::Source;

/// From the lowest on: a room may use those before it, and call the methods that they define.
const ROOMS: [&str; 17] = [
    "peer",
    "limits",
    "order",
    "files",
    "known",
    "database",
    "pace",
    "error",
    "trouble",
    "state",
    "guards",
    "outbound",
    "inbound",
    "maintenance",
    "cadence",
    "serving",
    "run",
];

/// Methods of a replica or its state whose names others have, too: they count where it is certain whose they are.
const COMMON_NAMES: [&str; 5] = ["absorb", "ahead", "database", "hold", "take"];

fn place(room: &str) -> Option<usize> {
    ROOMS.iter().position(|other| *other == room)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sync");
    let mut all = Vec::new();
    crate::sources(&root, &mut all);
    all.retain(|path| !crate::is_test(path) && *path != root.join("mod.rs"));
    let source = |path: &std::path::PathBuf| {
        let within = path.strip_prefix(&root).unwrap();
        Source::new(&within.to_string_lossy(), &std::fs::read_to_string(path).unwrap())
    };
    all.iter().map(source).collect()
}

/// What is wrong with the imports, and with the calls.
fn faults(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut definers: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for source in sources {
        let Some(place) = place(source.room()) else {
            faults.push(format!("{} is no room", source.room()));
            continue;
        };
        for method in source.methods() {
            definers.entry(method).or_default().insert(place);
        }
    }
    for (method, rooms) in definers.iter().filter(|(_, rooms)| rooms.len() > 1) {
        let rooms: Vec<_> = rooms.iter().map(|room| ROOMS[*room]).collect();
        faults.push(format!("{method} is defined in several rooms: {rooms:?}"));
    }
    for source in sources {
        let (name, own) = (source.module.join("::"), place(source.room()));
        for path in source.imports() {
            match place(&path[0]) {
                None => faults.push(format!("{name} uses {}, which names no room", path.join("::"))),
                other if other > own => {
                    faults.push(format!(
                        "{name} uses {}, which is of a later room",
                        path.join("::")
                    ));
                }
                _ => {}
            }
        }
        for call in source.calls() {
            let definer = definers.get(&call.name).and_then(|rooms| rooms.first().copied());
            let counts = call.is_of_shared || !COMMON_NAMES.contains(&&*call.name);
            if definer > own && counts {
                faults.push(format!(
                    "{name} calls {}, which is of a later room: {}",
                    call.name,
                    ROOMS[definer.unwrap()]
                ));
            }
        }
    }
    faults
}

/// Which file of its room another one uses. What is in a folder below a room counts as the file that the folder belongs to.
fn neighbours(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module.clone()).collect();
    let file = |path: &[String]| {
        let known = path.get(..2).filter(|two| modules.contains(*two));
        known.unwrap_or(&path[..1]).join("::")
    };
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let own = file(&source.module);
        let used = source.imports();
        let used = used.iter().filter(|path| path[0] == source.room());
        let used = used.map(|path| file(path)).filter(|other| *other != own);
        all.entry(own.clone()).or_default().extend(used);
    }
    all
}

/// Files that use each other, at last: what is left when those are taken away, again and again, that use none of the others.
fn circles(mut neighbours: BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    loop {
        let left: BTreeSet<_> = neighbours.keys().cloned().collect();
        neighbours.retain(|_, used| used.iter().any(|other| left.contains(other)));
        if neighbours.len() == left.len() {
            return left;
        }
    }
}

#[test]
fn no_room_of_sync_uses_a_later_one_or_calls_what_that_defines() {
    let faults = faults(&sources());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_files_of_a_room_do_not_use_each_other_in_a_circle() {
    let circles = circles(neighbours(&sources()));
    assert!(circles.is_empty(), "in a circle, or using one: {circles:?}");
}

#[test]
fn all_rooms_are_there() {
    let there: BTreeSet<_> = sources().iter().map(|source| source.room().to_owned()).collect();
    let named: BTreeSet<_> = ROOMS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(there, named);
}

#[test]
fn a_room_that_uses_a_later_one_is_found() {
    let state = "impl Replica {\n    fn look(&self) {\n        self.fetch();\n        Self::own(queue.fetch());\n    }\n}";
    let inbound =
        "use super::take::Told;\nimpl Replica {\n    fn fetch(&self) {\n        self.look();\n    }\n}";
    let sources = [
        Source::new("state/mod.rs", state),
        Source::new("inbound/fetch.rs", inbound),
        Source::new(
            "inbound/take.rs",
            "use super::fetch;\nuse crate::sync::{state::A, run::B};",
        ),
        Source::new("known/plan.rs", "use crate::sync::Hidden;"),
    ];
    let found = faults(&sources);
    let expected = [
        "state calls fetch, which is of a later room: inbound",
        "state calls fetch, which is of a later room: inbound",
        "inbound::take uses run::B, which is of a later room",
        "known::plan uses Hidden, which names no room",
    ];
    assert_eq!(found, expected);
    let expected = ["inbound::fetch", "inbound::take"].map(str::to_owned);
    assert_eq!(circles(neighbours(&sources)), expected.into());
}
