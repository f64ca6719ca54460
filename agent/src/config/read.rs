//! From a file's text to a configuration: variables, keys with nothing in them, and what is wrong with either.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use super::expand::{Unset, expand, mark};
use super::tree::{Place, Tree, shown};
use super::without::{Reading, Without};
use super::{Config, ConfigError, ExpandError, value_error};

/// Keys that are empty by default, where that means something: the name of the host, what the store has, never. None of those that
/// say where zones or keys are sent.
const EMPTY_BY_DEFAULT: [&str; 4] = [
    "instance",
    "log.level",
    "storage_retry_count",
    "storage.options.storage_class",
];

/// Reads a text, with `lookup` as the environment, and checks what can be checked without acting.
pub(super) fn read(
    path: &Path,
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let expand_error = |error| ConfigError::Expand {
        path: path.to_owned(),
        error,
    };
    let expanded = expand(text, lookup).map_err(expand_error)?;
    let (text, unset) = (expanded.text, expanded.unset);
    let tree: Tree = serde_saphyr::from_str_with_options(&text, options()).map_err(|error| {
        // The text may be wrong because a part of it is missing.
        match unset.first().cloned() {
            Some(Unset { line, name }) => expand_error(ExpandError::Unset { line, name }),
            None => parse_error(path, error, None),
        }
    })?;
    let Empty { reading, unset } = Empty::of(&tree, &unset)?;
    let mut config = typed(path, &text, reading).map_err(|error| why_missing(error, &unset))?;
    config.notes = defaulted(&config, &unset)?;
    if config.storage.options.root_path.as_os_str().is_empty() {
        config.storage.options.root_path = std::mem::take(&mut config.storage.root_path);
    }
    // The typed form does not tell an option that was given from a default.
    let given = tree.get("storage").and_then(|storage| storage.get("options"));
    let given = given.into_iter().flat_map(Tree::entries);
    config
        .storage
        .check_given(given.map(|(option, _)| option.as_str()))?;
    config.take_zero_for_the_default();
    config.check()?;
    Ok(config)
}

/// There may be any number of comments.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { emit_comments: false }
}

fn parse_error(path: &Path, error: serde_saphyr::Error, key: Option<Place>) -> ConfigError {
    ConfigError::Parse {
        path: path.to_owned(),
        key: key.map(|key| format!("{}: ", shown(&key))).unwrap_or_default(),
        error: Box::new(error),
    }
}

fn typed(path: &Path, text: &str, reading: Reading) -> Result<Config, ConfigError> {
    let config = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
        Config::deserialize(Without::new(deserializer, &reading))
    });
    config.map_err(|error| parse_error(path, error, reading.refused()))
}

/// What has nothing in it.
struct Empty {
    reading: Reading,
    /// Those because of a variable, with its name.
    unset: Vec<(Place, Unset)>,
}

impl Empty {
    fn of(tree: &Tree, unset: &[Unset]) -> Result<Self, ConfigError> {
        if *tree == Tree::Nothing {
            return Err(value_error("lmdbs", "name at least one database"));
        }
        let mut empty = Self {
            reading: Reading::default(),
            unset: Vec::new(),
        };
        let mut wrong = None;
        tree.walk(&mut Place::new(), &mut |place, value| {
            if wrong.is_none() {
                wrong = empty.add(place, value, unset).err();
            }
        });
        wrong.map_or(Ok(empty), Err)
    }

    fn add(&mut self, place: &Place, value: &Tree, unset: &[Unset]) -> Result<(), ConfigError> {
        let within = |text: &str| unset.iter().find(|unset| text.contains(&mark(&unset.name)));
        let in_list = place.last().is_some_and(|key| key.starts_with('['));
        match value {
            Tree::Nothing if matches!(place.as_slice(), [lmdbs, _] if lmdbs == "lmdbs") => {
                return Err(value_error(
                    shown(place),
                    "is empty: name the LMDB file, or its folder, in its `path`",
                ));
            }
            Tree::Nothing if !in_list => drop(self.reading.left_out.insert(place.clone())),
            Tree::Text(text) => {
                let Some(found) = within(text) else { return Ok(()) };
                if in_list || *text != mark(&found.name) {
                    return Err(unset_error(place, found, "a part of it"));
                }
                self.reading.left_out.insert(place.clone());
                self.unset.push((place.clone(), found.clone()));
            }
            Tree::Map(entries) => {
                if let Some(found) = entries.iter().find_map(|(key, _)| within(key)) {
                    return Err(unset_error(place, found, "a key in it"));
                }
            }
            Tree::Nothing | Tree::Other | Tree::List(_) => {}
        }
        Ok(())
    }
}

fn unset_error(place: &[String], unset: &Unset, what: &str) -> ConfigError {
    let Unset { line, name } = unset;
    let key = match shown(place) {
        root if root.is_empty() => "the configuration".to_owned(),
        key => key,
    };
    let reason = format!(
        "line {line}: {what} is the environment variable {name}, which is not set: set it, or write ${{{name}:-VALUE}}, \
         where VALUE is what to use without it and may be empty"
    );
    value_error(key, reason)
}

/// What a missing value is missing for.
fn why_missing(error: ConfigError, unset: &[(Place, Unset)]) -> ConfigError {
    let ConfigError::Parse { error: parse, .. } = &error else {
        return error;
    };
    if !matches!(
        parse.without_snippet(),
        serde_saphyr::Error::SerdeMissingField {
            field: "storage" | "type",
            ..
        }
    ) {
        return error;
    }
    let by_variable = unset
        .iter()
        .find(|(place, _)| ["storage", "storage.type"].contains(&shown(place).as_str()));
    match by_variable {
        Some((place, unset)) => unset_error(place, unset, "its value"),
        None => value_error("storage.type", "is needed: set s3, azure, gcs, fs or memory"),
    }
}

/// What to say about the variables that are not set where the key has a default; an error where it has none.
fn defaulted(config: &Config, unset: &[(Place, Unset)]) -> Result<Vec<String>, ConfigError> {
    if unset.is_empty() {
        return Ok(Vec::new());
    }
    // It shows the defaults, and nothing where there is none.
    let evaluated = serde_json::to_value(config).unwrap_or_default();
    let mut notes = Vec::new();
    for (place, variable) in unset {
        let value = place.iter().fold(&evaluated, |value, key| &value[key.as_str()]);
        let has_default = match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(values) => !values.is_empty(),
            Value::Object(entries) => !entries.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        };
        let key = shown(place);
        if !has_default && !EMPTY_BY_DEFAULT.contains(&key.as_str()) {
            return Err(unset_error(place, variable, "there is no default, and its value"));
        }
        let name = &variable.name;
        notes.push(format!(
            "{key}: the environment variable {name} is not set, so this has its default: write ${{{name}:-}} if that is meant"
        ));
    }
    Ok(notes)
}
