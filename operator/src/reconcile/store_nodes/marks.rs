//! Which nodes may be asked and which hold everything, as it is written on their pods.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    Asked, Done,
    layout::{self, Node},
};
use crate::{
    context::Context,
    error::Error,
    names::{STORE_FILLED_ANNOTATION, STORE_LABEL, STORE_OPEN},
    objectstore::NodeOrder,
    reconcile::{apply, plan::Plan},
};

/// Between two looks at one that lacks something.
const AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// Garage puts the blocks of entries that it got into a queue two seconds later, to be fetched in ten minutes, and then not earlier; and
/// those that it is told to fetch two seconds later as well.
pub(super) const QUEUED: SignedDuration = SignedDuration::from_secs(4);
/// Blocks are written to it all the time, and one more or less is always in its queue.
const A_WHILE: SignedDuration = SignedDuration::from_mins(2);

/// How far a node is, as its pod's annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It has a role, and held nothing before.
    Empty,
    /// It may be asked since then.
    Opened { at: Timestamp, empty: bool },
    /// It fetches what it lacks since then.
    Fetches(Timestamp),
    /// It holds everything.
    Filled,
    /// It lacks what another has since then.
    Behind(Timestamp),
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("empty"),
            Self::Opened { at, empty: true } => write!(formatter, "opened-empty {at}"),
            Self::Opened { at, empty: false } => write!(formatter, "opened {at}"),
            Self::Fetches(at) => write!(formatter, "fetches {at}"),
            Self::Filled => formatter.write_str("true"),
            Self::Behind(at) => write!(formatter, "behind {at}"),
        }
    }
}

impl Mark {
    fn of(pod: &Pod) -> Option<Self> {
        let text = pod.annotations().get(STORE_FILLED_ANNOTATION)?;
        let (word, at) = text.split_once(' ').unwrap_or((text, ""));
        let at = at.parse();
        match word {
            "empty" => Some(Self::Empty),
            "opened-empty" => at.ok().map(|at| Self::Opened { at, empty: true }),
            "opened" => at.ok().map(|at| Self::Opened { at, empty: false }),
            "fetches" => at.ok().map(Self::Fetches),
            "true" => Some(Self::Filled),
            "behind" => at.ok().map(Self::Behind),
            _ => None,
        }
    }
}

/// What is known of a node.
#[derive(Clone, Copy, Debug)]
struct View {
    is_open: bool,
    mark: Option<Mark>,
    /// It has what others have.
    may_open: bool,
    /// Another that is open has.
    other_serves: bool,
}

/// What becomes of a node: its mark, whether it is open, and what it is told before.
type Change = (Mark, bool, Option<NodeOrder>);

/// `is_done`: whether all hold the layout, and it has no more to see to than others, after so long.
fn change(view: View, now: Timestamp, is_done: impl Fn(SignedDuration) -> bool) -> Option<Change> {
    let opened = |empty| Some((Mark::Opened { at: now, empty }, true, None));
    match (view.is_open, view.may_open, view.mark) {
        (false, true, Some(Mark::Filled)) => Some((Mark::Filled, true, None)),
        (false, true, mark) => opened(mark == Some(Mark::Empty)),
        (false, false, _) | (true, true, Some(Mark::Filled)) => None,
        // What was written just now may be on its way.
        (true, false, Some(Mark::Behind(at))) => {
            let withdrawn = view.other_serves && now.duration_since(at) >= AGAIN;
            withdrawn.then_some((Mark::Behind(at), false, None))
        }
        (true, false, _) => Some((Mark::Behind(now), true, None)),
        (true, true, Some(Mark::Opened { at, empty })) => {
            let fetch = NodeOrder::FetchBlocks { empty };
            (now.duration_since(at) >= QUEUED).then_some((Mark::Fetches(now), true, Some(fetch)))
        }
        (true, true, Some(Mark::Fetches(at))) => {
            let told = now.duration_since(at);
            let filled = told >= QUEUED && is_done(told);
            filled.then_some((Mark::Filled, true, None))
        }
        (true, true, Some(Mark::Behind(_) | Mark::Empty) | None) => opened(false),
    }
}

