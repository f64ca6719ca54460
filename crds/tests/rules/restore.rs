use zonetide_crds::DnsRestore;

fn restore(fields: &str) -> DnsRestore {
    let text = format!(
        "{{apiVersion: zonetide.dev/v1alpha1, kind: DnsRestore, metadata: {{name: back}}, \
         spec: {{cluster: example, at: '2026-11-30T10:00:00Z', {fields}}}}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn a_restore_is_of_zones_or_of_everything() {
    for good in [
        "zones: [a.example]",
        "zones: [a.example], all: false",
        "all: true",
    ] {
        restore(good).validate_cel().unwrap();
    }
    for bad in ["", "zones: []", "all: false", "zones: [a.example], all: true"] {
        let error = restore(bad).validate_cel().unwrap_err().to_string();
        assert!(error.contains("spec needs either zones or all"), "{bad}: {error}");
    }
}

#[test]
fn the_spec_of_a_restore_stays() {
    let old = restore("zones: [a.example]");
    restore("zones: [a.example]").validate_cel_update(&old).unwrap();
    for changed in [
        "zones: [b.example]",
        "zones: [a.example], dryRun: true",
        "zones: [a.example], despiteGaps: true",
        "all: true",
    ] {
        let error = restore(changed)
            .validate_cel_update(&old)
            .unwrap_err()
            .to_string();
        assert!(error.contains("make another DnsRestore"), "{changed}: {error}");
    }
}
