use super::*;

#[test]
fn commands_in_the_powerdns_container_find_its_settings_and_may_write_to_tmp() {
    let pod = pod_of(MANAGED);
    assert_restricted(&pod);
    let container = pod.containers.iter().find(|of| of.name == "powerdns").unwrap();
    let mounts = container.volume_mounts.as_ref().unwrap();
    let at = |path: &str| mounts.iter().find(|mount| mount.mount_path == path).unwrap();
    let settings = at("/etc/powerdns/pdns.conf");
    assert_eq!(settings.name, at("/etc/zonetide").name);
    assert_eq!(settings.sub_path.as_deref(), Some("pdns.conf"));
    assert_eq!(settings.read_only, Some(true));
    // What an image has of its own there stays.
    assert!(mounts.iter().all(|mount| mount.mount_path != "/etc/powerdns"));
    assert_eq!(at("/tmp").read_only, None);
    let volumes = pod.volumes.as_ref().unwrap();
    let tmp = volumes.iter().find(|of| of.name == at("/tmp").name).unwrap();
    let tmp = tmp.empty_dir.as_ref().unwrap();
    assert_eq!(tmp.medium.as_deref(), Some("Memory"));
    assert!(tmp.size_limit.is_some());
    let env = container.env.as_ref().unwrap();
    let value = |name: &str| env.iter().find(|of| of.name == name).unwrap().value.clone();
    assert_eq!(value("HOME").as_deref(), Some("/tmp"));
    assert!(value("EDITOR").is_some());
}

#[test]
fn a_zone_made_without_an_soa_names_the_service_that_answers_for_it_or_what_the_spec_says() {
    let conf = file(&servers_of(MANAGED), "pdns.conf");
    let plan = plan(MANAGED);
    let (service, namespace) = (plan.names.dns_service(), &plan.names.namespace);
    let ours = format!("\ndefault-soa-content={service}.{namespace}.svc hostmaster.@ 0 ");
    assert!(conf.contains(&ours), "{conf}");
    let spec = "{objectStore: {managed: {}}, powerdns: {config: {default-soa-content: ns1.example.net hostmaster.@ 0 7200 900 1209600 300}}}";
    let conf = file(&servers_of(spec), "pdns.conf");
    assert_eq!(conf.matches("default-soa-content=").count(), 1, "{conf}");
    assert!(conf.contains("\ndefault-soa-content=ns1.example.net "), "{conf}");
}
