//! What of a managed store is reached from outside.

use zonetide_crds::DnsCluster;

use crate::helpers::{change_accepted, cluster, refused};

fn exposed(engine: &str, expose: &str) -> DnsCluster {
    cluster(&format!(
        "{{objectStore: {{managed: {{engine: {engine}, expose: {expose}}}}}}}"
    ))
}

const BOTH: &str =
    "{s3: {host: s3.example.org, tlsSecretName: s3-tls}, console: {host: console.example.org}}";

#[test]
fn each_part_can_be_exposed_by_itself_and_both_with_minio() {
    for (engine, expose) in [
        ("Garage", "{s3: {host: s3.example.org}}"),
        ("MinIO", "{s3: {host: s3.example.org}}"),
        ("MinIO", "{console: {host: console.example.org}}"),
        ("MinIO", BOTH),
    ] {
        exposed(engine, expose).validate_cel().unwrap();
    }
}

#[test]
fn exposing_nothing_is_a_mistake() {
    refused(&exposed("MinIO", "{}"), "expose needs s3 or console");
}

#[test]
fn garage_has_no_console() {
    refused(&exposed("Garage", BOTH), "Garage has no console: remove it");
}

#[test]
fn one_host_leads_to_one_part() {
    let same = "{s3: {host: store.example.org}, console: {host: store.example.org}}";
    refused(&exposed("MinIO", same), "needs two hosts for s3 and console");
}

#[test]
fn hosts_are_full_dns_names() {
    let long = format!("{}.example.org", "a".repeat(64));
    for wrong in [
        "s3",
        "S3.example.org",
        "'*.example.org'",
        "https://s3.example.org",
        "'s3.example.org:443'",
        "s3.example.org/path",
        "s3..example.org",
        "-s3.example.org",
        "s3.example.org.",
        "'10.0.0.1'",
        "s3_.example.org",
        &long,
    ] {
        refused(
            &exposed("Garage", &format!("{{s3: {{host: {wrong}}}}}")),
            "full DNS name in small letters",
        );
    }
}

#[test]
fn it_can_be_changed_and_removed_at_any_time() {
    let none = cluster("{objectStore: {managed: {engine: MinIO}}}");
    let both = exposed("MinIO", BOTH);
    let other = exposed("MinIO", "{s3: {host: other.example.org}}");
    for (old, new) in [(&none, &both), (&both, &other), (&other, &none)] {
        change_accepted(old, new);
    }
}
