use super::*;

fn name(instance: &str, second: u64) -> SnapshotName {
    SnapshotName::new("main", instance, second * 1_000_000_000).unwrap()
}

fn listed(name: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        size: 1,
        modified: None,
    }
}

fn to_load(known: &Knowledge, listing: &Listing, own: &str) -> Vec<Next> {
    let ways = known.to_load(listing, &Deltas::default(), own, |_| false);
    ways.into_iter().flatten().collect()
}

/// What is to be loaded of `a`.
fn of_a(known: &Knowledge, listing: &Listing, deltas: &Deltas, skip: impl Fn(&Next) -> bool) -> Vec<Next> {
    let ways = known.to_load(listing, deltas, "b", skip);
    ways.into_iter().flatten().collect()
}

fn delta(since: u64, time: u64) -> DeltaName {
    let ns = 1_000_000_000;
    DeltaName::new("main", "a", since * ns, time * ns).unwrap()
}

fn deltas(of: &[(u64, u64)]) -> Deltas {
    let mut deltas = Deltas::default();
    for (since, time) in of {
        deltas.insert(delta(*since, *time), 100);
    }
    deltas
}

fn listing(names: &[&SnapshotName]) -> Listing {
    let objects: Vec<_> = names.iter().map(|name| listed(name.as_str())).collect();
    sort_listing("main", &objects)
}

#[test]
fn the_newest_of_each_instance_is_loaded_and_the_own_one_first() {
    let (a1, a2, z1, z2) = (name("a", 1), name("a", 2), name("z", 1), name("z", 2));
    let mut known = Knowledge::default();
    let listing = listing(&[&a1, &a2, &z1, &z2]);
    assert_eq!(
        to_load(&known, &listing, "z"),
        [Next::Snapshot(z2.clone()), Next::Snapshot(a2.clone())]
    );
    known.merged(&z2);
    assert_eq!(to_load(&known, &listing, "z"), [Next::Snapshot(a2)]);
}

#[test]
fn of_a_corrupt_snapshot_the_one_before_counts_again_unless_it_is_merged() {
    let (a1, a2) = (name("a", 1), name("a", 2));
    let mut known = Knowledge {
        corrupt: [a2.clone()].into(),
        ..Knowledge::default()
    };
    let listing = listing(&[&a1, &a2]);
    assert_eq!(to_load(&known, &listing, "b"), [Next::Snapshot(a1.clone())]);
    known.merged(&a1);
    assert!(to_load(&known, &listing, "b").is_empty());
}

#[test]
fn ready_means_that_all_first_seen_instances_gave_what_they_have() {
    let (a, b) = (name("a", 1), name("b", 1));
    let seen: BTreeMap<_, _> = [("a".to_owned(), a.timestamp()), ("b".to_owned(), b.timestamp())].into();
    let none = Deltas::default();
    let mut known = Knowledge::default();
    assert!(!known.has_all_of(&seen, &listing(&[&a, &b]), &none));
    known.merged(&a);
    assert!(!known.has_all_of(&seen, &listing(&[&a, &b]), &none));
    // The other one's snapshots vanished.
    assert!(known.has_all_of(&seen, &listing(&[&a]), &none));
    // Or they are all torn.
    known.corrupt.insert(b.clone());
    assert!(known.has_all_of(&seen, &listing(&[&a, &b]), &none));
}

#[test]
fn who_can_go_on_by_deltas_needs_no_newer_snapshot() {
    let (a10, a13) = (name("a", 10), name("a", 13));
    let all = listing(&[&a10, &a13]);
    let mut known = Knowledge::default();
    let next = |known: &Knowledge, deltas: &Deltas| of_a(known, &all, deltas, |_| false);
    let way = deltas(&[(10, 12), (12, 13), (13, 14)]);
    // The first step is the newest snapshot.
    assert_eq!(next(&known, &way), [Next::Snapshot(a13.clone())]);
    known.merged(&a10);
    let steps = [(10, 12), (12, 13), (13, 14)].map(|(since, time)| Next::Delta(delta(since, time)));
    assert_eq!(next(&known, &way), steps);
    assert_eq!(
        steps.iter().map(|step| known.is_passed(step)).collect::<Vec<_>>(),
        [false; 3]
    );
    // With a gap before the snapshot there is only the snapshot.
    assert_eq!(
        next(&known, &deltas(&[(10, 11), (12, 13), (13, 14)])),
        [Next::Snapshot(a13.clone())]
    );
    assert!(known.merged_delta(&delta(10, 12)));
    assert!(known.merged_delta(&delta(12, 13)));
    assert!(steps[..2].iter().all(|step| known.is_passed(step)));
    assert_eq!(next(&known, &way), [Next::Delta(delta(13, 14))]);
    // One that does not join on says nothing about what came before it.
    assert!(!known.merged_delta(&delta(15, 16)));
    assert_eq!(known.have("a"), a13.timestamp());
}

