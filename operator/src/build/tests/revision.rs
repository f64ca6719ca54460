//! What a server is started from, how the kubelet learns of it, and how it ends.

use k8s_openapi::{api::core::v1::Probe, apimachinery::pkg::util::intstr::IntOrString};

use super::*;
use crate::{objectstore::renewal, reconcile::keys::Access};

#[test]
fn a_pod_mounts_the_files_of_its_revision_which_never_change() {
    let plan = plan(MANAGED);
    let mounted = |resources: &ServerResources<Prepared>| {
        let pod = resources
            .stateful_set
            .spec
            .clone()
            .unwrap()
            .template
            .spec
            .unwrap();
        let volumes = pod.volumes.unwrap();
        let config = volumes.into_iter().find(|volume| volume.name == "config");
        config.unwrap().config_map.unwrap().name
    };
    let first = built_servers(&plan);
    assert_eq!(Some(mounted(&first)), first.config.metadata.name);
    assert_eq!(first.config.immutable, Some(true));
    let mut changed = plan.clone();
    changed
        .spec
        .powerdns
        .config
        .insert("default-ttl".into(), "60".into());
    let second = built_servers(&changed);
    assert_ne!(mounted(&first), mounted(&second));
    assert_eq!(
        mounted(&built_servers(&plan)),
        mounted(&first),
        "undone, it is the first again"
    );
}

#[test]
fn keys_say_for_which_store_they_are_whoever_made_them() {
    let plan = plan(S3);
    for access in [access(), Access::ServiceAccount] {
        let secret = object_store(&plan, &access);
        assert_eq!(renewal::source(&secret), Some(&plan.source_id()));
        assert!(renewal::Held::read(&secret).is_none());
    }
}

#[test]
fn the_kubelet_asks_the_supervisor_and_powerdns_answers_until_nobody_asks() {
    let pod = pod_of(MANAGED);
    let (agent, powerdns) = (agent_of(&pod), &pod.containers[0]);
    assert!(agent.args.as_ref().unwrap().contains(&"supervise".to_owned()));
    let port = agent
        .ports
        .as_ref()
        .unwrap()
        .iter()
        .find(|port| port.name.as_deref() == Some("probes"));
    let port = port.unwrap().container_port;
    let asked = |probe: &Option<Probe>| {
        let get = probe.clone().unwrap().http_get.unwrap();
        (get.path.unwrap(), get.port)
    };
    let at = |path: &str| (path.to_owned(), IntOrString::Int(port));
    assert_eq!(asked(&agent.startup_probe), at("/startup"));
    assert_eq!(asked(&agent.liveness_probe), at("/livez"));
    assert_eq!(
        agent.readiness_probe, None,
        "its death is no reason to answer nobody"
    );
    assert_eq!(asked(&powerdns.readiness_probe), at("/dns"));
    assert_eq!(asked(&powerdns.liveness_probe), at("/dns/livez"));

    let told = agent
        .lifecycle
        .clone()
        .unwrap()
        .pre_stop
        .unwrap()
        .http_get
        .unwrap();
    assert_eq!(
        (told.path.as_deref(), &told.port),
        (Some("/draining"), &IntOrString::Int(port))
    );
    let shown = &told.http_headers.unwrap()[0];
    let expected = agent
        .env
        .as_ref()
        .unwrap()
        .iter()
        .find(|of| of.name == "ZONETIDE_DRAIN_TOKEN");
    assert_eq!(expected.unwrap().value.as_ref(), Some(&shown.value));
    assert!(shown.value.len() == 32 && !shown.value.contains("cluster-uid"));

    let hook = |pod: &PodSpec| pod.containers[0].lifecycle.clone().unwrap().pre_stop.unwrap();
    assert!(hook(&pod).sleep.unwrap().seconds > 0 && hook(&pod).exec.is_none());
    let mut old = plan(MANAGED);
    old.settings.kubelet_sleeps = false;
    let old = built_servers(&old)
        .stateful_set
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    assert!(hook(&old).sleep.is_none());
    assert_eq!(hook(&old).http_get.unwrap().path.unwrap(), "/drain?seconds=10");
}
