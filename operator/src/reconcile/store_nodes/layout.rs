//! What the nodes of a store say, and what is to be done about it. Pure.

use crate::objectstore::{NodeOrder, NodeView};

/// Garage reads these from its own copy: a node that lacks one would refuse keys that are good.
const ACCESS: [&str; 4] = ["admin_token", "bucket_alias", "bucket_v2", "key"];
const BLOCKS: &str = "block_ref";
const OBJECTS: [&str; 4] = [BLOCKS, "multipart_upload", "object", "version"];

/// A node that answers.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub pod: String,
    /// Where the others reach it.
    pub address: String,
    pub view: NodeView,
}

impl Node {
    /// It knows of no block.
    pub(super) fn is_empty(&self) -> bool {
        self.view.entries.get(BLOCKS).is_none_or(|count| *count == 0)
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The pod's node is told something.
    Tell(Vec<(String, NodeOrder)>),
    /// It goes on by itself, or when this is over.
    Wait(String),
    /// These have no role, and too few are left to fill them from.
    Lost(Vec<String>),
    /// All hold the layout.
    Settled,
}

pub(super) fn next(expected: &[String], nodes: &[Node]) -> Step {
    let introductions = introductions(nodes);
    if !introductions.is_empty() {
        return Step::Tell(introductions);
    }
    let away: Vec<&str> = expected
        .iter()
        .filter(|pod| !nodes.iter().any(|node| node.pod == **pod))
        .map(String::as_str)
        .collect();
    let Some(lead) = nodes.iter().max_by_key(|node| node.view.layout) else {
        return Step::Wait("no node answers".to_owned());
    };
    if !away.is_empty() {
        return Step::Wait(format!("waiting for {}", away.join(", ")));
    }
    let version = lead.view.layout;
    if version == 0 {
        let with = nodes.iter().map(role).collect();
        return layout(lead, 1, vec![], with);
    }
    if let Some(dead) = drained(lead) {
        return if dead {
            Step::Tell(vec![(lead.pod.clone(), NodeOrder::SkipDead(version))])
        } else {
            Step::Wait("the nodes take over their layout".to_owned())
        };
    }
    let (members, without_role): (Vec<&Node>, Vec<&Node>) =
        nodes.iter().partition(|node| is_member(node, lead));
    match without_role.as_slice() {
        [] => match members.iter().find(|node| node.view.layout < version) {
            Some(late) => Step::Wait(format!("{} takes over its layout", late.pod)),
            None => Step::Settled,
        },
        [new] => {
            let gone: Vec<_> = lead
                .view
                .known
                .iter()
                .filter(|known| known.role.is_some() && !nodes.iter().any(|node| node.view.id == known.id))
                .collect();
            if gone.iter().any(|known| known.is_up) {
                return Step::Wait(format!(
                    "the node that {} takes the place of still answers",
                    new.pod
                ));
            }
            let without = gone.iter().map(|known| known.id.clone()).collect();
            layout(lead, version + 1, without, vec![role(new)])
        }
        more => Step::Lost(more.iter().map(|node| node.pod.clone()).collect()),
    }
}

fn role(node: &Node) -> (String, String) {
    (node.view.id.clone(), node.pod.clone())
}

fn layout(lead: &Node, version: u64, without: Vec<String>, with: Vec<(String, String)>) -> Step {
    let order = NodeOrder::Layout {
        version,
        without,
        with,
    };
    Step::Tell(vec![(lead.pod.clone(), order)])
}

/// Each node is told of all others that it has no connection to: addresses of pods change.
pub(super) fn introductions(nodes: &[Node]) -> Vec<(String, NodeOrder)> {
    let unknown_to = |node: &Node| -> Vec<String> {
        let sees = |other: &Node| {
            let mut known = node.view.known.iter();
            known.any(|known| known.id == other.view.id && known.is_up)
        };
        nodes
            .iter()
            .filter(|other| other.pod != node.pod && !sees(other))
            .map(|other| format!("{}@{}", other.view.id, other.address))
            .collect()
    };
    nodes
        .iter()
        .map(|node| (node.pod.clone(), unknown_to(node)))
        .filter(|(_, peers)| !peers.is_empty())
        .map(|(pod, peers)| (pod, NodeOrder::Connect(peers)))
        .collect()
}

/// Whether a node goes by an older layout yet, and if so, whether one of those is gone.
fn drained(lead: &Node) -> Option<bool> {
    let mut draining = lead.view.known.iter().filter(|known| known.draining).peekable();
    draining.peek()?;
    Some(draining.any(|known| !known.is_up))
}

/// Whether the node has a role, as `lead` knows.
pub(super) fn is_member(node: &Node, lead: &Node) -> bool {
    let mut known = lead.view.known.iter();
    known.any(|known| known.id == node.view.id && known.role.is_some())
}

/// Whether a node may be asked: it has a role, sees another, and has no table that is shorter than another's. Of objects that is only
/// looked at while nobody writes, on the way from one node to three: later two of three are asked for each of them.
pub(super) fn may_open(node: &Node, nodes: &[Node], with_objects: bool) -> bool {
    let Some(lead) = nodes.iter().max_by_key(|node| node.view.layout) else {
        return false;
    };
    let mut others = node.view.known.iter().filter(|known| known.id != node.view.id);
    let objects = if with_objects { &OBJECTS[..] } else { &[] };
    let mut tables = ACCESS.iter().chain(objects);
    node.view.layout > 0
        && is_member(node, lead)
        && others.any(|known| known.is_up && known.role.is_some())
        && tables.all(|table| {
            let of = |node: &Node| node.view.entries.get(*table).copied();
            of(node).is_some() && nodes.iter().all(|other| of(other) <= of(node))
        })
}

/// Whether all answer and see each other, and have what a layout is made of.
pub(super) fn meet(expected: &[String], nodes: &[Node], step: &Step) -> bool {
    nodes.len() == expected.len() && introductions(nodes).is_empty() && !matches!(step, Step::Lost(_))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