#[test]
fn after_hours_a_snapshot_is_read_though_deltas_have_told_what_is_in_it() {
    let hour = 3600;
    let (a1, a2, a3) = (name("a", 1), name("a", 2 * hour), name("a", 3 * hour + 1));
    let mut known = Knowledge::default();
    known.merged(&a1);
    let way = deltas(&[(1, 2 * hour), (2 * hour, 3 * hour + 1)]);
    known.reached("a", a3.timestamp());
    let next = |known: &Knowledge, listing: &Listing| of_a(known, listing, &way, |_| false);
    assert!(next(&known, &listing(&[&a1, &a2])).is_empty());
    let all = listing(&[&a1, &a2, &a3]);
    assert_eq!(next(&known, &all), [Next::Snapshot(a3.clone())]);
    known.merged(&a3);
    assert!(next(&known, &all).is_empty());
}

#[test]
fn a_snapshot_that_has_more_than_deltas_tell_is_read_once_they_are() {
    let a10 = name("a", 10);
    let (a13, a14) = (name("a", 13), name("a", 14));
    let way = deltas(&[(10, 13), (13, 14)]);
    let mut known = Knowledge::default();
    known.merged(&a10);
    known.wanted.insert("a".to_owned(), a13.timestamp());
    let steps = [(10, 13), (13, 14)].map(|(since, time)| Next::Delta(delta(since, time)));
    // It is not there yet.
    assert_eq!(of_a(&known, &listing(&[&a10]), &way, |_| false), steps);
    let with_it = [&steps[..], &[Next::Snapshot(a13.clone())]].concat();
    assert_eq!(of_a(&known, &listing(&[&a10, &a13]), &way, |_| false), with_it);
    known.reached("a", a14.timestamp());
    assert!(!known.is_passed(&with_it[2]));
    known.merged(&a13);
    assert!(known.is_passed(&with_it[2]));
    assert!(of_a(&known, &listing(&[&a10, &a13]), &way, |_| false).is_empty());
}

#[test]
fn deltas_come_before_snapshots_and_newer_snapshots_before_older_ones() {
    let (a, b, c, d) = (name("a", 10), name("b", 20), name("c", 30), name("d", 5));
    let mut known = Knowledge::default();
    known.merged(&a);
    let all = listing(&[&a, &b, &c, &d]);
    let ways = known.to_load(&all, &deltas(&[(10, 12)]), "d", |_| false);
    let of: Vec<_> = ways.iter().map(|way| way[0].instance()).collect();
    assert_eq!(of, ["d", "a", "c", "b"]);
}

#[test]
fn a_delta_that_cannot_be_had_or_does_not_decode_is_a_gap() {
    let (a10, a13) = (name("a", 10), name("a", 13));
    let way = deltas(&[(10, 12), (12, 13)]);
    let mut known = Knowledge::default();
    known.merged(&a10);
    known.corrupt_deltas.insert(delta(10, 12), 100);
    let all = listing(&[&a10, &a13]);
    assert_eq!(of_a(&known, &all, &way, |_| false), [Next::Snapshot(a13.clone())]);
    assert!(of_a(&known, &listing(&[&a10]), &way, |_| false).is_empty());
    let mut known = Knowledge::default();
    known.merged(&a10);
    let lost = Next::Snapshot(a13);
    assert_eq!(
        of_a(&known, &all, &deltas(&[(10, 12)]), |next| *next == lost),
        [Next::Delta(delta(10, 12))]
    );
}

#[test]
fn only_what_a_newer_snapshot_replaces_that_was_found_readable_is_superseded() {
    let (a1, a2, a3, b1, b2) = (
        name("a", 1),
        name("a", 2),
        name("a", 3),
        name("b", 1),
        name("b", 2),
    );
    let mut known = Knowledge::default();
    let all = listing(&[&a1, &a2, &a3, &b1, &b2]);
    assert!(known.superseded(&all).is_empty());
    known.merged(&a2);
    assert_eq!(known.superseded(&all), [a1.clone()].into());
    // Somebody removed the one that we merged: whether the newer one is readable is not known.
    assert!(known.superseded(&listing(&[&a1, &a3])).is_empty());
}

#[test]
fn names_of_other_databases_and_other_things_are_left_alone() {
    let objects = [
        listed("shard__a__20261124-090050-137194777__GX.pb.gz"),
        listed("main__x.pb.gz"),
    ];
    assert!(sort_listing("main", &objects).is_empty());
}

#[test]
fn a_snapshot_is_read_again_after_some_hours_by_the_next_instance_alone_where_all_are_equal() {
    let (first, later) = (name("a", 1), name("a", 1 + 4 * 3600));
    let mut known = Knowledge::default();
    known.merged(&first);
    known.reached("a", later.timestamp());
    let listing = listing(&[&later]);
    assert_eq!(to_load(&known, &listing, "b"), [Next::Snapshot(later)]);
    known.spared.insert("a".to_owned());
    assert!(to_load(&known, &listing, "b").is_empty());
    let all = ["a", "b", "c"].into();
    let auditors = ["a", "b", "c", "d"].map(|of| auditor(&all, of));
    assert_eq!(auditors, [Some("b"), Some("c"), Some("a"), Some("a")]);
    assert_eq!(auditor(&["a"].into(), "a"), None);
}
