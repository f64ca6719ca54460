//! What a source of `sync` imports, defines and calls, by its text.

use std::collections::BTreeSet;

/// The objects that all rooms meet in.
pub(crate) const SHARED: [&str; 2] = ["Replica", "State"];

/// A source file below `sync`, its tests aside.
pub(crate) struct Source {
    /// As a path of modules: `known/plan.rs` is `known::plan`, and `known/mod.rs` is `known`.
    pub(crate) module: Vec<String>,
    text: String,
}

/// A call of a method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What it is called of is one of the shared objects for sure.
    pub(crate) is_of_shared: bool,
}

fn is_ident(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn ident(text: &str) -> &str {
    text.split(|c| !is_ident(c)).next().unwrap_or_default()
}

/// The identifier that a text ends with.
fn last_ident(text: &str) -> &str {
    text.rsplit(|c| !is_ident(c)).next().unwrap_or_default()
}

impl Source {
    /// `path`: below `sync`, with slashes.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = product
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        Self {
            module: path.split('/').map(str::to_owned).collect(),
            text: lines.collect::<Vec<_>>().join("\n"),
        }
    }

    pub(crate) fn room(&self) -> &str {
        &self.module[0]
    }

    /// What it uses of `sync`, each as a path of modules and an item below `sync`.
    pub(crate) fn imports(&self) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        let mut start = |prefix: &str, base: &[String]| {
            for (at, _) in self.text.match_indices(prefix) {
                let before = self.text[..at].chars().next_back();
                if before.is_none_or(|c| !is_ident(c) && c != ':') {
                    paths(&self.text[at + prefix.len()..], base.to_vec(), &mut found);
                }
            }
        };
        start("crate::sync::", &[]);
        start("self::", &self.module);
        for up in 1..=self.module.len() {
            let base = &self.module[..self.module.len() - up];
            start(&"super::".repeat(up), base);
        }
        let children = self.text.split("mod ").skip(1).filter_map(|rest| {
            let name = ident(rest);
            rest[name.len()..].starts_with(';').then_some(name)
        });
        for child in children {
            start(
                &format!("{child}::"),
                &[&self.module[..], &[child.to_owned()]].concat(),
            );
        }
        found.retain(|path| !path.is_empty() && !path.contains(&"super".to_owned()));
        found
    }

    /// The lines, each with the type whose methods are being defined.
    fn lines_by_type(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut of = None;
        self.text.lines().map(move |line| {
            match line.strip_prefix("impl ") {
                Some(rest) => of = Some(ident(rest)).filter(|name| rest == format!("{name} {{")),
                None if line.starts_with('}') => of = None,
                None => {}
            }
            (line, of)
        })
    }

    /// The methods of the shared objects that it defines.
    pub(crate) fn methods(&self) -> BTreeSet<String> {
        let shared = self.lines_by_type().filter_map(|(line, of)| {
            let method = line.strip_prefix("    ").filter(|line| !line.starts_with(' '))?;
            let (before, name) = method.split_once("fn ")?;
            let is_head = before.split(' ').all(|word| {
                ["", "pub", "async", "const", "crate::sync)"].contains(&word) || word.starts_with("pub(")
            });
            (is_head && SHARED.contains(&of?)).then(|| ident(name).to_owned())
        });
        shared.collect()
    }

    /// The methods that it calls, of whatever it is.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut before = String::new();
        for (line, of) in self.lines_by_type() {
            for (at, _) in line.match_indices('.') {
                let name = ident(&line[at + 1..]);
                let rest = &line[at + 1 + name.len()..];
                if name.is_empty() || !(rest.starts_with('(') || rest.starts_with("::<")) {
                    continue;
                }
                let receiver = match line[..at].trim() {
                    "" => before.trim_end(),
                    receiver => receiver,
                };
                let receiver = receiver.trim_end_matches("()");
                calls.push(Call {
                    name: name.to_owned(),
                    is_of_shared: match last_ident(receiver) {
                        "self" => of.is_some_and(|of| SHARED.contains(&of)),
                        name => ["replica", "state"].contains(&name),
                    },
                });
            }
            for name in SHARED {
                for (at, _) in line.match_indices(&format!("{name}::")) {
                    let name = ident(&line[at + name.len() + 2..]).to_owned();
                    calls.push(Call {
                        name,
                        is_of_shared: true,
                    });
                }
            }
            if !line.trim().is_empty() {
                line.clone_into(&mut before);
            }
        }
        calls
    }
}

/// Adds the paths that a text begins with, those in braces each by itself.
fn paths(text: &str, mut path: Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let (mut depth, mut from) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                ',' | '}' if depth == 0 => {
                    paths(&group[from..at], path.clone(), found);
                    from = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let name = ident(text);
    if !name.is_empty() && name != "self" {
        path.push(name.to_owned());
        if let Some(rest) = text[name.len()..].strip_prefix("::") {
            return paths(rest, path, found);
        }
    }
    found.insert(path);
}

#[test]
fn imports_are_found_wherever_they_are_written_and_those_of_tests_are_not() {
    let source = Source::new(
        "room/file.rs",
        "mod child;\nuse super::{one::{A, B}, two};\nuse crate::sync::other::three::C; // crate::sync::said\n\
         use crate::snapshot::Name;\npub(in crate::sync) use child::D;\nlet x = super::super::pace::four();\n\
         #[cfg(test)]\nuse crate::sync::tested::E;",
    );
    let expected = [
        "room::one::A",
        "room::one::B",
        "room::two",
        "other::three::C",
        "room::file::child::D",
        "pace::four",
    ];
    let expected = expected.map(|path| path.split("::").map(str::to_owned).collect());
    assert_eq!(source.imports(), expected.into());
}

#[test]
fn methods_of_the_shared_objects_and_their_calls_are_found_and_those_of_others_told_apart() {
    let source = Source::new(
        "room/file.rs",
        "impl Replica {\n    pub(in crate::sync) async fn one(&self) {\n        self\n            .two(x);\n        \
         self.queue.three();\n    }\n}\nimpl Other {\n    fn four(&self) {\n        self.five::<u8>();\n        \
         replica.state().six(State::seven);\n    }\n}\n",
    );
    assert_eq!(source.methods(), ["one".to_owned()].into());
    let calls = source.calls();
    let calls: Vec<_> = calls
        .iter()
        .map(|call| (call.name.as_str(), call.is_of_shared))
        .collect();
    let expected = [
        ("two", true),
        ("three", false),
        ("five", false),
        ("state", true),
        ("six", true),
        ("seven", true),
    ];
    assert_eq!(calls, expected);
}
