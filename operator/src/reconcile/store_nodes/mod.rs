//! A managed Garage with three nodes: made, grown from one, and mended when a node has lost its volume.

mod layout;
mod marks;
mod stage;

use std::{net::IpAddr, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};

use self::{
    layout::{Node, Step},
    marks::{is_filled, is_open},
    stage::{NODES, Seen, is_of_one, is_single},
};
use super::{
    LOOK_AT_ONCE, LOOK_SOON,
    api_pod::is_ready,
    apply,
    fetch::Fetched,
    notices::Notice,
    plan::{Plan, StorePlan, url_host},
    trouble,
    verdict::is_updated,
};
use crate::{
    build::{self, StoreStage},
    context::Context,
    error::{Error, root_cause},
    names::{GARAGE_ADMIN_PORT, GARAGE_RPC_PORT, NAME_LABEL, Part},
    objectstore::{NodeOrder, StoreError, StoreNode},
    secret::SecretText,
};

/// One that is cut off from the others, and so lacks what is new, is seen then.
const LOOK_AT_NODES: Duration = Duration::from_mins(1);

/// A store that can be asked.
pub(super) struct Served {
    pub address: IpAddr,
    pub nodes: StoreNodes,
}

impl Served {
    /// By a single node.
    pub(super) fn alone(address: IpAddr) -> Self {
        Self {
            address,
            nodes: StoreNodes::default(),
        }
    }
}

/// What there is to say of a store's nodes.
#[derive(Clone, Debug, Default)]
pub struct StoreNodes {
    /// What is on its way.
    pub note: Option<String>,
    /// When to look at them again, which nothing tells of.
    pub look_again: Option<Duration>,
}

/// Whether the spec asks for such a store.
pub(super) fn are_wanted(plan: &Plan) -> bool {
    let managed = plan.spec.object_store.managed.as_ref();
    matches!(plan.store, StorePlan::Garage { .. }) && managed.is_some_and(|managed| managed.replicas == NODES)
}

/// Whether there is such a store, or was one: of its volumes a single node could not make anything.
pub(super) fn are_there(plan: &Plan, fetched: &Fetched) -> bool {
    let StorePlan::Garage { .. } = plan.store else {
        return false;
    };
    if let Some(set) = &fetched.store_stateful_set {
        return !is_of_one(set);
    }
    let further: Vec<String> = (1..NODES)
        .map(|number| format!("data-{}-{number}", plan.names.garage()))
        .collect();
    let part = plan.names.selector(Part::Garage);
    fetched
        .claims
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        // Servers of a DnsCluster NAME-garage have claims of the same names.
        .filter(|claim| claim.labels().get(NAME_LABEL) == part.get(NAME_LABEL))
        .any(|claim| further.contains(&claim.name_any()))
}

/// Brings the store on by one step.
pub(super) async fn reconcile(
    context: &Context,
    plan: &Plan,
    fetched: &Fetched,
    paused: bool,
) -> Result<Result<Served, StoreError>, Error> {
    let pods = &fetched.store_pods;
    let StorePlan::Garage { admin_token, .. } = &plan.store else {
        return Ok(Err(starting(fetched)));
    };
    let asked = look(context, admin_token, pods).await;
    let nodes: Vec<Node> = asked.iter().map(|asked| asked.node.clone()).collect();
    let expected: Vec<String> = (0..NODES)
        .map(|number| format!("{}-{number}", plan.names.garage()))
        .collect();
    let step = layout::next(&expected, &nodes);
    let set = fetched.store_stateful_set.as_ref();
    let introductions = layout::introductions(&nodes);
    let stage = stage::stage(&Seen {
        set,
        pods,
        nodes: &nodes,
        introduced: introductions.is_empty(),
        meet: layout::meet(&expected, &nodes, &step),
        paused,
        now: Timestamp::now(),
    });
    // The store is away while it is made of three, and servers need keys.
    let is_left_alone = paused && (set.is_none() || stage != StoreStage::Making);
    if !is_left_alone && let Some(store) = build::store_of_three(plan, stage) {
        Box::pin(apply::store(context, store)).await?;
    }
    let mut done = Done::default();
    if stage == StoreStage::Joining {
        done.tell(context, plan, fetched, &asked, &introductions, is_left_alone)
            .await?;
        let apart = !introductions.is_empty();
        return Ok(beside_the_first(fetched, nodes.len(), apart));
    }
    if let Step::Tell(orders) = &step {
        done.tell(context, plan, fetched, &asked, orders, is_left_alone)
            .await?;
    }
    let grown = set.is_some_and(stage::is_grown);
    let settled = step == Step::Settled;
    marks::keep(context, plan, pods, &asked, grown, settled, &mut done).await?;
    Ok(served(fetched, &nodes, &step, &done, grown))
}

