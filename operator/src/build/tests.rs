//! What matters about the objects: that they fit together, and that a pod is as restricted as promised.

mod by_hand;
mod contact;
mod ingress;
mod minio;
mod revision;
mod store_ca;
mod store_nodes;
mod store_proxy;
mod version;
mod web_identity;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::*;
use crate::peer_certificates::PeerCertificates;
use crate::testing::{MANAGED, S3, access, built_servers, plan};

fn servers_of(spec: &str) -> ServerResources<Prepared> {
    built_servers(&plan(spec))
}

fn pod_of(spec: &str) -> PodSpec {
    servers_of(spec).stateful_set.spec.unwrap().template.spec.unwrap()
}

fn agent_of(pod: &PodSpec) -> &Container {
    &pod.init_containers.as_ref().unwrap()[0]
}

fn file(resources: &ServerResources<Prepared>, name: &str) -> String {
    resources.config.data.as_ref().unwrap()[name].clone()
}

fn checksum_of(resources: &ServerResources<Prepared>) -> String {
    let template = &resources.stateful_set.spec.as_ref().unwrap().template;
    template.metadata.as_ref().unwrap().annotations.as_ref().unwrap()["zonetide.dev/config-checksum"].clone()
}

fn assert_restricted(pod: &PodSpec) {
    let security = pod.security_context.as_ref().unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    assert_eq!(pod.automount_service_account_token, Some(false));
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(
            security.capabilities.as_ref().unwrap().drop.as_deref(),
            Some(&["ALL".to_owned()][..])
        );
    }
}

#[test]
fn every_pod_passes_the_restricted_level() {
    assert_restricted(&pod_of(MANAGED));
    assert_restricted(
        &store(&plan(MANAGED))
            .unwrap()
            .stateful_set
            .spec
            .unwrap()
            .template
            .spec
            .unwrap(),
    );
}

#[test]
fn the_agent_is_a_native_sidecar_that_shares_processes_and_user_with_powerdns() {
    let pod = pod_of(MANAGED);
    assert_eq!(agent_of(&pod).restart_policy.as_deref(), Some("Always"));
    assert!(
        agent_of(&pod).startup_probe.is_some(),
        "PowerDNS would start before the data is there"
    );
    assert_eq!(pod.share_process_namespace, Some(true));
    let security = pod.security_context.unwrap();
    assert_eq!((security.run_as_user, security.fs_group), (Some(953), Some(953)));
}

#[test]
fn a_store_that_is_away_restarts_no_agent() {
    let pod = pod_of(MANAGED);
    let probe = agent_of(&pod).liveness_probe.clone().unwrap();
    // /healthz fails then, and a restart would not help.
    assert_eq!(probe.http_get.unwrap().path.as_deref(), Some("/livez"));
}

#[test]
fn an_instance_is_named_after_its_pod() {
    let pod = pod_of(MANAGED);
    let env = agent_of(&pod).env.clone().unwrap();
    assert_eq!(env[0].name, "POD_NAME");
    assert_eq!(env[1].value.as_deref(), Some("0a1b2c3d-shore-$(POD_NAME)"));
}

#[test]
fn both_programs_open_the_databases_with_the_same_size() {
    let resources = servers_of(MANAGED);
    assert!(file(&resources, "pdns.conf").contains("\nlmdb-map-size=2048\n"));
    assert_eq!(file(&resources, "agent.yaml").matches("2048MB").count(), 2);
}

#[test]
fn the_agents_file_is_yaml_with_the_bucket_and_where_its_keys_are_mounted() {
    let resources = servers_of(S3);
    let config: serde_json::Value = serde_saphyr::from_str(&file(&resources, "agent.yaml")).unwrap();
    let options = &config["storage"]["options"];
    assert_eq!(options["endpoint_url"], "http://s3.test:9000");
    assert_eq!(options["bucket"], "crater");
    assert_eq!(options["global_prefix"], "shore/tide/");
    assert_eq!(config["sweeper"]["enabled"], true);
    let mounts = agent_of(
        &resources
            .stateful_set
            .spec
            .as_ref()
            .unwrap()
            .template
            .spec
            .clone()
            .unwrap(),
    )
    .volume_mounts
    .clone()
    .unwrap();
    let store = mounts.iter().find(|mount| mount.name == "object-store").unwrap();
    let secret = object_store(&plan(MANAGED), &access());
    for (option, key) in [
        ("access_key_file", "access-key-id"),
        ("secret_key_file", "secret-access-key"),
    ] {
        assert_eq!(options[option], format!("{}/{key}", store.mount_path));
        assert!(secret.data.as_ref().unwrap().contains_key(key));
    }
    assert_eq!(config["instance"], "${ZONETIDE_INSTANCE}");
    assert!(config.get("storage_force_snapshot_interval").is_none());
}

