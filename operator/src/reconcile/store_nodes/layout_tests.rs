use super::*;
use crate::objectstore::KnownNode;

fn expected() -> Vec<String> {
    (0..3).map(|number| format!("g-{number}")).collect()
}

/// `(id, is up, pod of its role, is draining)`
type Known<'a> = (&'a str, bool, Option<&'a str>, bool);

fn node(number: u8, id: &str, layout: u64, known: &[Known<'_>]) -> Node {
    let known = known.iter().map(|(id, is_up, role, draining)| KnownNode {
        id: (*id).to_owned(),
        is_up: *is_up,
        role: role.map(str::to_owned),
        draining: *draining,
    });
    Node {
        pod: format!("g-{number}"),
        address: format!("10.0.0.{number}:3901"),
        view: NodeView {
            id: id.to_owned(),
            layout,
            known: known.collect(),
            ..NodeView::default()
        },
    }
}

/// All of these nodes, each of which knows the same.
fn alike(ids: [&str; 3], layouts: [u64; 3], known: &[Known<'_>]) -> Vec<Node> {
    (0..3)
        .map(|number| {
            let at = usize::from(number);
            node(number, ids[at], layouts[at], known)
        })
        .collect()
}

const NEW: [Known<'_>; 3] = [
    ("a", true, None, false),
    ("b", true, None, false),
    ("c", true, None, false),
];
const MEMBERS: [Known<'_>; 3] = [
    ("a", true, Some("g-0"), false),
    ("b", true, Some("g-1"), false),
    ("c", true, Some("g-2"), false),
];

fn waits(step: &Step, part: &str) {
    match step {
        Step::Wait(why) if why.contains(part) => {}
        other => panic!("{other:?} does not wait for {part}"),
    }
}

#[test]
fn nodes_that_do_not_see_each_other_are_introduced_first() {
    let mut nodes = alike(["a", "b", "c"], [0; 3], &NEW);
    nodes[0].view.known = vec![];
    nodes[1].view.known[2].is_up = false;
    let to = |pod: &str, peers: &[&str]| {
        let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
        (pod.to_owned(), NodeOrder::Connect(peers))
    };
    let both = ["b@10.0.0.1:3901", "c@10.0.0.2:3901"];
    let orders = vec![to("g-0", &both), to("g-1", &["c@10.0.0.2:3901"])];
    assert_eq!(next(&expected(), &nodes), Step::Tell(orders));
}

#[test]
fn a_layout_is_made_when_all_three_answer_and_none_has_one() {
    let nodes = alike(["a", "b", "c"], [0; 3], &NEW);
    let Step::Tell(orders) = next(&expected(), &nodes) else {
        panic!("nothing is told")
    };
    let with = [("a", "g-0"), ("b", "g-1"), ("c", "g-2")];
    let layout = NodeOrder::Layout {
        version: 1,
        without: vec![],
        with: with.map(|(id, pod)| (id.to_owned(), pod.to_owned())).into(),
    };
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].1, layout);
    waits(&next(&expected(), &nodes[..2]), "g-2");
    waits(&next(&expected(), &[]), "no node");
}

#[test]
fn members_that_are_all_there_are_left_alone() {
    let nodes = alike(["a", "b", "c"], [4; 3], &MEMBERS);
    assert_eq!(next(&expected(), &nodes), Step::Settled);
    waits(
        &next(&expected(), &alike(["a", "b", "c"], [4, 3, 4], &MEMBERS)),
        "g-1",
    );
    // One that is away keeps its role: its data may be all right.
    waits(&next(&expected(), &nodes[..2]), "g-2");
}