/// Who has no more to see to than one that is filled, as blocks that are written are seen to by all. Two that are not do not vouch for
/// each other.
fn is_done(blocks: u64, filled: &[u64], others: &[u64], told: SignedDuration) -> bool {
    let limit = match (filled, told > A_WHILE) {
        ([], false) => None,
        ([], true) => others.iter().min(),
        (filled, false) => filled.iter().min(),
        (filled, true) => filled.iter().max(),
    };
    blocks <= limit.copied().unwrap_or_default()
}

/// Before it has a role, as that it holds nothing does not show later.
pub(super) async fn empty(context: &Context, plan: &Plan, pod: &Pod) -> Result<(), Error> {
    mark(context, plan, pod, None, Mark::Empty).await
}

/// Lets the nodes be asked that hold what they should, and those no longer that do not.
pub(super) async fn keep(
    context: &Context,
    plan: &Plan,
    pods: &[Pod],
    asked: &[Asked],
    grown: bool,
    settled: bool,
    done: &mut Done,
) -> Result<(), Error> {
    // One alone cannot be compared.
    if asked.len() < 2 {
        return Ok(());
    }
    let nodes: Vec<Node> = asked.iter().map(|asked| asked.node.clone()).collect();
    // On the way from one node to three all at once: of three two are asked, and two might be those that lack it.
    let together = !grown && !pods.iter().any(is_open);
    let has_what_others_have = |node: &Node| layout::may_open(node, &nodes, together);
    if nodes
        .iter()
        .any(|node| node.view.layout > 0 && !has_what_others_have(node))
    {
        for of in asked {
            done.note(of.tell(&NodeOrder::SyncTables).await);
        }
    }
    let all = nodes.len() == 3 && nodes.iter().all(has_what_others_have);
    let pod_of = |node: &Node| pods.iter().find(|pod| pod.name_any() == node.pod);
    let blocks = |other: &dyn Fn(&Node, &Pod) -> bool| -> Vec<u64> {
        let others = nodes
            .iter()
            .filter(|node| pod_of(node).is_some_and(|pod| other(node, pod)));
        others.map(|node| node.view.blocks_to_see_to).collect()
    };
    for of in asked {
        let Some(pod) = pod_of(&of.node) else {
            continue;
        };
        let is_other = |node: &Node| node.pod != of.node.pod;
        // The others are filled from it.
        let is_source = together
            && nodes.iter().all(|node| {
                let mark = pod_of(node).and_then(Mark::of);
                is_other(node) == (mark == Some(Mark::Empty))
            });
        let serves = |node: &Node| has_what_others_have(node) && pod_of(node).is_some_and(is_open);
        let view = View {
            is_open: is_open(pod),
            mark: if is_source {
                Some(Mark::Filled)
            } else {
                Mark::of(pod)
            },
            may_open: has_what_others_have(&of.node) && (all || !together),
            other_serves: nodes.iter().any(|node| is_other(node) && serves(node)),
        };
        let filled = blocks(&|node, pod| is_other(node) && is_filled(pod));
        let others = blocks(&|node, _| is_other(node));
        let is_done = |told| settled && is_done(of.node.view.blocks_to_see_to, &filled, &others, told);
        let Some((mark_now, open, order)) = change(view, Timestamp::now(), is_done) else {
            continue;
        };
        if let Some(order) = order
            && !done.note(of.tell(&order).await)
        {
            continue;
        }
        mark(context, plan, pod, Some(open), mark_now).await?;
        done.began = true;
    }
    Ok(())
}

pub(super) fn is_open(pod: &Pod) -> bool {
    let label = pod.labels().get(STORE_LABEL);
    label.is_some_and(|value| value == STORE_OPEN) && pod.metadata.deletion_timestamp.is_none()
}

pub(super) fn is_filled(pod: &Pod) -> bool {
    is_open(pod) && Mark::of(pod) == Some(Mark::Filled)
}

async fn mark(
    context: &Context,
    plan: &Plan,
    pod: &Pod,
    open: Option<bool>,
    mark: Mark,
) -> Result<(), Error> {
    let label = open.map(|open| (STORE_LABEL, open.then_some(STORE_OPEN)));
    let annotation = (STORE_FILLED_ANNOTATION, mark.to_string());
    apply::mark_pod(context, &plan.names.namespace, pod, label, annotation).await?;
    Ok(())
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
