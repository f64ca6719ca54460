//! Servers, their names, settings, volumes and Service.

use zonetide_crds::{OWNED_SETTINGS, misread};

use crate::helpers::{MANAGED, change_accepted, change_refused, cluster, named, refused};

#[test]
fn the_shortest_spec_is_accepted_and_has_the_documented_defaults() {
    let cluster = cluster(MANAGED);
    cluster.validate_cel().unwrap();
    assert_eq!(cluster.spec.replicas, 2);
    assert_eq!(cluster.spec.storage.size, "5Gi");
    assert_eq!(cluster.spec.service.port, 53);
    assert_eq!(cluster.spec.object_store.managed.unwrap().storage.size, "10Gi");
}

#[test]
fn volume_sizes_and_classes_cannot_change_and_the_message_says_how_to_grow() {
    let data = |size| cluster(&format!("{{objectStore: {{managed: {{}}}}, storage: {size}}}"));
    let store = |size| cluster(&format!("{{objectStore: {{managed: {{storage: {size}}}}}}}"));
    change_refused(
        &data("{size: 5Gi}"),
        &data("{size: 6Gi}"),
        "grow the claim of each server by hand, data-NAME-0, data-NAME-1 and so on",
    );
    change_refused(
        &data("{}"),
        &data("{storageClassName: fast}"),
        "spec.storage.storageClassName cannot change",
    );
    change_refused(
        &store("{size: 5Gi}"),
        &store("{size: 6Gi}"),
        "grow the PersistentVolumeClaim data-NAME-garage-0",
    );
    change_refused(
        &store("{storageClassName: slow}"),
        &store("{storageClassName: fast}"),
        "spec.objectStore.managed.storage.storageClassName cannot change",
    );
    change_accepted(
        &data("{size: 5Gi, storageClassName: a}"),
        &data("{size: 5Gi, storageClassName: a}"),
    );
}

#[test]
fn a_volume_needs_room_for_two_databases() {
    refused(
        &cluster("{objectStore: {managed: {}}, storage: {size: 10Mi}}"),
        "must be at least 64Mi",
    );
    refused(
        &cluster("{objectStore: {managed: {}}, storage: {size: plenty}}"),
        "must be at least 64Mi",
    );
    cluster("{objectStore: {managed: {}}, storage: {size: 64Mi}}")
        .validate_cel()
        .unwrap();
}

#[test]
fn no_servers_is_no_cluster() {
    refused(
        &cluster("{replicas: 0, objectStore: {managed: {}}}"),
        "spec.replicas must be at least 1: to stop all servers set spec.objectStore.deletionPolicy to Retain and delete",
    );
}

#[test]
fn names_are_short_enough_for_the_names_made_from_them() {
    named(&"a".repeat(40), MANAGED).validate_cel().unwrap();
    refused(&named(&"a".repeat(41), MANAGED), "at most 40 characters");
}

#[test]
fn names_are_those_of_services() {
    for name in ["a.b", "1st"] {
        refused(
            &named(name, MANAGED),
            "must start with a letter and have only a-z, 0-9 and -",
        );
    }
}

#[test]
fn every_owned_setting_is_refused_by_name_with_a_remedy() {
    for (setting, remedy) in OWNED_SETTINGS {
        let spec = format!("{{objectStore: {{managed: {{}}}}, powerdns: {{config: {{{setting}: x}}}}}}");
        refused(
            &cluster(&spec),
            &format!("spec.powerdns.config must not set {setting}: {remedy}"),
        );
    }
}

#[test]
fn other_settings_are_accepted() {
    cluster("{objectStore: {managed: {}}, powerdns: {config: {default-ttl: '3600', webserver-allow-from: 10.0.0.0/8}}}")
        .validate_cel()
        .unwrap();
}

#[test]
fn a_value_that_powerdns_would_read_otherwise_is_refused_with_the_reason_and_a_remedy() {
    let config = |value: &str| {
        let mut cluster = cluster(MANAGED);
        let config = &mut cluster.spec.powerdns.config;
        config.insert("version-string".to_owned(), value.to_owned());
        cluster
    };
    for bad in [
        "a\nlaunch=bind",
        "a\r",
        "a\u{b}b",
        "a\u{7f}",
        " a",
        "a\t",
        " ",
        "yes\\",
        "\\",
        "served by #1",
        "a\t#1",
        "a+=b",
    ] {
        let why = misread(bad).unwrap_or_else(|| panic!("{bad:?} is accepted"));
        let message = format!("a value in spec.powerdns.config {why}");
        let errors = config(bad).validate_cel().expect_err(bad).to_string();
        assert!(errors.contains(&message), "{bad:?}: {errors}");
    }
    for good in [
        "",
        "yes",
        "10.0.0.0/8, fd00::/8",
        "a\tb",
        "a\\b",
        "#1",
        "served by#1",
        "a#1 #2",
        "a=b",
        "a + b",
        "für alle",
    ] {
        assert_eq!(misread(good), None, "{good:?}");
        config(good)
            .validate_cel()
            .unwrap_or_else(|error| panic!("{good:?}: {error}"));
    }
}

#[test]
fn a_site_is_one_word_and_stays() {
    let site = |text| {
        cluster(&format!(
            "{{objectStore: {{managed: {{}}}}, replication: {{{text}}}}}"
        ))
    };
    refused(&site("site: a-b"), "may have only a-z and 0-9");
    change_refused(
        &site("site: a"),
        &site("site: b"),
        "spec.replication.site cannot change",
    );
    change_refused(&site(""), &site("site: b"), "spec.replication.site cannot change");
    change_accepted(&site("site: a"), &site("site: a, pollInterval: 2s"));
}

#[test]
fn intervals_are_durations_above_zero() {
    let interval = |text| {
        cluster(&format!(
            "{{objectStore: {{managed: {{}}}}, replication: {{{text}}}}}"
        ))
    };
    for good in [
        "pollInterval: 1s",
        "pollInterval: 500ms",
        "fullSnapshotInterval: 1h30m",
    ] {
        interval(good).validate_cel().unwrap();
    }
    for bad in ["pollInterval: '5'", "pollInterval: 0s", "pollInterval: fast"] {
        refused(
            &interval(bad),
            "spec.replication.pollInterval must be a duration above zero, like 1s",
        );
    }
    refused(
        &interval("fullSnapshotInterval: 4 h"),
        "spec.replication.fullSnapshotInterval must be a duration",
    );
}

#[test]
fn load_balancer_fields_need_their_type() {
    let service = |text| {
        cluster(&format!(
            "{{objectStore: {{managed: {{}}}}, service: {{{text}}}}}"
        ))
    };
    refused(
        &service("loadBalancerClass: a"),
        "needs spec.service.type LoadBalancer: set the type",
    );
    refused(
        &service("externalTrafficPolicy: Local"),
        "needs spec.service.type LoadBalancer or NodePort",
    );
    service("type: NodePort, externalTrafficPolicy: Local")
        .validate_cel()
        .unwrap();
    change_refused(
        &service("type: LoadBalancer, loadBalancerClass: a"),
        &service("type: LoadBalancer, loadBalancerClass: b"),
        "set spec.service.type to ClusterIP first",
    );
}