/// A pod that was asked, and whose node answered.
struct Asked {
    node: Node,
    api: Box<dyn StoreNode>,
}

impl Asked {
    async fn tell(&self, order: &NodeOrder) -> Result<(), String> {
        let told = self.api.tell(order).await;
        told.map_err(|error| format!("{}: {}", self.node.pod, root_cause(&error)))
    }
}

/// Asks every pod that is of three nodes.
async fn look(context: &Context, admin_token: &SecretText, pods: &[Pod]) -> Vec<Asked> {
    let asked = pods.iter().filter(|pod| !is_single(pod)).map(|pod| async move {
        let status = pod.status.as_ref()?;
        let has_ended = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
        // Somebody else may have its address by now.
        if has_ended || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let address = status.pod_ip.as_ref()?.parse::<IpAddr>().ok()?;
        let host = url_host(Some(address))?;
        let url = format!("http://{host}:{GARAGE_ADMIN_PORT}");
        let api = context.sources.store_node(url, admin_token.clone());
        let view = match api.look().await {
            Ok(view) if !view.id.is_empty() => view,
            Ok(_) => return None,
            Err(error) => {
                tracing::info!(
                    pod = pod.name_any(),
                    error = root_cause(&error),
                    "a store node does not answer"
                );
                return None;
            }
        };
        let node = Node {
            pod: pod.name_any(),
            address: format!("{host}:{GARAGE_RPC_PORT}"),
            view,
        };
        Some(Asked { node, api })
    });
    let mut asked: Vec<Asked> = join_all(asked).await.into_iter().flatten().collect();
    asked.sort_by(|a, b| a.node.pod.cmp(&b.node.pod));
    asked
}

/// What a reconcile did.
#[derive(Default)]
struct Done {
    failed: Option<String>,
    /// Something is to be seen of it soon.
    began: bool,
}

impl Done {
    /// Whether it was done.
    fn note(&mut self, told: Result<(), String>) -> bool {
        let is_done = told.is_ok();
        self.failed = told.err().or(self.failed.take());
        is_done
    }

    async fn tell(
        &mut self,
        context: &Context,
        plan: &Plan,
        fetched: &Fetched,
        asked: &[Asked],
        orders: &[(String, NodeOrder)],
        is_left_alone: bool,
    ) -> Result<(), Error> {
        let of_pod = |pod: &String| asked.iter().find(|of| of.node.pod == *pod);
        for (pod, order) in orders {
            let Some(of) = of_pod(pod) else {
                continue;
            };
            if is_left_alone && !matches!(order, NodeOrder::Connect(_)) {
                continue;
            }
            if let NodeOrder::Layout { with, .. } = order {
                let new = with.iter().filter_map(|(_, pod)| of_pod(pod));
                for of in new.filter(|of| of.node.is_empty()) {
                    let mut pods = fetched.store_pods.iter();
                    if let Some(pod) = pods.find(|pod| pod.name_any() == of.node.pod) {
                        marks::empty(context, plan, pod).await?;
                    }
                }
            }
            if self.note(of.tell(order).await) {
                self.began = true;
                if let Some(note) = changed(order) {
                    publish(context, fetched, note).await;
                }
            }
        }
        Ok(())
    }
}

fn changed(order: &NodeOrder) -> Option<String> {
    let NodeOrder::Layout { without, with, .. } = order else {
        return None;
    };
    let pods: Vec<&str> = with.iter().map(|(_, pod)| pod.as_str()).collect();
    (!without.is_empty()).then(|| {
        format!(
            "{} of the object store came back without its data, and is filled by the other nodes",
            pods.join(", ")
        )
    })
}

