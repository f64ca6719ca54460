//! The committed definitions are those that the types give.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use zonetide_crds::yaml;

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

    #[test]
    fn the_definition_fits_into_the_annotation_of_kubectl_apply() {
        assert!(yaml::plain().unwrap().len() < 256 * 1024);
    }
}
