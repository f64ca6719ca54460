use serde_json::json;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

const VIEW: View = View {
    is_open: true,
    mark: Some(Mark::Filled),
    may_open: true,
    other_serves: true,
};

fn after(view: View, seconds: i64) -> Option<Change> {
    change(view, at(seconds), |_| true)
}

#[test]
fn what_is_written_on_a_pod_is_read_again() {
    let marks = [
        Mark::Empty,
        Mark::Opened {
            at: at(1),
            empty: true,
        },
        Mark::Opened {
            at: at(1),
            empty: false,
        },
        Mark::Fetches(at(2)),
        Mark::Filled,
        Mark::Behind(at(3)),
    ];
    let pod = |text: &str| -> Pod {
        serde_json::from_value(json!({"metadata": {"annotations": {"zonetide.dev/store-filled": text}}}))
            .unwrap()
    };
    for mark in marks {
        assert_eq!(Mark::of(&pod(&mark.to_string())), Some(mark));
    }
    assert_eq!(Mark::of(&pod("opened once")), None);
}

#[test]
fn a_node_is_opened_then_fetches_and_is_filled_when_it_has_no_more_to_see_to_than_others() {
    let closed = View {
        is_open: false,
        mark: Some(Mark::Empty),
        ..VIEW
    };
    let opened = Mark::Opened {
        at: at(0),
        empty: true,
    };
    assert_eq!(after(closed, 0), Some((opened, true, None)));
    let opened = View {
        mark: Some(opened),
        ..VIEW
    };
    // What the entries put into the queue comes later, and would stay in it.
    assert_eq!(after(opened, 1), None);
    let fetch = Some(NodeOrder::FetchBlocks { empty: true });
    assert_eq!(after(opened, 5), Some((Mark::Fetches(at(5)), true, fetch)));
    let fetches = View {
        mark: Some(Mark::Fetches(at(5))),
        ..VIEW
    };
    assert_eq!(after(fetches, 6), None);
    assert_eq!(after(fetches, 10), Some((Mark::Filled, true, None)));
    assert_eq!(change(fetches, at(10), |_| false), None);
    assert_eq!(after(VIEW, 10), None);
    // The one that the others are filled from.
    let source = View {
        is_open: false,
        ..VIEW
    };
    assert_eq!(after(source, 0), Some((Mark::Filled, true, None)));
}

#[test]
fn a_node_that_lacks_what_another_has_at_two_looks_is_not_asked_before_it_has_it() {
    let lacks = View {
        may_open: false,
        ..VIEW
    };
    let behind = Mark::Behind(at(0));
    assert_eq!(
        after(lacks, 0),
        Some((behind, true, None)),
        "it may be on its way"
    );
    let lacks = View {
        mark: Some(behind),
        ..lacks
    };
    assert_eq!(after(lacks, 1), None);
    assert_eq!(after(lacks, 2), Some((behind, false, None)));
    let alone = View {
        other_serves: false,
        ..lacks
    };
    assert_eq!(after(alone, 9), None, "somebody has to answer");
    let withdrawn = View {
        is_open: false,
        ..lacks
    };
    assert_eq!(after(withdrawn, 9), None);
    let again = Some((
        Mark::Opened {
            at: at(9),
            empty: false,
        },
        true,
        None,
    ));
    for is_open in [true, false] {
        let has = View {
            is_open,
            may_open: true,
            ..lacks
        };
        assert_eq!(after(has, 9), again);
    }
}

#[test]
fn two_nodes_that_are_filled_do_not_vouch_for_each_other() {
    let soon = SignedDuration::from_secs(10);
    let later = SignedDuration::from_mins(11);
    // All are asked, and one of them holds everything.
    assert!(!is_done(50, &[0], &[50, 0], soon));
    assert!(!is_done(50, &[0], &[50, 0], later));
    assert!(!is_done(50, &[], &[50, 0], later), "none is known to be filled");
    assert!(is_done(0, &[], &[50, 50], soon));
    assert!(is_done(3, &[], &[4, 3], later));
    // Blocks are written to all of them.
    assert!(!is_done(3, &[2, 4], &[2, 4], soon));
    assert!(is_done(3, &[2, 4], &[2, 4], later));
}
