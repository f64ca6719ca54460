//! When keys are renewed, and what is remembered of them beside them in the Secret. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;

use super::Keys;
use crate::{
    names::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN},
    secret::SecretText,
};

const MADE: &str = "zonetide.dev/keys-made-at";
const EXPIRE: &str = "zonetide.dev/keys-expire-at";
const SOURCE: &str = "zonetide.dev/keys-source";
const RENEWED_FOR: &str = "zonetide.dev/keys-renewed-for";
const SUPERSEDE: &str = "zonetide.dev/keys-supersede-others";

/// Keys that a source has made, as our Secret holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub keys: Keys,
    pub made: Timestamp,
    pub expires: Option<Timestamp>,
    /// Fingerprint of what they are good for: store, bucket, prefix and the way they were made.
    pub source: String,
    /// What the annotation that asks for new ones said when they were made.
    pub renewed_for: Option<String>,
    /// There may be older ones that are still good, until all agents use these.
    pub supersedes: bool,
}

/// What the keys in a Secret of ours are good for, whoever made them: see [`Held::source`].
pub fn source(secret: &Secret) -> Option<&String> {
    secret.metadata.annotations.as_ref()?.get(SOURCE)
}

/// What is written beside keys that nobody of ours made.
pub fn source_annotation(source: String) -> BTreeMap<String, String> {
    BTreeMap::from([(SOURCE.to_owned(), source)])
}

/// Whether other keys are needed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The present ones are good.
    None,
    /// It is time for others, and without them the present ones go on.
    Wish(&'static str),
    /// There are none, or they are good for nothing.
    Must(&'static str),
}

impl Held {
    /// What the Secret holds. None when that is not keys that a source of ours has made.
    pub fn read(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |key: &str| {
            let bytes = data.get(key)?.0.clone();
            String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
        };
        let annotations = secret.metadata.annotations.as_ref()?;
        let time = |key: &str| annotations.get(key)?.parse::<Timestamp>().ok();
        Some(Self {
            keys: Keys {
                access_key_id: text(ACCESS_KEY_ID)?,
                secret_access_key: SecretText::new(text(SECRET_ACCESS_KEY)?),
                session_token: text(SESSION_TOKEN).map(SecretText::new),
            },
            made: time(MADE)?,
            expires: time(EXPIRE),
            source: annotations.get(SOURCE)?.clone(),
            renewed_for: annotations.get(RENEWED_FOR).cloned(),
            supersedes: annotations.contains_key(SUPERSEDE),
        })
    }

    /// What is written beside the keys.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (MADE.to_owned(), self.made.to_string()),
            (SOURCE.to_owned(), self.source.clone()),
        ]);
        if let Some(expires) = self.expires {
            annotations.insert(EXPIRE.to_owned(), expires.to_string());
        }
        if let Some(asked) = &self.renewed_for {
            annotations.insert(RENEWED_FOR.to_owned(), asked.clone());
        }
        if self.supersedes {
            annotations.insert(SUPERSEDE.to_owned(), "true".to_owned());
        }
        annotations
    }

    /// When two thirds of their life are over.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let life = self.expires?.duration_since(self.made);
        self.made.checked_add(life.saturating_mul(2) / 3).ok()
    }

    /// They have ended, or will before they arrive anywhere.
    pub fn ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Whether keys are needed. `source` is what they must be good for, `asked` what the annotation says, and `lifetime` how long
/// new ones would live: when that has been shortened, those that live longer are renewed.
pub fn need(
    held: Option<&Held>,
    source: &str,
    asked: Option<&str>,
    lifetime: SignedDuration,
    now: Timestamp,
) -> Need {
    let Some(held) = held else {
        return Need::Must("there were none");
    };
    if held.source != source {
        return Need::Must("they were for another store, bucket or prefix, or made in another way");
    }
    if held.ended(now) {
        return Need::Must("they had ended");
    }
    if asked.is_some() && asked != held.renewed_for.as_deref() {
        return Need::Wish("the annotation zonetide.dev/renew-credentials asked for it");
    }
    if held.renew_at().is_some_and(|time| time <= now) {
        return Need::Wish("two thirds of their life were over");
    }
    let longest = held.made.checked_add(lifetime).ok();
    if held.expires.is_none() || longest.is_some_and(|end| held.expires > end.checked_add(SLACK).ok()) {
        return Need::Wish("they lived longer than the spec says");
    }
    Need::None
}

/// Clocks of stores and ours may differ by this much.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
