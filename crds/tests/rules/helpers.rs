//! What tests of rules are written with.

use zonetide_crds::DnsCluster;

pub(crate) const MANAGED: &str = "{objectStore: {managed: {}}}";

pub(crate) fn named(name: &str, spec: &str) -> DnsCluster {
    let text = format!(
        "{{apiVersion: zonetide.dev/v1alpha1, kind: DnsCluster, metadata: {{name: {name}}}, spec: {spec}}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

pub(crate) fn cluster(spec: &str) -> DnsCluster {
    named("example", spec)
}

pub(crate) fn s3(fields: &str) -> DnsCluster {
    cluster(&format!(
        "{{objectStore: {{s3: {{credentials: {{secretRef: {{name: keys}}}}, {fields}}}}}}}"
    ))
}

#[track_caller]
pub(crate) fn refused(cluster: &DnsCluster, message: &str) {
    let errors = cluster
        .validate_cel()
        .expect_err("no rule refuses it")
        .to_string();
    assert!(errors.contains(message), "{errors}");
    assert_eq!(
        errors.lines().count(),
        2,
        "more than one rule refuses it: {errors}"
    );
}

#[track_caller]
pub(crate) fn change_refused(old: &DnsCluster, new: &DnsCluster, message: &str) {
    let errors = new
        .validate_cel_update(old)
        .expect_err("no rule refuses the change")
        .to_string();
    assert!(errors.contains(message), "{errors}");
}

#[track_caller]
pub(crate) fn change_accepted(old: &DnsCluster, new: &DnsCluster) {
    new.validate_cel_update(old).unwrap();
}
