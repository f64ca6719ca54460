//! Configuration files in the styles of the field: what comes out of each, or why it is refused.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A file, with what it says of itself in comments: see the README beside them.
struct Case {
    path: PathBuf,
    text: String,
}

impl Case {
    fn said<'c>(&'c self, word: &str) -> Vec<&'c str> {
        let start = format!("# {word}: ");
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(&start))
            .collect()
    }

    /// `config check` on the file, with its variables and nothing else in the environment.
    fn check(&self) -> Output {
        let variables = self
            .said("env")
            .into_iter()
            .map(|variable| variable.split_once('=').unwrap());
        Command::new(env!("CARGO_BIN_EXE_zonetide-agent"))
            .env_clear()
            .envs(variables)
            .args(["config", "check", "--config"])
            .arg(&self.path)
            .output()
            .unwrap()
    }
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/configurations")
        .join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 8, "the files are not here");
    let read = |path: PathBuf| Case {
        text: std::fs::read_to_string(&path).unwrap(),
        path,
    };
    paths.into_iter().map(read).collect()
}

/// The value of a key, as it is written in the files.
fn at(shown: &Value, key: &str) -> String {
    let value = key.split('.').fold(shown, |value, key| &value[key]);
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn what_is_taken_comes_out_as_it_was_meant() {
    for case in cases("taken") {
        let file = case.path.display();
        let (output, expected) = (case.check(), case.said("is"));
        let (shown, said) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert!(output.status.success(), "{file}: {said}");
        assert!(expected.len() >= 3 && case.said("refused").is_empty(), "{file}");
        let evaluated: Value = serde_saphyr::from_str(&shown).unwrap();
        for line in expected {
            let (key, value) = line.split_once(" = ").unwrap();
            assert_eq!(at(&evaluated, key), value, "{file}: {key}\n{shown}");
        }
        let notes = case.said("note");
        for note in &notes {
            assert!(said.contains(note), "{file}: {note}\n{said}");
        }
        assert!(said.is_empty() || !notes.is_empty(), "{file}: {said}");
        assert!(!shown.contains("hush") && !said.contains("hush"), "{file}");
    }
}

#[test]
fn what_is_refused_is_named_with_the_reason_and_the_remedy() {
    for case in cases("refused") {
        let file = case.path.display();
        let output = case.check();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{file} is taken");
        let expected = case.said("refused");
        assert!(!expected.is_empty(), "{file}");
        for words in expected {
            assert!(said.contains(words), "{file}: {words}\n{said}");
        }
        assert!(!said.contains("hush"), "{file}: {said}");
    }
}
