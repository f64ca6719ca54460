use proptest::prelude::*;

use super::*;
use crate::lmdb::header::Header;

const DBI: &str = "records";

type Entry = (u64, bool, Vec<u8>);
type State = BTreeMap<(String, Vec<u8>), Entry>;

fn version(entry: &Entry, txn_id: u64) -> Version<'_> {
    let (timestamp, deleted, value) = entry;
    let header = Header {
        timestamp: *timestamp,
        txn_id,
        deleted: *deleted,
    };
    Version { header, value }
}

fn follow(content: &mut Content, (dbi, key): (&str, &[u8]), old: Option<&Entry>, new: Option<&Entry>) {
    content.note(&Change {
        dbi,
        key,
        old: old.map(|old| version(old, 1)),
        new: new.map(|new| version(new, 2)),
    });
}

fn content(state: &State, txn_id: u64) -> Content {
    let mut content = Content::default();
    for ((dbi, key), entry) in state {
        content.note(&Change {
            dbi,
            key,
            old: None,
            new: Some(version(entry, txn_id)),
        });
    }
    content
}

fn state(of: &[(&str, &str, u64, bool, &str)]) -> State {
    let entry = |(dbi, key, time, deleted, value): &(&str, &str, u64, bool, &str)| {
        let name = ((*dbi).to_owned(), key.as_bytes().to_vec());
        (name, (*time, *deleted, value.as_bytes().to_vec()))
    };
    of.iter().map(entry).collect()
}

fn digest(state: &State, oldest_mark: u64) -> Digest {
    Digest::new(BTreeMap::new(), oldest_mark, content(state, 7))
}

#[test]
fn databases_differ_in_the_dbi_in_which_an_entry_is_missing_older_or_another() {
    let full = state(&[("a", "k", 5, false, "v"), ("b", "k", 5, false, "v")]);
    let others = [
        state(&[("a", "k", 5, false, "v")]),
        state(&[("a", "k", 5, false, "v"), ("b", "k", 4, false, "v")]),
        state(&[("a", "k", 5, false, "v"), ("b", "k", 5, false, "w")]),
        state(&[("a", "k", 5, false, "v"), ("b", "k", 5, true, "")]),
        state(&[("a", "k", 5, false, "v"), ("b", "l", 5, false, "v")]),
    ];
    for other in others {
        let (full, other) = (digest(&full, 0), digest(&other, 0));
        assert_eq!(full.differences(&other), Some(["b".to_owned()].into()));
        assert_eq!(other.differences(&full), Some(["b".to_owned()].into()));
    }
}

#[test]
fn transaction_ids_private_dbis_impossible_keys_and_what_a_tombstone_says_make_no_difference() {
    let one = state(&[("a", "k", 5, true, "left over")]);
    let mut other = state(&[
        ("a", "k", 5, true, ""),
        ("_sync_ahead", "k", 5, false, "v"),
        ("records_v5", "k", 5, false, "v"),
    ]);
    let differences = |other: &State| digest(&one, 0).differences(&digest(other, 0));
    assert_eq!(differences(&other), Some(BTreeSet::new()));
    let again = Digest::new(BTreeMap::new(), 0, content(&one, 8));
    assert_eq!(digest(&one, 0).differences(&again), Some(BTreeSet::new()));
    other.remove(&("a".to_owned(), b"k".to_vec()));
    assert_eq!(differences(&other), Some(["a".to_owned()].into()));
}

#[test]
fn databases_of_different_states_of_the_instances_are_not_compared() {
    let of = |time: u64| Digest::new([("a".to_owned(), time)].into(), 0, Content::default());
    assert_eq!(of(1).differences(&of(1)), Some(BTreeSet::new()));
    assert_eq!(of(1).differences(&of(2)), None);
}

#[test]
fn tombstones_that_one_of_the_two_may_have_swept_are_not_compared() {
    let swept = state(&[("a", "k", 40 * DAY, false, "v")]);
    let mut not_swept = swept.clone();
    not_swept.extend(state(&[("a", "old", 10 * DAY, true, "")]));
    let of = |state: &State, days: u64| digest(state, days * DAY);
    assert!(!of(&swept, 0).differences(&of(&not_swept, 0)).unwrap().is_empty());
    assert!(of(&swept, 20).differences(&of(&not_swept, 0)).unwrap().is_empty());
    assert!(of(&swept, 0).differences(&of(&not_swept, 10)).unwrap().is_empty());
    assert!(!of(&swept, 8).differences(&of(&not_swept, 8)).unwrap().is_empty());
    let (mine, theirs) = (of(&swept, 20), of(&not_swept, 0));
    assert_eq!(mine.marks_since(&theirs), 22 * DAY);
    assert_eq!(theirs.marks_since(&mine), 22 * DAY);
}

#[test]
fn the_part_that_differs_is_that_of_the_key() {
    let dbis: BTreeSet<String> = [DBI.to_owned()].into();
    let parts = |keys: &[&[u8]], marks_since: u64| {
        let mut parts = Parts::new(&dbis);
        for key in keys {
            let deleted = key.starts_with(b"gone");
            parts.add(DBI, key, &version(&(5, deleted, b"v".to_vec()), 1), marks_since);
        }
        parts
    };
    let (one, other) = (parts(&[b"k", b"l"], 0), parts(&[b"l"], 0));
    let expected = Numbers::from([(DBI.to_owned(), [part_of(b"k")].into())]);
    assert_eq!(one.differences(&other), expected);
    assert_eq!(other.differences(&one), expected);
    assert!(one.differences(&one).is_empty());
    assert!(parts(&[b"l", b"gone"], 6).differences(&other).is_empty());
    // Whoever knows fewer parts, or none, is no reason to fail.
    assert_eq!(one.differences(&Parts::default())[DBI].len(), PARTS);
}

#[test]
fn digests_and_parts_travel_as_text() {
    let digest = digest(
        &state(&[("a", "k", 5, false, "v"), ("a", "l", 3 * DAY, true, "")]),
        0,
    );
    let text = serde_json::to_string(&digest).unwrap();
    assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
    for bad in ["", "1", "1:", "x:0", "1:g", "-1:0"] {
        assert!(Sum::try_from(bad.to_owned()).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_digest_that_follows_all_changes_is_that_of_what_is_there(
        changes in proptest::collection::vec((0..3_u8, 0..4_u8, proptest::option::of((0..6_u64, any::<bool>(), 0..3_u8))), 0..60),
    ) {
        let (mut there, mut followed) = (State::new(), Content::default());
        for (dbi, key, new) in changes {
            let name = (format!("dbi{dbi}"), vec![key]);
            let new = new.map(|(days, deleted, value)| (days * DAY / 2, deleted, vec![value]));
            let old = match &new {
                Some(new) => there.insert(name.clone(), new.clone()),
                None => there.remove(&name),
            };
            follow(&mut followed, (&name.0, &name.1), old.as_ref(), new.as_ref());
        }
        prop_assert_eq!(followed, content(&there, 9));
    }
}
