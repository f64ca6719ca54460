//! How a change gets from one server's database into the other servers' answers: agents find each other, show the same
//! token, and reach the `PowerDNS` beside them.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Container, PodSpec, Volume},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::*;
use crate::peer_certificates::Server;

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
    let port = |name: &str| {
        let mut ports = spec.ports.iter().flatten();
        let port = ports.find(|port| port.name.as_deref() == Some(name)).unwrap();
        assert_eq!(port.target_port, Some(IntOrString::String(name.to_owned())));
        let pod = pod(&resources);
        let mut inside = agent_of(&pod).ports.iter().flatten();
        let inside = inside.find(|port| port.name.as_deref() == Some(name)).unwrap();
        assert_eq!(inside.container_port, port.port);
        port.port
    };
    let host = format!(
        "{}.{}.svc",
        service.metadata.name.as_ref().unwrap(),
        service.metadata.namespace.as_ref().unwrap()
    );
    assert_eq!((port("agent"), port("peers")), (8500, 8502));
    assert_eq!(config["peers"]["dns"], format!("{host}:{}", port("peers")));
    assert_eq!(config["peers"]["address"], format!(":{}", port("peers")));
    assert_eq!(config["http"]["address"], format!(":{}", port("agent")));
}

/// Those of two servers.
fn certificates(plan: &Plan) -> PeerCertificates {
    let servers = ["tide-0", "tide-1"].map(|pod| Server {
        pod: pod.into(),
        instance: plan.instance(pod),
    });
    let nothing = PeerCertificates::read(None, None);
    nothing.renewed("moon", &servers, Timestamp::now()).unwrap()
}

#[test]
fn the_secrets_of_certificates_are_read_again_as_they_were_written() {
    let plan = plan(MANAGED);
    let certificates = certificates(&plan);
    let [authority, servers] = peer_certificates(&plan, &certificates);
    assert_eq!(
        PeerCertificates::read(Some(&authority), Some(&servers)),
        certificates
    );
    let keys = |secret: &Secret| secret.data.clone().unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&authority), ["ca.crt", "ca.key"]);
    assert_eq!(
        keys(&servers),
        ["ca.crt", "tide-0.crt", "tide-0.key", "tide-1.crt", "tide-1.key"]
    );
}

#[test]
fn an_agent_has_the_certificate_of_its_pod_and_nobody_the_key_of_the_authority() {
    let resources = servers_of(MANAGED);
    let plan = plan(MANAGED);
    let [authority, servers] = peer_certificates(&plan, &certificates(&plan));
    let pod = pod(&resources);
    let tls = agent_config(&resources)["peers"]["tls"].clone();
    let mut dirs = Vec::new();
    for (option, key) in [
        ("ca_file", "ca.crt"),
        ("cert_file", "tide-1.crt"),
        ("key_file", "tide-1.key"),
    ] {
        let (dir, file) = tls[option].as_str().unwrap().rsplit_once('/').unwrap();
        let env = agent_of(&pod).env.clone().unwrap();
        assert!(env.iter().any(|of| of.name == "POD_NAME"));
        assert_eq!(file.replace("${POD_NAME}", "tide-1"), key);
        assert!(servers.data.as_ref().unwrap().contains_key(key));
        dirs.push(dir.to_owned());
    }
    dirs.dedup();
    let [dir] = dirs.as_slice() else {
        panic!("several directories: {dirs:?}")
    };
    let secret = volume_at(&pod, agent_of(&pod), dir)
        .unwrap()
        .secret
        .clone()
        .unwrap();
    assert_eq!(secret.secret_name, servers.metadata.name);
    // Else one server more would replace the pods of all, and none would start where it is missing.
    assert_eq!((secret.items, secret.optional), (None, Some(true)));
    assert_eq!(secret.default_mode, Some(0o440));
    assert!(volume_at(&pod, &pod.containers[0], dir).is_none());

    let name = authority.metadata.name.unwrap();
    let volumes = serde_json::to_string(&pod).unwrap();
    assert!(!volumes.contains(&name), "{name} is mounted");
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
