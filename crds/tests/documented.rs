//! What the documentation shows can be applied.

#[cfg(test)]
mod tests {
    use zonetide_crds::{DnsCluster, DnsRestore};

    const PAGES: [(&str, &str); 3] = [
        ("README.md", include_str!("../../README.md")),
        (
            "docs/object-stores.md",
            include_str!("../../docs/object-stores.md"),
        ),
        ("docs/security.md", include_str!("../../docs/security.md")),
    ];

    const RESTORES: [(&str, &str); 2] = [
        ("docs/history.md", include_str!("../../docs/history.md")),
        (
            "examples/dnsrestore.yaml",
            include_str!("../../examples/dnsrestore.yaml"),
        ),
    ];

    const DEFINITION: &str = include_str!("../zonetide.dev_dnsclusters.yaml");

    /// The objects of all YAML blocks.
    fn objects(page: &str) -> Vec<String> {
        let blocks = page.split("```yaml\n").skip(1);
        let blocks = blocks.filter_map(|rest| rest.split("```").next());
        blocks
            .flat_map(|block| block.split("---\n"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_documented_dnsrestore_is_one_and_breaks_no_rule() {
        for (name, page) in RESTORES {
            let (mut seen, page) = (0, format!("```yaml\n{page}"));
            for object in objects(&page) {
                if !object.contains("kind: DnsRestore") {
                    continue;
                }
                let restore: DnsRestore = serde_saphyr::from_str(&object)
                    .unwrap_or_else(|error| panic!("{name}: {error}\n{object}"));
                let checked = restore.validate_cel();
                checked.unwrap_or_else(|error| panic!("{name}: {error}\n{object}"));
                seen += 1;
            }
            assert_eq!(seen, 1, "{name}");
        }
    }

    #[test]
    fn every_documented_dnscluster_is_one_and_breaks_no_rule() {
        let mut seen = 0;
        for (name, page) in PAGES {
            for object in objects(page) {
                if !object.contains("kind: DnsCluster") {
                    continue;
                }
                let cluster: DnsCluster = serde_saphyr::from_str(&object)
                    .unwrap_or_else(|error| panic!("{name}: {error}\n{object}"));
                let checked = cluster.validate_cel();
                checked.unwrap_or_else(|error| panic!("{name}: {error}\n{object}"));
                // A field that does not exist would have been left out in silence.
                let (_, spec) = object.split_once("\nspec:\n").unwrap();
                for line in spec.lines().map(str::trim) {
                    let field = line.split(':').next().unwrap_or_default();
                    let is_field = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_alphabetic());
                    assert!(
                        !is_field || DEFINITION.contains(&format!(" {field}:")),
                        "{name}: {field} is no field\n{object}"
                    );
                }
                seen += 1;
            }
        }
        assert!(seen >= 9, "{seen}");
    }
}
