//! Where keys come from.

use zonetide_crds::DnsCluster;

use crate::helpers::{cluster, refused};

fn credentials(fields: &str) -> DnsCluster {
    cluster(&format!(
        "{{objectStore: {{s3: {{endpoint: 'http://a', bucket: zones, credentials: {fields}}}}}}}"
    ))
}

#[test]
fn every_source_of_keys_is_accepted_by_itself() {
    for source in [
        "{secretRef: {name: k}}",
        "{assumeRole: {secretRef: {name: k}}}",
        "{assumeRole: {secretRef: {name: k, namespace: admins}, stsEndpoint: 'https://sts.test', keyLifetime: 15m}}",
        "{garage: {adminEndpoint: 'http://garage.storage.svc:3903', tokenSecretRef: {name: k}}}",
        "{garage: {adminEndpoint: 'http://g:3903/', tokenSecretRef: {name: k}, keyLifetime: 1m}}",
        "{r2: {accountId: 0123456789abcdef0123456789abcdef, tokenSecretRef: {name: k}, keyLifetime: 168h}}",
        "{webIdentity: {roleArn: 'arn:aws:iam::1:role/dns'}}",
        "{webIdentity: {serviceAccountAnnotations: {a/b: c}}}",
    ] {
        credentials(source).validate_cel().unwrap();
    }
}

#[test]
fn keys_come_from_exactly_one_source() {
    for wrong in [
        "{}",
        "{secretRef: {name: k}, assumeRole: {secretRef: {name: k}}}",
        "{secretRef: {name: k}, webIdentity: {roleArn: r}}",
        "{garage: {adminEndpoint: 'http://g', tokenSecretRef: {name: k}}, secretRef: {name: k}}",
    ] {
        refused(&credentials(wrong), "credentials needs exactly one of secretRef");
    }
}

#[test]
fn lifetimes_of_keys_are_durations_that_their_makers_can_give() {
    for (before, after, wrong, message) in [
        (
            "{assumeRole: {secretRef: {name: k}, keyLifetime: ",
            "}}",
            ["14m59s", "12h1s", "1d", "soon"],
            "assumeRole.keyLifetime must be a duration from 15m to 12h",
        ),
        (
            "{garage: {adminEndpoint: 'http://g', tokenSecretRef: {name: k}, keyLifetime: ",
            "}}",
            ["59s", "0h", "1.5h", "long"],
            "garage.keyLifetime must be a duration of 1m or more",
        ),
        (
            "{r2: {accountId: 0123456789abcdef0123456789abcdef, tokenSecretRef: {name: k}, keyLifetime: ",
            "}}",
            ["14m", "169h", "7d", "60"],
            "r2.keyLifetime must be a duration from 15m to 168h",
        ),
    ] {
        for text in wrong {
            refused(&credentials(&format!("{before}'{text}'{after}")), message);
        }
    }
    refused(
        &cluster("{objectStore: {managed: {keyLifetime: 30s}}}"),
        "managed.keyLifetime must be a duration of 1m or more",
    );
}

#[test]
fn endpoints_of_admins_are_urls_without_a_path_or_a_user() {
    for url in [
        "sts.test",
        "https://sts.test/path",
        "https://user@sts.test",
        "ftp://sts.test",
    ] {
        refused(
            &credentials(&format!(
                "{{assumeRole: {{secretRef: {{name: k}}, stsEndpoint: '{url}'}}}}"
            )),
            "assumeRole.stsEndpoint must be a URL",
        );
        refused(
            &credentials(&format!(
                "{{garage: {{adminEndpoint: '{url}', tokenSecretRef: {{name: k}}}}}}"
            )),
            "garage.adminEndpoint must be a URL",
        );
        refused(
            &credentials(&format!("{{webIdentity: {{roleArn: r, stsEndpoint: '{url}'}}}}")),
            "webIdentity.stsEndpoint must be a URL",
        );
    }
}

#[test]
fn web_identity_needs_a_role_or_somebody_who_acts_on_annotations() {
    refused(
        &credentials("{webIdentity: {audience: a}}"),
        "webIdentity needs serviceAccountAnnotations",
    );
}
