use super::*;
use crate::{
    reconcile::validate::validate,
    settings::Settings,
    testing::{MANAGED, fetched, plan, settings},
};

const BOTH: &str = "{objectStore: {managed: {engine: MinIO, expose: {
    s3: {host: s3.tides.test, tlsSecretName: t}, console: {host: console.elsewhere.test}}}}}";

fn plan_with(spec: &str, settings: &Settings) -> Plan {
    validate(&fetched(spec), settings).unwrap()
}

fn condition(plan: &Plan) -> Option<Verdict> {
    exposed(plan, None)
}

#[test]
fn hosts_in_a_domain_are_exposed_and_others_are_not_with_the_domains_that_there_are() {
    let plan = plan(BOTH);
    assert_eq!(plan.exposure.urls(), ["https://s3.tides.test"]);
    assert_eq!(plan.exposure.refused, ["console.elsewhere.test"]);
    let verdict = condition(&plan).unwrap();
    assert_eq!(
        (verdict.status, verdict.reason),
        (Status::False, Reason::HostNotAllowed)
    );
    assert_eq!(
        verdict.message,
        "console.elsewhere.test may not be exposed: choose a host in tides.test, or have another domain added to the chart's \
         value expose.domains (the argument --expose-domains); S3 is at https://s3.tides.test"
    );
}

#[test]
fn an_operator_that_exposes_nothing_says_what_to_set() {
    let mut settings = settings();
    settings.expose.domains = vec![];
    let plan = plan_with(BOTH, &settings);
    assert!(plan.exposure.hosts.is_empty());
    let message = condition(&plan).unwrap().message;
    let expected = "s3.tides.test and console.elsewhere.test may not be exposed: the operator was installed to expose nothing: \
                    whoever installed it can set the chart's value expose.domains";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_host_in_another_namespaces_domain_is_refused_with_ones_own() {
    let mut settings = settings();
    settings.expose.domains = vec!["{namespace}.test".parse().unwrap()];
    let message = condition(&plan_with(BOTH, &settings)).unwrap().message;
    assert!(message.contains("choose a host in shore.test,"), "{message}");
    let own = BOTH
        .replace("tides.test", "shore.test")
        .replace("elsewhere.test", "shore.test");
    let verdict = condition(&plan_with(&own, &settings)).unwrap();
    assert_eq!(
        (verdict.status, verdict.reason),
        (Status::True, Reason::IngressReady)
    );
    let expected = "S3 is at https://s3.shore.test, the console is at http://console.shore.test by Ingress;";
    assert!(verdict.message.starts_with(expected), "{}", verdict.message);
}

#[test]
fn a_cluster_that_asks_for_nothing_has_no_such_condition() {
    assert_eq!(condition(&plan(MANAGED)), None);
}

#[test]
fn garage_has_no_console_to_expose_whatever_an_older_object_says() {
    let spec = BOTH
        .replace("engine: MinIO, ", "")
        .replace("elsewhere.test", "tides.test");
    assert_eq!(plan(&spec).exposure.urls(), ["https://s3.tides.test"]);
}

#[test]
fn what_the_api_server_refuses_is_said_also_when_nothing_is_asked_for_any_more() {
    for spec in [BOTH, MANAGED] {
        let verdict = exposed(&plan(spec), Some("failed to apply Ingress tide-s3")).unwrap();
        assert_eq!(
            (verdict.status, verdict.reason),
            (Status::False, Reason::ReconcileFailed)
        );
        assert!(verdict.message.contains("Ingress tide-s3"));
    }
}
