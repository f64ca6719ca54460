//! What goes over the wire besides the objects, and which names are taken from it.

use std::collections::BTreeMap;

use axum::http::HeaderName;
use serde::{Deserialize, Serialize};

/// Who sends changes; a hello has both in its body.
pub(super) const INSTANCE: HeaderName = HeaderName::from_static("zonetide-instance");
pub(super) const BOOT: HeaderName = HeaderName::from_static("zonetide-boot");

pub(super) const HELLO_PATH: &str = "/peer/v1/hello";
/// Before the database and the object's name.
pub(super) const CHANGES_PATH: &str = "/peer/v1/changes";
/// What an agent says of itself.
pub(super) const STATE_PATH: &str = "/peer/v1/state";
/// Before the database that is to be handed over.
pub(super) const DATABASE_PATH: &str = "/peer/v1/database";

/// Before the database that a question is about.
pub(super) const QUESTION_PATH: &str = "/peer/v1/question";
/// Before the database of which some entries are wanted.
pub(super) const ENTRIES_PATH: &str = "/peer/v1/entries";

/// Where the operator orders a restore, and before the ID of one that it asks for.
pub(super) const RESTORES_PATH: &str = "/operator/v1/restores";

/// Longest order, bytes.
pub(super) const LONGEST_ORDER: usize = 64 << 10;

/// How many bytes before an object that is handed over say what it is.
pub(super) const SAYS: HeaderName = HeaderName::from_static("zonetide-says");

/// Longest thing that an agent says of itself or of what it hands over, bytes.
pub(super) const LONGEST_SAYS: usize = 4 << 20;

/// Longest question, and longest description of the entries that are wanted, bytes.
pub(super) const LONGEST_QUESTION: usize = 1 << 20;

/// Longest body of a hello and of the answer to one.
pub(super) const LONGEST_HELLO: usize = 64 << 10;

const LONGEST_INSTANCE: usize = 253;
const LONGEST_NAME: usize = 512;
const LONGEST_BOOT: usize = 64;

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub instance: String,
    /// Made anew at every start.
    pub boot: String,
    /// By database, the time of the newest state that the sender has told or stored.
    pub progress: BTreeMap<String, u64>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub instance: String,
    pub boot: String,
    /// What the clock of who answers says, ns since the epoch; older agents do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<u64>,
}

/// The answer to who asks how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statement {
    pub instance: String,
    pub boot: String,
    pub says: serde_json::Value,
}

/// A name of an instance, in the form that names of objects have it.
pub(super) fn is_instance(name: &str) -> bool {
    (1..=LONGEST_INSTANCE).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

pub(super) fn is_boot(boot: &str) -> bool {
    (1..=LONGEST_BOOT).contains(&boot.len()) && boot.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A name that an object may have here: ASCII letters, digits, `.`, `_` and `-`, beginning with none of the signs.
pub fn is_object_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_does_not_tell_its_time_is_understood_and_one_that_knows_more_too() {
        let welcome = |text: &str| serde_json::from_str::<Welcome>(text).unwrap();
        let older = welcome(r#"{"instance":"a","boot":"1"}"#);
        assert_eq!(older.clock, None);
        assert_eq!(
            serde_json::to_string(&older).unwrap(),
            r#"{"instance":"a","boot":"1"}"#
        );
        let newer = welcome(r#"{"instance":"a","boot":"1","clock":7,"more":1}"#);
        assert_eq!(newer.clock, Some(7));
    }

    #[test]
    fn names_from_the_network_have_few_characters_and_a_length() {
        assert!(is_object_name("main__a-0__20261124-120543-000000001__1-2.pb.zst"));
        for bad in ["", ".", "../x", "a/b", "a b", "a\n", "é", &"a".repeat(513)] {
            assert!(!is_object_name(bad), "{bad:?}");
        }
        assert!(is_instance("ams-dns-example-0"));
        for bad in ["", "a.b", "a_b", "a\r\nb", &"a".repeat(254)] {
            assert!(!is_instance(bad), "{bad:?}");
        }
        assert!(is_boot("0123abc") && !is_boot("") && !is_boot("a-b"));
    }
}
