//! How a change gets from one server's database into the other servers' answers: agents find each other, show the same
//! token, and reach the `PowerDNS` beside them.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::*;

fn agent_config(resources: &ServerResources<Prepared>) -> serde_json::Value {
    serde_saphyr::from_str(&file(resources, "agent.yaml")).unwrap()
}

fn pod(resources: &ServerResources<Prepared>) -> PodSpec {
    let template = resources.stateful_set.spec.clone().unwrap().template;
    template.spec.unwrap()
}

/// The volume that a container sees at a path.
fn volume_at<'p>(pod: &'p PodSpec, container: &Container, path: &str) -> Option<&'p Volume> {
    let mounts = container.volume_mounts.as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.mount_path == path)?;
    let volumes = pod.volumes.as_ref().unwrap();
    volumes.iter().find(|volume| volume.name == mount.name)
}

#[test]
fn agents_find_each_other_behind_the_headless_service_before_they_are_ready() {
    let resources = servers_of(MANAGED);
    let service = &resources.peers_service;
    let spec = service.spec.as_ref().unwrap();
    assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
    assert_eq!(spec.publish_not_ready_addresses, Some(true));
    let config = agent_config(&resources);
    let port = spec.ports.as_ref().unwrap()[0].port;
    let host = format!(
        "{}.{}.svc",
        service.metadata.name.as_ref().unwrap(),
        service.metadata.namespace.as_ref().unwrap()
    );
    assert_eq!(config["peers"]["dns"], format!("{host}:{port}"));
    assert_eq!(config["http"]["address"], format!(":{port}"));
}

#[test]
fn the_token_is_a_file_of_its_secret_that_only_the_agent_sees() {
    let resources = servers_of(MANAGED);
    let data = resources.peers_token.data.as_ref().unwrap();
    let token = String::from_utf8(data["token"].0.clone()).unwrap();
    assert_eq!(token.len(), 64);
    let config = agent_config(&resources);
    let (dir, key) = config["peers"]["token_file"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap();
    assert!(data.contains_key(key));

    let pod = pod(&resources);
    let secret = volume_at(&pod, agent_of(&pod), dir)
        .unwrap()
        .secret
        .clone()
        .unwrap();
    assert_eq!(secret.secret_name, resources.peers_token.metadata.name);
    assert!(volume_at(&pod, &pod.containers[0], dir).is_none());
    let others = format!(
        "{}{}",
        serde_json::to_string(&resources.config).unwrap(),
        serde_json::to_string(&resources.stateful_set).unwrap()
    );
    assert!(!others.contains(&token));
}

#[test]
fn another_token_replaces_no_pod_because_agents_read_it_again() {
    let mut plan = plan(MANAGED);
    let before = checksum_of(&built_servers(&plan));
    plan.servers.as_mut().unwrap().peers_token = SecretText::new("another-token-for-all");
    assert_eq!(checksum_of(&built_servers(&plan)), before);
}

#[test]
fn the_agent_writes_to_the_control_socket_of_the_powerdns_beside_it() {
    let resources = servers_of(MANAGED);
    let config = agent_config(&resources);
    let (dir, socket) = config["powerdns"]["control_socket"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap();
    // The name that PowerDNS gives it when config-name is not set, which users may not.
    assert_eq!(socket, "pdns.controlsocket");
    assert!(file(&resources, "pdns.conf").contains(&format!("\nsocket-dir={dir}\n")));
    let pod = pod(&resources);
    let shared = volume_at(&pod, &pod.containers[0], dir).unwrap();
    assert!(shared.empty_dir.is_some());
    assert_eq!(volume_at(&pod, agent_of(&pod), dir), Some(shared));
}

#[test]
fn caches_are_as_powerdns_has_them_but_for_that_of_zones_unless_the_spec_says_otherwise() {
    let settings = |spec: &str| {
        let conf = file(&servers_of(spec), "pdns.conf");
        let caches = conf.lines().filter(|line| line.contains("cache"));
        caches.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(settings(MANAGED), ["zone-cache-refresh-interval=0"]);
    let spec = "{objectStore: {managed: {}}, powerdns: {config: {cache-ttl: '60', zone-cache-refresh-interval: '300'}}}";
    assert_eq!(
        settings(spec),
        ["cache-ttl=60", "zone-cache-refresh-interval=300"]
    );
}

/// PowerDNS does not start otherwise.
#[test]
fn the_cache_of_zones_stays_on_where_there_are_views() {
    for (views, stays) in [("yes", true), ("", true), ("no", false), ("off", false)] {
        let spec = format!("{{objectStore: {{managed: {{}}}}, powerdns: {{config: {{views: '{views}'}}}}}}");
        let conf = file(&servers_of(&spec), "pdns.conf");
        assert_eq!(!conf.contains("zone-cache"), stays, "{conf}");
    }
}
