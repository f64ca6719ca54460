//! The committed definitions are those that the types give.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use zonetide_crds::{DnsClusterStatus, NEVER_OBSERVED, yaml};

    fn committed(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}: run `make generate`"))
    }

    #[test]
    fn the_plain_definition_is_up_to_date() {
        let wanted = yaml::plain().unwrap();
        assert!(
            committed(yaml::PLAIN_PATH) == wanted,
            "{} is stale: run `make generate`",
            yaml::PLAIN_PATH
        );
    }

    #[test]
    fn the_definition_in_the_chart_is_up_to_date() {
        let wanted = yaml::chart().unwrap();
        assert!(
            committed(yaml::CHART_PATH) == wanted,
            "{} is stale: run `make generate`",
            yaml::CHART_PATH
        );
    }

    #[test]
    fn nothing_in_the_definition_looks_like_a_template_to_helm() {
        assert!(!yaml::plain().unwrap().contains("{{"));
    }

    /// An object without a status counts as up to date for kstatus; one whose status is about another generation does not.
    #[test]
    fn a_new_object_has_a_status_that_is_about_no_generation_of_it() {
        let definition: serde_json::Value = serde_saphyr::from_str(&yaml::plain().unwrap()).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let status = &schema["properties"]["status"];
        assert_eq!(status["default"], serde_json::json!({"observedGeneration": -1}));
        let observed = &status["properties"]["observedGeneration"];
        assert_eq!(observed["type"], "integer", "{observed}");
        assert!(observed.get("minimum").is_none(), "{observed}");
        let parsed: DnsClusterStatus = serde_json::from_value(status["default"].clone()).unwrap();
        assert_eq!(parsed.observed_generation, Some(NEVER_OBSERVED));
    }

    #[test]
    fn the_definition_fits_into_the_annotation_of_kubectl_apply() {
        assert!(yaml::plain().unwrap().len() < 256 * 1024);
    }
}
