//! The committed definitions are those that the types give.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};
    use zonetide_crds::{DnsClusterStatus, DnsRestoreStatus, NEVER_OBSERVED, yaml::Kind};

    #[track_caller]
    fn is_committed(path: &str, wanted: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let committed =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}: run `make generate`"));
        assert!(committed == wanted, "{path} is stale: run `make generate`");
    }

    #[test]
    fn the_plain_definitions_are_up_to_date() {
        for kind in Kind::ALL {
            is_committed(&kind.plain_path(), &kind.plain().unwrap());
        }
    }

    #[test]
    fn the_definitions_in_the_chart_are_up_to_date() {
        for kind in Kind::ALL {
            is_committed(&kind.chart_path(), &kind.chart().unwrap());
        }
    }

    #[test]
    fn nothing_in_a_definition_looks_like_a_template_to_helm() {
        for kind in Kind::ALL {
            assert!(!kind.plain().unwrap().contains("{{"));
        }
    }

    /// An object without a status counts as up to date for kstatus; one whose status is about another generation does not.
    #[test]
    fn a_new_object_has_a_status_that_is_about_no_generation_of_it() {
        for kind in Kind::ALL {
            let definition: Value = serde_saphyr::from_str(&kind.plain().unwrap()).unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let status = &schema["properties"]["status"];
            assert_eq!(status["default"], json!({"observedGeneration": -1}));
            let observed = &status["properties"]["observedGeneration"];
            assert_eq!(observed["type"], "integer", "{observed}");
            assert!(observed.get("minimum").is_none(), "{observed}");
            let new = || status["default"].clone();
            let observed = match kind {
                Kind::Cluster => {
                    serde_json::from_value::<DnsClusterStatus>(new())
                        .unwrap()
                        .observed_generation
                }
                Kind::Restore => {
                    serde_json::from_value::<DnsRestoreStatus>(new())
                        .unwrap()
                        .observed_generation
                }
            };
            assert_eq!(observed, Some(NEVER_OBSERVED));
        }
    }

    #[test]
    fn a_definition_fits_into_the_annotation_of_kubectl_apply() {
        for kind in Kind::ALL {
            assert!(kind.plain().unwrap().len() < 256 * 1024);
        }
    }
}