/// At once: what comes later may fail, and this happens once.
async fn publish(context: &Context, fetched: &Fetched, note: String) {
    let notice = Notice {
        warning: false,
        reason: "StoreLayoutChanged".to_owned(),
        note,
        action: "PrepareObjectStore",
    };
    tracing::info!(reason = notice.reason, "{}", notice.note);
    let reference = fetched.cluster.object_ref(&());
    if let Err(error) = context.events.publish(&notice.event(), &reference).await {
        tracing::warn!(%error, reason = notice.reason, "failed to write an Event");
    }
}

/// While the two others are made, the store is the one node that it was.
fn beside_the_first(fetched: &Fetched, run: usize, apart: bool) -> Result<Served, StoreError> {
    let pods = &fetched.store_pods;
    let first = pods.iter().find(|pod| is_single(pod) && is_ready(pod));
    let Some(address) = first.and_then(address) else {
        return Err(starting(fetched));
    };
    let others: Vec<Pod> = pods.iter().filter(|pod| !is_single(pod)).cloned().collect();
    let details = trouble::details(fetched.refusals.store.as_deref(), &others);
    // Pods are watched, what runs in them is not.
    let begins = (run < 2 || apart) && others.iter().filter_map(self::address).count() == 2;
    let apart = if apart {
        format!(", which do not see each other on port {GARAGE_RPC_PORT} yet")
    } else {
        String::new()
    };
    let nodes = StoreNodes {
        note: Some(format!(
            "it grows to three nodes: {run} of 2 further nodes run{apart}{details}"
        )),
        look_again: Some(if begins { LOOK_AT_ONCE } else { LOOK_SOON }),
    };
    Ok(Served { address, nodes })
}

fn served(
    fetched: &Fetched,
    nodes: &[Node],
    step: &Step,
    done: &Done,
    grown: bool,
) -> Result<Served, StoreError> {
    let pods = &fetched.store_pods;
    let whole = *step == Step::Settled && pods.iter().all(|pod| is_filled(pod) && is_ready(pod));
    if let Step::Lost(lost) = step {
        let pods = lost.join(" and ");
        return Err(StoreError::NodesLost { pods });
    }
    let state = state(pods, nodes, step, done.failed.as_deref());
    let answers = |pod: &&Pod| nodes.iter().any(|node| node.pod == pod.name_any());
    let set = fetched.store_stateful_set.as_ref();
    // One that is still to be replaced may go while it is asked.
    let open = pods
        .iter()
        .filter(|pod| is_open(pod) && is_ready(pod))
        .filter(answers)
        .max_by_key(|pod| set.is_some_and(|set| is_updated(pod, set)));
    let Some(address) = open.and_then(address) else {
        return Err(if nodes.is_empty() {
            starting(fetched)
        } else {
            StoreError::Growing { state }
        });
    };
    let look_again = if whole && grown {
        LOOK_AT_NODES
    } else if done.began || matches!(step, Step::Tell(_)) || !grown {
        LOOK_AT_ONCE
    } else {
        LOOK_SOON
    };
    let nodes = StoreNodes {
        note: (!whole).then_some(state),
        look_again: Some(look_again),
    };
    Ok(Served { address, nodes })
}

/// `2 of 3 store nodes hold everything; ...`
fn state(pods: &[Pod], nodes: &[Node], step: &Step, failed: Option<&str>) -> String {
    let lead = nodes.iter().max_by_key(|node| node.view.layout);
    let members = nodes
        .iter()
        .filter(|node| lead.is_some_and(|lead| layout::is_member(node, lead)))
        .count();
    let filled = pods.iter().filter(|pod| is_filled(pod)).count();
    let mut parts = vec![if members < 3 {
        format!("{members} of 3 store nodes hold the layout")
    } else {
        format!("{filled} of 3 store nodes hold everything")
    }];
    if let Step::Wait(what) = step {
        parts.push(what.clone());
    }
    parts.extend(failed.map(str::to_owned));
    format!("{}{}", parts.join(", "), trouble::details(None, pods))
}

/// Why nobody can be asked.
pub(super) fn starting(fetched: &Fetched) -> StoreError {
    let pods = &fetched.store_pods;
    let details = trouble::details(fetched.refusals.store.as_deref(), pods);
    if trouble::keeps_ending(pods) {
        StoreError::Failing { details }
    } else {
        StoreError::Starting { details }
    }
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

#[cfg(test)]
mod real_tests;
