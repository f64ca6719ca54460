//! What is kept out of the zones because its time is yet to come: how much that is, and whose.

use std::collections::BTreeMap;

use crate::sync::database::quarantine::Summary;

#[derive(Default)]
pub(in crate::sync) struct KeptOut {
    /// What is kept; `None`: it was not looked at yet.
    pub(in crate::sync) summary: Option<Summary>,
    /// By instance, the newest time of what there was no room for, ns since the epoch.
    no_room: BTreeMap<String, u64>,
}

impl KeptOut {
    /// Something of an instance is not merged before its time comes: its objects may be all that have it.
    pub(in crate::sync) fn has_any_of(&self, instance: &str) -> bool {
        let kept = self.summary.as_ref();
        // Until it was looked at, something may be.
        self.lacks_room_for(instance) || kept.is_none_or(|kept| kept.senders.contains_key(instance))
    }

    /// Nothing is, whoever has sent it.
    pub(in crate::sync) fn is_nothing(&self) -> bool {
        let kept = self.summary.as_ref();
        self.no_room.is_empty() && kept.is_some_and(|kept| kept.senders.is_empty())
    }

    /// There was no room for something of an instance: it is not here at all.
    pub(in crate::sync) fn lacks_room_for(&self, instance: &str) -> bool {
        self.no_room.contains_key(instance)
    }

    /// Those instances.
    pub(in crate::sync) fn without_room(&self) -> Vec<String> {
        self.no_room.keys().cloned().collect()
    }

    /// There was no room for something of an instance with times up to this one, ns since the epoch.
    pub(in crate::sync) fn had_no_room(&mut self, instance: &str, newest: u64) {
        let known = self.no_room.entry(instance.to_owned()).or_default();
        *known = newest.max(*known);
    }

    /// Entries of times up to this one may be merged, ns since the epoch. Returns the instances whose objects are to be read again for
    /// what there was no room for.
    pub(in crate::sync) fn can_be_read_again(&mut self, limit: u64) -> Vec<String> {
        let again = self.no_room.extract_if(.., |_, newest| *newest <= limit);
        again.map(|(instance, _)| instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_no_room_for_is_read_again_when_all_of_it_can_be_merged() {
        let mut kept = KeptOut::default();
        assert!(kept.has_any_of("a") && !kept.is_nothing(), "it was not looked at");
        kept.summary = Some(Summary::default());
        assert!(!kept.has_any_of("a") && kept.is_nothing());
        kept.had_no_room("a", 20);
        kept.had_no_room("a", 10);
        assert!(kept.has_any_of("a") && !kept.has_any_of("b") && !kept.is_nothing());
        assert!(kept.can_be_read_again(19).is_empty());
        assert_eq!(kept.can_be_read_again(20), ["a"]);
        assert!(kept.is_nothing());
    }
}
