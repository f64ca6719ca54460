//! A managed Garage with three nodes, beside one with a single node, which stays as it was.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::*;
use crate::build::node::store_of_three;

const THREE: &str = "{objectStore: {managed: {replicas: 3}}}";
const GROWN: StoreStage = StoreStage::Grown { partition: 3 };

fn three(stage: StoreStage) -> StoreResources<Prepared> {
    store_of_three(&plan(THREE), stage).unwrap()
}

fn pod_of_set(set: StatefulSet) -> PodSpec {
    set.spec.unwrap().template.spec.unwrap()
}

#[test]
fn a_store_with_one_node_is_what_it_was_before_there_were_three() {
    let store = store(&plan(MANAGED)).unwrap();
    assert!(store.disruption_budget.is_none());
    assert_eq!(store.stateful_set.metadata.annotations, None);
    let toml = store.config.unwrap().data.unwrap()["garage.toml"].clone();
    assert!(toml.contains(
        "replication_factor = 1\n# There is no other node to repair this one from.\nmetadata_fsync = true\n"
    ));
    assert!(
        toml.contains(
            "\nrpc_bind_addr = \"127.0.0.1:3901\"\nrpc_public_addr = \"127.0.0.1:3901\"\n\n[s3_api]"
        )
    );
    let spec = store.stateful_set.spec.unwrap();
    assert_eq!(spec.update_strategy.unwrap().rolling_update, None);
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.topology_spread_constraints, None);
    assert_eq!(pod.init_containers, None);
    let command = pod.containers[0].command.clone().unwrap();
    assert_eq!(command, ["/garage", "server", "--single-node"]);
    assert_eq!(pod.containers[0].ports.as_ref().unwrap().len(), 2);
}

#[test]
fn three_nodes_are_apart_if_possible_reach_each_other_and_keep_everything_three_times() {
    let store = three(GROWN);
    let toml = store.config.as_ref().unwrap().data.as_ref().unwrap()["garage.toml"].clone();
    assert!(toml.contains("replication_factor = 3\n"), "{toml}");
    assert!(toml.contains("\nrpc_bind_addr = \"0.0.0.0:3901\"\n"), "{toml}");
    assert!(!toml.contains("rpc_public_addr"), "{toml}");
    let spec = store.stateful_set.spec.clone().unwrap();
    assert_eq!(spec.replicas, Some(3));
    let pod = pod_of_set(store.stateful_set);
    assert_restricted(&pod);
    for spread in pod.topology_spread_constraints.unwrap() {
        assert_eq!(spread.when_unsatisfiable, "ScheduleAnyway");
        assert_eq!(spread.label_selector, Some(spec.selector.clone()));
    }
    assert_eq!(pod.containers[0].command.clone().unwrap(), ["/garage", "server"]);
}

/// A claim's template, the Service that names the pods and their order can never be changed.
#[test]
fn a_store_can_grow_in_place() {
    let one = store(&plan(MANAGED)).unwrap().stateful_set.spec.unwrap();
    let three = three(GROWN).stateful_set.spec.unwrap();
    assert_eq!(one.volume_claim_templates, three.volume_claim_templates);
    assert_eq!(one.service_name, three.service_name);
    assert_eq!(one.pod_management_policy, three.pod_management_policy);
    assert_eq!(one.selector, three.selector);
    assert_eq!(
        three
            .persistent_volume_claim_retention_policy
            .unwrap()
            .when_scaled
            .as_deref(),
        Some("Retain")
    );
}

#[test]
fn the_file_of_the_single_node_stays_while_its_pod_may_be_started_again() {
    let one = store(&plan(MANAGED)).unwrap().config.unwrap().metadata.name;
    let three = three(GROWN);
    assert_ne!(one, three.config.as_ref().unwrap().metadata.name);
    let volumes = pod_of_set(three.stateful_set).volumes.unwrap();
    let mounted = volumes.iter().find_map(|volume| volume.config_map.as_ref());
    assert_eq!(
        Some(mounted.unwrap().name.clone()),
        three.config.unwrap().metadata.name
    );
}

#[test]
fn the_service_leads_to_the_single_node_then_to_those_that_are_known_to_hold_what_they_should() {
    let selector = |stage: StoreStage| three(stage).service.spec.unwrap().selector.unwrap();
    let joining = selector(StoreStage::Joining);
    assert_eq!(joining["statefulset.kubernetes.io/pod-name"], "tide-garage-0");
    assert!(!joining.contains_key("zonetide.dev/store"));
    for stage in [StoreStage::Making, GROWN] {
        assert_eq!(selector(stage)["zonetide.dev/store"], "open");
        assert_eq!(selector(stage).len(), joining.len());
    }
}

#[test]
fn a_drain_waits_for_no_store_that_grows_and_for_no_node_that_does_not_run() {
    for stage in [StoreStage::Joining, StoreStage::Making] {
        assert_eq!(three(stage).disruption_budget, None);
    }
    let store = three(GROWN);
    let budget = store.disruption_budget.unwrap().spec.unwrap();
    assert_eq!(
        budget.unhealthy_pod_eviction_policy.as_deref(),
        Some("AlwaysAllow")
    );
    assert_eq!(budget.selector, Some(store.stateful_set.spec.unwrap().selector));
}

/// A `StatefulSet` waits for one that it has replaced to be ready before it replaces another.
#[test]
fn a_node_is_ready_when_it_listens_whether_there_is_a_quorum_or_not() {
    let probe = pod_of_set(three(GROWN).stateful_set).containers[0]
        .readiness_probe
        .clone()
        .unwrap();
    assert!(
        probe.tcp_socket.is_some() && probe.http_get.is_none(),
        "{probe:?}"
    );
    let single = store(&plan(MANAGED)).unwrap().stateful_set;
    let probe = pod_of_set(single).containers[0].readiness_probe.clone().unwrap();
    assert!(
        probe.tcp_socket.is_none() && probe.http_get.is_some(),
        "{probe:?}"
    );
}

#[test]
fn no_secret_is_in_the_files_or_the_template() {
    let store = three(GROWN);
    for key in ["rpc-secret", "admin-token"] {
        let bytes = store.secret.data.as_ref().unwrap()[key].0.clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            !format!("{:?}{:?}", store.config, store.stateful_set).contains(&text),
            "{key}"
        );
    }
}

/// Run by a shell, as in the pod.
#[test]
fn the_layout_of_one_node_is_put_aside_and_that_of_three_stays() {
    let pod = pod_of_set(three(GROWN).stateful_set);
    let command = pod.init_containers.unwrap()[0].command.clone().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let script = command[2].replace("/var/lib/garage", dir.path().to_str().unwrap());
    let run = || {
        let mut shell = std::process::Command::new("/bin/sh");
        let status = shell.args(["-c", &script]).args(&command[3..]).status().unwrap();
        assert!(status.success());
    };
    run();
    let layout = dir.path().join("meta/cluster_layout");
    let aside = dir.path().join("meta/cluster_layout-of-one");
    std::fs::create_dir(dir.path().join("meta")).unwrap();
    // The second time an older operator has made it a single node again.
    for content in ["\0zone\0dc1\0", "\0zone\0dc1\0 again"] {
        std::fs::write(&layout, content).unwrap();
        run();
        assert!(!layout.exists());
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), content);
    }
    std::fs::write(&layout, "\0zone\0tide-garage-0\0").unwrap();
    run();
    assert!(layout.exists());
}
