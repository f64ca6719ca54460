//! Three real Garages on loopback, brought on by the same decisions as in a cluster.

use zonetide_testbed::{
    eventually,
    garage::{ADMIN_TOKEN, Garage},
};

use super::{layout, *};
use crate::objectstore::{RealSources, Sources};

/// A block that could not be fetched is tried again after a minute.
const PATIENCE: Duration = Duration::from_mins(2);

fn api(garage: &Garage) -> Box<dyn StoreNode> {
    let sources = RealSources::new().unwrap();
    sources.store_node(garage.admin_url(), SecretText::new(ADMIN_TOKEN))
}

async fn seen(garages: &[Garage]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (number, garage) in garages.iter().enumerate() {
        nodes.push(Node {
            pod: format!("crater-garage-{number}"),
            address: garage.rpc_address(),
            view: api(garage).look().await.unwrap(),
        });
    }
    nodes
}

fn expected() -> Vec<String> {
    (0..3).map(|number| format!("crater-garage-{number}")).collect()
}

/// Does what is decided until there is nothing to do, and no node lacks what another has.
async fn settle(garages: &[Garage], with_objects: bool) {
    eventually(PATIENCE, "all nodes hold the layout and the tables", async || {
        let nodes = seen(garages).await;
        let step = layout::next(&expected(), &nodes);
        if let Step::Tell(orders) = &step {
            for (pod, order) in orders {
                let number = nodes.iter().position(|node| node.pod == *pod).unwrap();
                api(&garages[number]).tell(order).await.unwrap();
            }
        }
        let complete = nodes
            .iter()
            .all(|node| layout::may_open(node, &nodes, with_objects));
        (step == Step::Settled && complete)
            .then_some(())
            .ok_or_else(|| format!("{step:?}"))
    })
    .await;
}

async fn fetch(garages: &[Garage], empty: &[usize]) {
    tokio::time::sleep(marks::QUEUED.unsigned_abs()).await;
    for number in empty {
        let order = NodeOrder::FetchBlocks { empty: true };
        api(&garages[*number]).tell(&order).await.unwrap();
    }
}

/// Whether the layout's zones are the pods.
fn names_pods(garage: &Garage) -> bool {
    // Longer than what the IDs of nodes, which are random, have by chance.
    let (layout, name) = (garage.layout(), b"crater-garage-");
    layout.windows(name.len()).any(|bytes| bytes == name)
}

struct Objects {
    bucket: zonetide_testbed::garage::Bucket,
    names: Vec<String>,
}

impl Objects {
    async fn put(garage: &Garage) -> Self {
        let bucket = garage.bucket("crater").await;
        let mut names = Vec::new();
        // Small ones are kept beside the names, large ones as blocks.
        for size in [10, 50_000, 2_500_000] {
            let name = format!("o-{size}");
            garage.put(&bucket, &name, &content(size)).await;
            names.push(name);
        }
        Self { bucket, names }
    }

    async fn are_at(&self, garage: &Garage) {
        for name in &self.names {
            let size = name.trim_start_matches("o-").parse().unwrap();
            assert!(
                garage.get(&self.bucket, name).await == content(size),
                "{name} is another"
            );
        }
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

#[tokio::test]
async fn one_node_becomes_three_that_hold_its_objects_and_fill_one_that_lost_them() {
    let mut garages = vec![Garage::start().await];
    let objects = Objects::put(&garages[0]).await;
    for _ in 0..2 {
        garages.push(Garage::start_of_three().await);
    }
    // By this the pod's first container tells them apart.
    assert!(!names_pods(&garages[0]));
    garages[0].crash();
    garages[0].up_of_three().await;
    settle(&garages, true).await;
    assert!(garages.iter().all(names_pods));
    for garage in &garages {
        objects.are_at(garage).await;
    }
    fetch(&garages, &[1, 2]).await;
    eventually(PATIENCE, "the new nodes have the blocks", async || {
        let blocks = [1, 2].map(|number: usize| garages[number].blocks());
        let all = garages[0].blocks();
        (blocks == [all; 2])
            .then_some(())
            .ok_or_else(|| format!("{blocks:?} of {all}"))
    })
    .await;

    // The one that had all of it in the beginning.
    garages[0].crash();
    for garage in &garages[1..] {
        objects.are_at(garage).await;
    }
    garages[0].up_empty().await;
    settle(&garages, false).await;
    objects.are_at(&garages[0]).await;
    fetch(&garages, &[0]).await;
    eventually(
        PATIENCE,
        "the one that lost them has the blocks again",
        async || {
            let (now, all) = (garages[0].blocks(), garages[1].blocks());
            (now == all)
                .then_some(())
                .ok_or_else(|| format!("{now} of {all}"))
        },
    )
    .await;
    let nodes = seen(&garages).await;
    assert_eq!(nodes[0].view.layout, 2);
    assert!(nodes.iter().all(|node| layout::is_member(node, &nodes[1])));
}