#[test]
fn intervals_of_the_spec_reach_the_agent() {
    let resources =
        servers_of("{objectStore: {managed: {}}, replication: {pollInterval: 7s, fullSnapshotInterval: 9h}}");
    let config: serde_json::Value = serde_saphyr::from_str(&file(&resources, "agent.yaml")).unwrap();
    assert_eq!(config["storage_poll_interval"], "7s");
    assert_eq!(config["storage_force_snapshot_interval"], "9h");
}

#[test]
fn settings_of_the_spec_reach_powerdns_and_replace_defaults() {
    let spec = "{objectStore: {managed: {}}, powerdns: {config: {default-ttl: '60', webserver-allow-from: 10.0.0.0/8}}}";
    let conf = file(&servers_of(spec), "pdns.conf");
    assert!(conf.contains("\ndefault-ttl=60\n"), "{conf}");
    assert_eq!(conf.matches("webserver-allow-from=").count(), 1, "{conf}");
    assert!(conf.contains("\nwebserver-allow-from=10.0.0.0/8\n"), "{conf}");
}

#[test]
fn no_setting_that_the_operator_writes_may_come_from_users_too() {
    let ours = file(&servers_of(MANAGED), "pdns.conf");
    let overridable = [
        "webserver-allow-from",
        "security-poll-suffix",
        "default-soa-content",
        "zone-cache-refresh-interval",
    ];
    for line in ours.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split('=').next().unwrap();
        let owned = zonetide_crds::OWNED_SETTINGS
            .iter()
            .any(|(owned, _)| *owned == name);
        assert!(
            owned != overridable.contains(&name),
            "{name} is neither owned nor overridable, or both"
        );
    }
}

#[test]
fn keys_are_in_secrets_and_nowhere_else() {
    let resources = servers_of(MANAGED);
    let key = resources.api_key.data.as_ref().unwrap()["api-key"].0.clone();
    let key = String::from_utf8(key).unwrap();
    let conf = String::from_utf8(resources.api_key.data.as_ref().unwrap()["api.conf"].0.clone()).unwrap();
    assert_eq!(conf, format!("api-key={key}\n"));
    let others = format!(
        "{}{}",
        serde_json::to_string(&resources.config).unwrap(),
        serde_json::to_string(&resources.stateful_set).unwrap()
    );
    assert!(!others.contains(&key));
}

#[test]
fn pods_are_replaced_when_settings_change_and_not_when_their_number_does() {
    let plan = plan(MANAGED);
    let before = checksum_of(&built_servers(&plan));
    let mut changed = plan.clone();
    changed
        .spec
        .powerdns
        .config
        .insert("default-ttl".into(), "60".into());
    assert_ne!(checksum_of(&built_servers(&changed)), before);

    let mut scaled = plan;
    scaled.spec.replicas = 9;
    assert_eq!(checksum_of(&built_servers(&scaled)), before);
}

#[test]
fn dns_is_served_on_its_port_by_all_and_the_api_by_the_labelled_pod_only() {
    let resources = servers_of("{objectStore: {managed: {}}, service: {port: 5353}}");
    let dns = resources.dns_service.spec.unwrap();
    let ports: Vec<(i32, Option<String>)> = dns
        .ports
        .unwrap()
        .into_iter()
        .map(|port| (port.port, port.protocol))
        .collect();
    assert_eq!(
        ports,
        [(5353, Some("UDP".to_owned())), (5353, Some("TCP".to_owned()))]
    );
    assert!(!dns.selector.unwrap().contains_key("zonetide.dev/api"));
    let api = resources.api_service.spec.unwrap();
    assert_eq!(api.selector.unwrap()["zonetide.dev/api"], "active");
}

#[test]
fn pods_carry_the_labels_they_are_selected_by_but_not_the_api_label() {
    let set = servers_of(MANAGED).stateful_set.spec.unwrap();
    let labels = set.template.metadata.unwrap().labels.unwrap();
    for (key, value) in set.selector.match_labels.unwrap() {
        assert_eq!(labels.get(&key), Some(&value));
    }
    // The StatefulSet must not fight with the operator over it.
    assert!(!labels.contains_key("zonetide.dev/api"));
}

#[test]
fn volumes_outlive_scaling_and_deletion() {
    for set in [
        servers_of(MANAGED).stateful_set,
        store(&plan(MANAGED)).unwrap().stateful_set,
    ] {
        let policy = set
            .spec
            .unwrap()
            .persistent_volume_claim_retention_policy
            .unwrap();
        assert_eq!(policy.when_deleted.as_deref(), Some("Retain"));
        assert_eq!(policy.when_scaled.as_deref(), Some("Retain"));
    }
}

