//! A file's keys as they are written, before they become a configuration: which of them have nothing in them, and which
//! take their value from a variable that is not set.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Where a value is: keys, and `[0]` in lists.
pub(super) type Place = Vec<String>;

/// A place as it is shown.
pub(super) fn shown(place: &[String]) -> String {
    place.join(".").replace(".[", "[")
}

/// A value as it is written.
#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    /// Null, or an empty text.
    Nothing,
    Text(String),
    /// A number, or true or false.
    Other,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Those of a map; a value of another kind has none.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Calls `visit` with every value and its place, a map before what is in it.
    pub(super) fn walk(&self, place: &mut Place, visit: &mut impl FnMut(&Place, &Self)) {
        visit(place, self);
        let mut below = |key: String, value: &Self| {
            place.push(key);
            value.walk(place, visit);
            place.pop();
        };
        match self {
            Self::Map(entries) => entries.iter().for_each(|(key, value)| below(key.clone(), value)),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    below(format!("[{index}]"), value);
                }
            }
            Self::Nothing | Self::Text(_) | Self::Other => {}
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Writer)
    }
}

struct Writer;

impl<'de> Visitor<'de> for Writer {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        if text.is_empty() {
            return Ok(Tree::Nothing);
        }
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
