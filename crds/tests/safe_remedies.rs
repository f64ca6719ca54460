//! What messages and pages tell people to delete is theirs to lose: following them word by word costs no bucket.

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use serde_json::Value;
    use zonetide_crds::yaml::Kind;

    /// Patterns that begin as the claims do: the claim of a managed store, which holds the bucket, begins so too.
    fn patterns_of_claims(text: &str) -> Vec<&str> {
        let is_name = |letter: char| letter.is_alphanumeric() || "-_.*?[]{}<>$".contains(letter);
        text.split(|letter| !is_name(letter))
            .filter(|word| word.starts_with("data-") && word.contains(['*', '?', '[']))
            .collect()
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// All files of a folder that people, or the operator's users, read.
    fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                texts(&path, found);
            } else if matches!(ending, Some("md" | "rs" | "yaml" | "txt" | "tpl")) {
                found.push(path);
            }
        }
    }

    fn messages(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("message").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| messages(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
            _ => {}
        }
    }

    #[test]
    fn no_message_and_no_page_names_claims_by_a_pattern_that_takes_the_bucket_too() {
        let old = "delete the DnsCluster and its claims data-NAME-*, and apply it again";
        assert_eq!(patterns_of_claims(old), ["data-NAME-*"]);

        let mut files = vec![root().join("README.md")];
        for folder in ["docs", "examples", "charts", "crds/src", "operator/src"] {
            texts(&root().join(folder), &mut files);
        }
        assert!(files.len() > 50, "{files:?}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let patterns = patterns_of_claims(&text);
            assert!(patterns.is_empty(), "{}: {patterns:?}", file.display());
        }
    }

    #[test]
    fn a_message_that_says_to_delete_the_dnscluster_says_first_how_the_bucket_stays() {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let definition: Value = serde_saphyr::from_str(&kind.plain().unwrap()).unwrap();
            messages(&definition, &mut all);
        }
        assert!(all.len() > 20, "{all:#?}");
        let mut seen = 0;
        for message in all {
            let Some(deletion) = message.find("delete the DnsCluster") else {
                continue;
            };
            let policy = message.find("set spec.objectStore.deletionPolicy to Retain");
            assert!(policy.is_some_and(|policy| policy < deletion), "{message}");
            seen += 1;
        }
        assert!(seen >= 3, "{seen}");
    }
}