#[test]
fn everything_belongs_to_the_cluster_and_is_found_by_the_label_of_the_watches() {
    let ServerResources {
        service_account,
        api_key,
        peers_token,
        config,
        peers_service,
        dns_service,
        api_service,
        disruption_budget,
        stateful_set,
        state: PhantomData,
    } = servers_of(MANAGED);
    let store = store(&plan(MANAGED)).unwrap();
    let nothing = PeerCertificates::read(None, None);
    let [authority, certificates] = peer_certificates(&plan(MANAGED), &nothing);
    for metadata in [
        service_account.metadata,
        api_key.metadata,
        peers_token.metadata,
        object_store(&plan(MANAGED), &access()).metadata,
        authority.metadata,
        certificates.metadata,
        config.metadata,
        peers_service.metadata,
        dns_service.metadata,
        api_service.metadata,
        disruption_budget.metadata,
        stateful_set.metadata,
        store.secret.metadata,
        store.config.unwrap().metadata,
        store.service.metadata,
        store.stateful_set.metadata,
    ] {
        let owner = &metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("DnsCluster", "cluster-uid")
        );
        assert_eq!(owner.controller, Some(true));
        assert_eq!(metadata.namespace.as_deref(), Some("shore"));
        assert_eq!(
            metadata.labels.unwrap()["app.kubernetes.io/managed-by"],
            "zonetide-operator"
        );
    }
}

#[test]
fn servers_avoid_each_other_unless_the_spec_says_where_they_go() {
    assert!(pod_of(MANAGED).affinity.unwrap().pod_anti_affinity.is_some());
    let own = pod_of("{objectStore: {managed: {}}, scheduling: {affinity: {nodeAffinity: {}}}}");
    assert!(own.affinity.unwrap().pod_anti_affinity.is_none());
}

#[test]
fn spread_constraints_without_a_selector_get_that_of_the_pods() {
    let pod = pod_of(
        "{objectStore: {managed: {}}, scheduling: {topologySpreadConstraints: \
         [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}}",
    );
    let selector = pod.topology_spread_constraints.unwrap()[0]
        .label_selector
        .clone()
        .unwrap();
    assert_eq!(
        selector.match_labels.unwrap()["app.kubernetes.io/instance"],
        "tide"
    );
}

#[test]
fn images_come_from_the_spec_or_else_from_the_installation() {
    let pod = pod_of(MANAGED);
    assert_eq!(pod.containers[0].image.as_deref(), Some("powerdns-5.1:test"));
    assert_eq!(agent_of(&pod).image.as_deref(), Some("agent:test"));
    let own = pod_of("{objectStore: {managed: {}}, powerdns: {image: mine, imagePullPolicy: Never}}");
    assert_eq!(own.containers[0].image.as_deref(), Some("mine"));
    assert_eq!(own.containers[0].image_pull_policy.as_deref(), Some("Never"));
    assert_eq!(agent_of(&own).image_pull_policy, None);
}

#[test]
fn garage_runs_alone_on_one_node_with_its_secrets_in_the_environment() {
    let store = store(&plan(MANAGED)).unwrap();
    let toml = &store.config.as_ref().unwrap().data.as_ref().unwrap()["garage.toml"];
    assert!(toml.contains("replication_factor = 1"), "{toml}");
    // A copy of the metadata to go back to, where a power loss has damaged it.
    assert!(
        toml.contains("\nmetadata_auto_snapshot_interval = \"6h\"\n"),
        "{toml}"
    );
    assert!(!toml.contains("secret") && !toml.contains("token"), "{toml}");
    let pod = store.stateful_set.spec.unwrap().template.spec.unwrap();
    let container = &pod.containers[0];
    // What a damaged store says at its end is quoted.
    let last_words = container.termination_message_policy.as_deref();
    assert_eq!(last_words, Some("FallbackToLogsOnError"));
    assert_eq!(
        container.command.as_deref().unwrap(),
        ["/garage", "server", "--single-node"]
    );
    let names: Vec<&str> = container
        .env
        .as_ref()
        .unwrap()
        .iter()
        .map(|env| env.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["GARAGE_CONFIG_FILE", "GARAGE_RPC_SECRET", "GARAGE_ADMIN_TOKEN"]
    );
}

#[test]
fn without_a_managed_store_none_is_built() {
    assert!(store(&plan(S3)).is_none());
}

#[test]
fn on_ipv6_clusters_everything_listens_on_ipv6() {
    let mut plan = plan(MANAGED);
    plan.settings.ipv6_first = true;
    let conf = file(&built_servers(&plan), "pdns.conf");
    assert!(conf.contains("\nwebserver-address=::\n"), "{conf}");
    assert!(conf.contains("\nlocal-address=::, 0.0.0.0\n"), "{conf}");
    let toml = store(&plan).unwrap().config.unwrap().data.unwrap()["garage.toml"].clone();
    assert!(toml.contains("api_bind_addr = \"[::]:3900\""), "{toml}");
}

#[test]
fn the_agent_puts_the_bucket_where_the_store_wants_it() {
    let path_style = |spec: &str| {
        let yaml = file(&servers_of(spec), "agent.yaml");
        let config: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        config["storage"]["options"]["path_style"].clone()
    };
    // Agents of older versions do not know the option.
    assert!(path_style(S3).is_null() && path_style(MANAGED).is_null());
    let host_style = S3.replace("bucket: crater", "bucket: crater, pathStyle: false");
    assert_eq!(path_style(&host_style), false);
}
