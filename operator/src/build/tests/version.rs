//! What the version of PowerDNS decides: image, settings, and the annotation that tells it.

use super::*;
use crate::reconcile::origin::Origin;

const V4_9: &str = "{objectStore: {managed: {}}, powerdns: {version: '4.9'}}";
const ANNOTATION: &str = "zonetide.dev/powerdns-version";

/// As an earlier release made it.
fn older() -> Plan {
    let mut plan = plan(V4_9);
    plan.origin = Origin {
        is_older: true,
        ..plan.origin
    };
    plan
}

fn image(plan: &Plan) -> String {
    let template = built_servers(plan).stateful_set.spec.unwrap().template;
    template.spec.unwrap().containers[0].image.clone().unwrap()
}

/// Of the servers, their claims and the store's claims.
fn annotations(plan: &Plan) -> [Option<String>; 3] {
    let servers = built_servers(plan).stateful_set;
    let store = store(plan).unwrap().stateful_set;
    let of = |metadata: &ObjectMeta| metadata.annotations.as_ref()?.get(ANNOTATION).cloned();
    let claim = |set: &StatefulSet| of(&set.spec.as_ref()?.volume_claim_templates.as_ref()?[0].metadata);
    [of(&servers.metadata), claim(&servers), claim(&store)]
}

#[test]
fn each_version_has_its_image_and_says_so_on_servers_and_volumes() {
    for (plan, image_of, version) in [
        (plan(MANAGED), "powerdns-5.1:test", "5.1"),
        (plan(V4_9), "powerdns-4.9:test", "4.9"),
    ] {
        assert_eq!(image(&plan), image_of);
        assert_eq!(annotations(&plan), [(); 3].map(|()| Some(version.to_owned())));
    }
}

/// The templates of claims can never be changed.
#[test]
fn what_an_earlier_release_made_gets_no_annotation() {
    assert_eq!(image(&older()), "powerdns-4.9:test");
    assert_eq!(annotations(&older()), [None, None, None]);
}

#[test]
fn the_schema_is_always_written_and_what_4_9_does_not_know_is_not() {
    let conf = |plan: &Plan| file(&built_servers(plan), "pdns.conf");
    let newer = conf(&plan(MANAGED));
    for line in [
        "lmdb-schema-version=6",
        "lmdb-shards-map-size=2048",
        "lmdb-split-domains-table=yes",
        "lmdb-write-notification-update=yes",
    ] {
        assert!(newer.contains(&format!("\n{line}\n")), "{newer}");
    }
    for plan in [plan(V4_9), older()] {
        let conf = conf(&plan);
        assert!(conf.contains("\nlmdb-schema-version=5\n"), "{conf}");
        assert!(
            ["shards-map-size", "split-domains", "write-notification"]
                .iter()
                .all(|name| !conf.contains(name)),
            "{conf}"
        );
    }
}