#[test]
fn one_that_came_back_as_another_takes_the_place_of_the_one_that_is_gone() {
    let known = [
        MEMBERS[0],
        MEMBERS[1],
        ("c", false, Some("g-2"), false),
        ("d", true, None, false),
    ];
    let nodes = alike(["a", "b", "d"], [4, 4, 0], &known);
    let layout = NodeOrder::Layout {
        version: 5,
        without: vec!["c".to_owned()],
        with: vec![("d".to_owned(), "g-2".to_owned())],
    };
    match next(&expected(), &nodes) {
        // By one that knows the layout.
        Step::Tell(orders) => assert_eq!(orders, [("g-1".to_owned(), layout)]),
        other => panic!("{other:?}"),
    }
    let still = [MEMBERS[0], MEMBERS[1], MEMBERS[2], ("d", true, None, false)];
    waits(
        &next(&expected(), &alike(["a", "b", "d"], [4, 4, 0], &still)),
        "still answers",
    );
}

#[test]
fn an_older_layout_ends_before_there_is_another_and_nobody_waits_for_the_dead() {
    let drained = |is_up| {
        [
            MEMBERS[0],
            MEMBERS[1],
            ("d", true, Some("g-2"), false),
            ("c", is_up, None, true),
        ]
    };
    let dead = alike(["a", "b", "d"], [5; 3], &drained(false));
    let Step::Tell(orders) = next(&expected(), &dead) else {
        panic!("nothing is told")
    };
    assert_eq!(orders[0].1, NodeOrder::SkipDead(5));
    waits(
        &next(&expected(), &alike(["a", "b", "d"], [5; 3], &drained(true))),
        "take over",
    );
}

#[test]
fn where_two_of_three_have_lost_their_data_nothing_is_decided() {
    let known = [
        MEMBERS[0],
        ("b", false, Some("g-1"), false),
        ("c", false, Some("g-2"), false),
        ("d", true, None, false),
        ("e", true, None, false),
    ];
    let nodes = alike(["a", "d", "e"], [4, 0, 0], &known);
    let lost = Step::Lost(vec!["g-1".to_owned(), "g-2".to_owned()]);
    assert_eq!(next(&expected(), &nodes), lost);
}

#[test]
fn a_node_that_lacks_a_key_is_not_asked_and_objects_count_while_nobody_writes() {
    let mut nodes = alike(["a", "b", "c"], [1; 3], &MEMBERS);
    for node in &mut nodes {
        let tables = ACCESS.iter().chain(&OBJECTS);
        node.view.entries = tables.map(|table| ((*table).to_owned(), 9)).collect();
    }
    let may = |nodes: &[Node], with_objects| -> Vec<bool> {
        let may = nodes.iter().map(|node| may_open(node, nodes, with_objects));
        may.collect()
    };
    assert_eq!(may(&nodes, true), [true; 3]);
    nodes[1].view.entries.insert("object".to_owned(), 8);
    assert_eq!(may(&nodes, true), [true, false, true]);
    assert_eq!(may(&nodes, false), [true; 3]);
    nodes[2].view.entries.insert("key".to_owned(), 8);
    assert_eq!(may(&nodes, false), [true, true, false]);
    nodes[2].view.entries.clear();
    assert_eq!(may(&nodes, false), [true, true, false]);
    nodes[0].view.known[1].is_up = false;
    nodes[0].view.known[2].is_up = false;
    assert_eq!(may(&nodes, false), [false, true, false], "it is cut off");
    let strangers = alike(["a", "b", "x"], [1; 3], &MEMBERS);
    assert!(!may_open(&strangers[2], &strangers, false));
}

#[test]
fn nodes_meet_when_all_answer_and_see_each_other() {
    let mut nodes = alike(["a", "b", "c"], [4; 3], &MEMBERS);
    let meets = |nodes: &[Node]| meet(&expected(), nodes, &next(&expected(), nodes));
    assert!(meets(&nodes));
    assert!(!meets(&nodes[..2]));
    nodes[1].view.known[2].is_up = false;
    assert!(!meets(&nodes));
    assert!(!meet(
        &expected(),
        &alike(["a", "b", "c"], [4; 3], &MEMBERS),
        &Step::Lost(vec![])
    ));
}
