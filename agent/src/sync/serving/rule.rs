//! Who may serve when: pure decisions over what is known at a moment.

use std::time::Duration;

use crate::human::span;
use crate::status::Basis;

/// Failures after which a peer counts as one that does not answer: whoever cannot hand anything over must not keep others from
/// serving. One that is busy has failed by a third of that.
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
}

impl PeerSeen {
    fn is_up_to_date(self) -> bool {
        self.basis >= Some(Basis::Peers)
    }

    fn answers(self) -> bool {
        !self.has_more || self.failures < MOST_FAILURES
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
    // The one that failed least, if one has more; one that was stopped may be up to date by what it knew yesterday.
    let more = up_to_date().filter(|(_, peer)| peer.has_more);
    if let Some((number, _)) = more.min_by_key(|(_, peer)| peer.failures) {
        return Step::Take(number);
    }
    if up_to_date().next().is_some() {
        return Step::Serve(Basis::Peers);
    }
    if is_young(rules, &seen.own) {
        return Step::Serve(Basis::OwnData);
    }
    // Nobody is up to date: all that can be reached put together is the best there is.
    if let Some((number, _)) = answering().find(|(_, peer)| peer.has_more) {
        return Step::Take(number);
    }
    if answering().next().is_some() && !seen.own.blank && !seen.own.empty {
        return Step::Serve(Basis::Peers);
    }
    Step::Wait(in_vain(rules, &seen.own, answering().next().is_some()))
}

/// What a server does that serves already and whose store is silent.
pub(super) fn step_while_serving(basis: Basis, peers: &[PeerSeen]) -> Option<Step> {
    let serving = || peers.iter().enumerate().filter(|(_, peer)| peer.basis.is_some());
    if let Some((number, _)) = serving().find(|(_, peer)| peer.has_more && peer.answers()) {
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

/// Why nothing is served though it has ended.
fn in_vain(rules: &Rules, own: &OwnData, somebody: bool) -> String {
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
    let peers = if somebody {
        "no peer has more"
    } else {
        "no peer answers"
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const RULES: Rules = Rules {
        stale_for: Duration::from_secs(168 * 3600),
        store_patience: Duration::from_secs(10),
    };

    /// A server whose store has been silent for long and that has asked, in vain.
    fn alone(in_sync: Option<Duration>) -> Seen {
        Seen {
            bucket: false,
            open: true,
            silent: Some(Duration::from_secs(10)),
            own: OwnData {
                in_sync,
                empty: false,
                blank: false,
            },
            peers: Some(Vec::new()),
        }
    }

    fn peer(basis: Option<Basis>, has_more: bool) -> PeerSeen {
        PeerSeen {
            basis,
            has_more,
            failures: 0,
        }
    }

    fn with(in_sync: Option<Duration>, peers: &[PeerSeen]) -> Seen {
        Seen {
            peers: Some(peers.to_vec()),
            ..alone(in_sync)
        }
    }

    fn waits(seen: &Seen) -> String {
        match step(&RULES, seen) {
            Step::Wait(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_of_the_bucket_is_enough_whatever_else_there_is() {
        let mut seen = Seen {
            bucket: true,
            ..Seen::default()
        };
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::Bucket));
        seen.own.empty = true;
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::Bucket));
    }

    #[test]
    fn a_store_that_answers_is_waited_for_however_long_the_merge_takes() {
        let seen = Seen {
            silent: None,
            ..alone(Some(HOUR))
        };
        assert_eq!(waits(&seen), "merging what the store has");
    }

    #[test]
    fn the_store_has_ten_seconds_and_then_young_own_data_is_served() {
        let mut seen = alone(Some(3 * HOUR));
        seen.silent = Some(Duration::from_millis(3_100));
        assert_eq!(
            waits(&seen),
            "the store does not answer yet; own data of 3h ago may be served in 7 s"
        );
        seen.silent = Some(Duration::from_secs(10));
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::OwnData));
        seen.peers = None;
        assert_eq!(step(&RULES, &seen), Step::Ask);
    }

    #[test]
    fn own_data_is_served_for_a_week_and_not_longer() {
        assert_eq!(
            step(&RULES, &alone(Some(168 * HOUR))),
            Step::Serve(Basis::OwnData)
        );
        let why = waits(&alone(Some(169 * HOUR)));
        assert!(
            why.contains("no peer answers") && why.contains("raise serving.stale_for"),
            "{why}"
        );
        let why = waits(&alone(None));
        assert!(why.contains("not known when") && !why.contains("raise"), "{why}");
    }

    #[test]
    fn zero_brings_the_old_rule_back() {
        let rules = Rules {
            stale_for: Duration::ZERO,
            ..RULES
        };
        let seen = with(Some(Duration::ZERO), &[peer(Some(Basis::Bucket), false)]);
        assert!(matches!(step(&rules, &seen), Step::Wait(why) if why.contains("0s")));
    }

    #[test]
    fn an_up_to_date_peer_is_better_than_own_data() {
        let up_to_date = Some(Basis::Bucket);
        let seen = with(Some(HOUR), &[peer(None, true), peer(up_to_date, true)]);
        assert_eq!(step(&RULES, &seen), Step::Take(1));
        // All of them give what they have first.
        let seen = with(None, &[peer(Some(Basis::Peers), false), peer(up_to_date, true)]);
        assert_eq!(step(&RULES, &seen), Step::Take(1));
        let seen = with(None, &[peer(up_to_date, false), peer(None, true)]);
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::Peers));
        // One that serves its own data is not up to date.
        let seen = with(Some(HOUR), &[peer(Some(Basis::OwnData), true)]);
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::OwnData));
    }

    #[test]
    fn a_peer_that_hands_nothing_over_keeps_nobody_from_serving_own_data() {
        let mut broken = peer(Some(Basis::Bucket), true);
        broken.failures = 2 * FAILURE;
        assert_eq!(step(&RULES, &with(Some(HOUR), &[broken])), Step::Take(0));
        broken.failures = 3 * FAILURE;
        assert_eq!(
            step(&RULES, &with(Some(HOUR), &[broken])),
            Step::Serve(Basis::OwnData)
        );
        let why = waits(&with(None, &[broken]));
        assert!(why.contains("no peer answers"), "{why}");
        // Another one is tried first.
        let (mut first, second) = (broken, peer(Some(Basis::Peers), true));
        first.failures = 1;
        assert_eq!(step(&RULES, &with(None, &[first, second])), Step::Take(1));
    }

    #[test]
    fn when_all_are_too_old_they_exchange_first_and_then_serve() {
        let old = Some(200 * HOUR);
        let seen = with(old, &[peer(None, false), peer(None, true)]);
        assert_eq!(step(&RULES, &seen), Step::Take(1));
        let seen = with(old, &[peer(None, false), peer(None, false)]);
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::Peers));
    }

    #[test]
    fn an_empty_database_is_never_served_by_its_own_age_nor_by_an_exchange_that_brings_nothing() {
        for (empty, blank) in [(true, false), (false, true), (true, true)] {
            for peers in [&[][..], &[peer(None, false)]] {
                let mut seen = with(Some(HOUR), peers);
                (seen.own.empty, seen.own.blank) = (empty, blank);
                let why = waits(&seen);
                assert!(why.contains("empty") && !why.contains("raise"), "{why}");
            }
        }
        // Who is up to date knows that there is nothing.
        let mut seen = with(None, &[peer(Some(Basis::Bucket), false)]);
        seen.own.empty = true;
        assert_eq!(step(&RULES, &seen), Step::Serve(Basis::Peers));
    }

    #[test]
    fn who_serves_takes_what_others_who_serve_have_and_gets_up_to_date_by_them() {
        use Basis::{Bucket, OwnData, Peers};
        let while_serving = |basis, peers: &[PeerSeen]| step_while_serving(basis, peers);
        assert_eq!(while_serving(OwnData, &[peer(None, true)]), None);
        assert_eq!(
            while_serving(Bucket, &[peer(Some(OwnData), true)]),
            Some(Step::Take(0))
        );
        assert_eq!(
            while_serving(OwnData, &[peer(Some(Bucket), false)]),
            Some(Step::Serve(Peers))
        );
        assert_eq!(while_serving(Bucket, &[peer(Some(Bucket), false)]), None);
        assert_eq!(while_serving(OwnData, &[peer(Some(OwnData), false)]), None);
    }

    fn any_basis() -> impl Strategy<Value = Option<Basis>> {
        prop_oneof![
            Just(None),
            Just(Some(Basis::OwnData)),
            Just(Some(Basis::Peers)),
            Just(Some(Basis::Bucket))
        ]
    }

    fn any_peer() -> impl Strategy<Value = PeerSeen> {
        (any_basis(), any::<bool>(), 0..50_u32).prop_map(|(basis, has_more, failures)| PeerSeen {
            basis,
            has_more,
            failures,
        })
    }

    prop_compose! {
        fn any_seen()(
            (bucket, open, empty, blank) in any::<(bool, bool, bool, bool)>(),
            silent in proptest::option::of(0..60_u64),
            in_sync in proptest::option::of(0..400_u32),
            peers in proptest::option::of(proptest::collection::vec(any_peer(), 0..4)),
        ) -> Seen {
            Seen {
                bucket,
                open,
                silent: silent.map(Duration::from_secs),
                own: OwnData { in_sync: in_sync.map(|hours: u32| HOUR * hours), empty, blank },
                peers,
            }
        }
    }

    proptest! {
        #[test]
        fn nobody_serves_without_a_reason(seen in any_seen()) {
            let up_to_date = |more: bool| {
                let peers = seen.peers.iter().flatten();
                peers.filter(|peer| peer.basis >= Some(Basis::Peers)).any(|peer| peer.has_more == more)
            };
            let silent = seen.silent.is_some_and(|silent| silent >= RULES.store_patience);
            match step(&RULES, &seen) {
                Step::Serve(Basis::Bucket) => prop_assert!(seen.bucket),
                Step::Serve(Basis::Peers) => {
                    prop_assert!(silent && seen.open);
                    let somebody = seen.peers.iter().flatten().next().is_some();
                    prop_assert!(up_to_date(false) || somebody && !seen.own.empty && !seen.own.blank);
                }
                Step::Serve(Basis::OwnData) => {
                    prop_assert!(silent && seen.open && !seen.own.empty && !seen.own.blank);
                    prop_assert!(seen.own.in_sync.is_some_and(|ago| ago <= RULES.stale_for));
                    prop_assert!(!up_to_date(false));
                }
                Step::Take(number) => {
                    prop_assert!(silent && seen.peers.as_ref().unwrap()[number].has_more);
                }
                Step::Ask => prop_assert!(seen.peers.is_none()),
                Step::Wait(why) => prop_assert!(!seen.bucket && !why.is_empty()),
            }
        }

        #[test]
        fn more_knowledge_never_takes_a_server_away(seen in any_seen()) {
            if let Step::Serve(basis) = step(&RULES, &seen) {
                let mut better = seen;
                better.bucket = true;
                prop_assert_eq!(step(&RULES, &better), Step::Serve(Basis::Bucket));
                prop_assert!(basis <= Basis::Bucket);
            }
        }
    }
}
