//! The last things that happened, for the page: a few, whatever happens.

use std::collections::VecDeque;

/// Events kept of each kind.
const MOST: usize = 25;
/// Longest text of an event or an error, characters: what a store says comes after a long name and a longer URL.
const LONGEST: usize = 600;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Merged,
    Stored,
    Removed,
    Swept,
    Failed,
    Recovered,
    Corrupt,
    Raised,
    Cleared,
}

impl EventKind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Stored => "stored",
            Self::Removed => "removed",
            Self::Swept => "swept",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Corrupt => "corrupt",
            Self::Raised => "warning",
            Self::Cleared => "over",
        }
    }
}

/// One thing, or the same one several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// What was done: `list`, `read`, `write`, … or the name of a condition.
    pub step: &'static str,
    pub text: String,
    /// When it happened first and last, ns since the epoch.
    pub first: u64,
    pub last: u64,
    pub times: u64,
}

/// The newest events, newest last.
#[derive(Debug, Clone, Default)]
pub struct Events(VecDeque<Event>);

impl Events {
    /// Adds an event; the oldest goes when there are too many. The same step failing again is the same event.
    pub fn push(&mut self, kind: EventKind, step: &'static str, text: &str, now: u64) {
        let mut event = Event {
            kind,
            step,
            text: shortened(text),
            first: now,
            last: now,
            times: 1,
        };
        if kind == EventKind::Failed
            && let Some(at) = self.0.iter().rposition(|old| old.step == step)
            && self.0[at].kind == kind
            && let Some(old) = self.0.remove(at)
        {
            event.first = old.first;
            event.times = old.times + 1;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// The step's last event is a failure.
    pub fn is_failing(&self, step: &str) -> bool {
        let last = self.0.iter().rev().find(|event| event.step == step);
        last.is_some_and(|event| event.kind == EventKind::Failed)
    }

    /// Newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().rev()
    }
}

/// A text that fits a page.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_go_and_long_texts_are_cut() {
        let mut events = Events::default();
        for second in 0..1_000 {
            events.push(EventKind::Merged, "merge", &"é".repeat(1_000), second);
        }
        let kept: Vec<_> = events.newest_first().collect();
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0].first, 999);
        assert_eq!(kept[0].text.chars().count(), LONGEST + 1);
    }

    #[test]
    fn an_outage_is_one_event_until_it_is_over() {
        let mut events = Events::default();
        for second in 0..10 {
            events.push(EventKind::Failed, "list", "no route", second);
            events.push(EventKind::Failed, "write", "no route", second);
        }
        events.push(EventKind::Recovered, "list", "after 10 failures", 10);
        events.push(EventKind::Failed, "list", "timed out", 11);
        let shown: Vec<_> = events
            .newest_first()
            .map(|event| (event.step, event.times, event.first, event.last))
            .collect();
        assert_eq!(
            shown,
            [
                ("list", 1, 11, 11),
                ("list", 1, 10, 10),
                ("write", 10, 0, 9),
                ("list", 10, 0, 9)
            ]
        );
    }
}
