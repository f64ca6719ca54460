//! Who may serve when: pure decisions over what is known at a moment.

use std::time::Duration;

use crate::human::span;
use crate::report::Basis;

/// Failures after which a peer counts as one that does not answer: whoever cannot hand anything over must not keep others from
/// serving. Who has nothing that could be served waits for one that is busy for as long as it takes.
pub(super) const FAILURE: u32 = 10;
pub(super) const MOST_FAILURES: u32 = 3 * FAILURE;

/// What the configuration says.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How old the own data may be; 0: nothing is served without the store.
    pub stale_for: Duration,
    /// How long the store may be silent.
    pub store_patience: Duration,
}

/// What is known of all databases together.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// All that the store had at the first look is merged.
    pub(super) bucket: bool,
    /// All databases are open.
    pub(super) open: bool,
    /// For how long the store has not answered; `None`: it does.
    pub(super) silent: Option<Duration>,
    pub(super) own: OwnData,
    /// Peers had their time to hand something over to one whose own data could be served.
    pub(super) late: bool,
    /// Those who answered; `None`: nobody was asked yet.
    pub(super) peers: Option<Vec<PeerSeen>>,
}

/// The own databases.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnData {
    /// How long ago all of them were in sync; `None`: that is not known of one of them.
    pub(super) in_sync: Option<Duration>,
    /// They have nothing at all.
    pub(super) empty: bool,
    /// One of them has nothing, and it is not known that it is right so.
    pub(super) blank: bool,
}

/// A peer that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PeerSeen {
    /// By what it serves, if it does.
    pub(super) basis: Option<Basis>,
    /// It has something that is not here.
    pub(super) has_more: bool,
    /// What failed of taking it lately, see [`FAILURE`].
    pub(super) failures: u32,
    /// How often it was busy lately: others are asked first.
    pub(super) busy: u32,
}

impl PeerSeen {
    fn is_up_to_date(self) -> bool {
        self.basis >= Some(Basis::Peers)
    }

    fn answers(self) -> bool {
        !self.has_more || self.failures < MOST_FAILURES
    }

    /// The least first.
    fn trouble(self) -> (u32, u32) {
        (self.failures, self.busy)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Serve(Basis),
    /// Take what the peer of this number has.
    Take(usize),
    Ask,
    Wait(String),
}

/// What a server does that does not serve yet.
pub(super) fn step(rules: &Rules, seen: &Seen) -> Step {
    if seen.bucket {
        return Step::Serve(Basis::Bucket);
    }
    let Some(silent) = seen.silent else {
        return Step::Wait("merging what the store has".to_owned());
    };
    if rules.stale_for.is_zero() {
        return Step::Wait(
            "the store does not answer; nothing is served without it (serving.stale_for is 0s)".to_owned(),
        );
    }
    if !seen.open {
        return Step::Wait("not all databases are open".to_owned());
    }
    if silent < rules.store_patience {
        let left = rules.store_patience.saturating_sub(silent);
        return Step::Wait(patient(rules, &seen.own, left));
    }
    let Some(peers) = &seen.peers else {
        return Step::Ask;
    };
    let answering = || peers.iter().enumerate().filter(|(_, peer)| peer.answers());
    let up_to_date = || answering().filter(|(_, peer)| peer.is_up_to_date());
    let is_young = is_young(rules, &seen.own);
    // The one that failed least, if one has more; one that was stopped may be up to date by what it knew yesterday.
    let more = up_to_date().filter(|(_, peer)| peer.has_more);
    if let Some((number, _)) = more.min_by_key(|(_, peer)| peer.trouble())
        && !(is_young && seen.late)
    {
        return Step::Take(number);
    }
    if up_to_date().any(|(_, peer)| !peer.has_more) {
        return Step::Serve(Basis::Peers);
    }
    if is_young {
        return Step::Serve(Basis::OwnData);
    }
    // Who is up to date has what is missing here, and may be able to hand it over soon.
    if peers.iter().any(|peer| peer.is_up_to_date()) {
        let somebody = "an up to date peer answers and has not handed over what it has";
        return Step::Wait(in_vain(rules, &seen.own, somebody));
    }
    // Nobody is up to date: all that can be reached put together is the best there is. It gets no younger by that.
    let more = answering().filter(|(_, peer)| peer.has_more);
    if let Some((number, _)) = more.min_by_key(|(_, peer)| peer.trouble()) {
        return Step::Take(number);
    }
    let somebody = answering().next().is_some();
    if somebody && !seen.own.blank && !seen.own.empty {
        return Step::Serve(Basis::OwnData);
    }
    let nobody = if somebody {
        "no peer has more"
    } else {
        "no peer answers"
    };
    Step::Wait(in_vain(rules, &seen.own, nobody))
}

/// What a server does that serves already and whose store is silent.
pub(super) fn step_while_serving(basis: Basis, peers: &[PeerSeen]) -> Option<Step> {
    let serving = || peers.iter().enumerate().filter(|(_, peer)| peer.basis.is_some());
    let more = serving().filter(|(_, peer)| peer.has_more && peer.answers());
    if let Some((number, _)) = more.min_by_key(|(_, peer)| peer.trouble()) {
        return Some(Step::Take(number));
    }
    let caught_up = serving().any(|(_, peer)| peer.is_up_to_date() && !peer.has_more);
    (caught_up && basis < Basis::Peers).then_some(Step::Serve(Basis::Peers))
}

/// The own data may be served on its own.
pub(super) fn is_young(rules: &Rules, own: &OwnData) -> bool {
    !own.empty && !own.blank && own.in_sync.is_some_and(|ago| ago <= rules.stale_for)
}

/// Why nothing is served before the patience with the store has ended.
fn patient(rules: &Rules, own: &OwnData, left: Duration) -> String {
    // Whole seconds, and none is told before it has ended.
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let then = match own.in_sync {
        Some(ago) if is_young(rules, own) => {
            format!("own data of {} ago may be served in {seconds} s", span(ago))
        }
        _ => format!("peers are asked in {seconds} s"),
    };
    format!("the store does not answer yet; {then}")
}

/// Why nothing is served though it has ended; `peers`: what is to be said of them.
fn in_vain(rules: &Rules, own: &OwnData, peers: &str) -> String {
    let stale_for = span(rules.stale_for);
    let own_data = match own.in_sync {
        _ if own.empty => "the database is empty".to_owned(),
        _ if own.blank => "one of the databases is empty".to_owned(),
        Some(ago) => format!(
            "own data was last in sync {} ago, longer than serving.stale_for ({stale_for})",
            span(ago)
        ),
        None => "it is not known when own data was last in sync".to_owned(),
    };
    let remedy = match own.in_sync {
        Some(_) if !own.empty && !own.blank => {
            "bring the bucket or a peer back, or raise serving.stale_for to serve what is here"
        }
        _ => "bring the bucket or a peer back",
    };
    format!("the store does not answer, {peers}, and {own_data}: {remedy}")
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
