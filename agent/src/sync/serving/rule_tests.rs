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
        late: false,
        peers: Some(Vec::new()),
    }
}

fn peer(basis: Option<Basis>, has_more: bool) -> PeerSeen {
    PeerSeen {
        basis,
        has_more,
        failures: 0,
        busy: 0,
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
    assert!(
        why.contains("an up to date peer answers and has not handed over"),
        "{why}"
    );
    // Another one is tried first.
    let (mut first, second) = (broken, peer(Some(Basis::Peers), true));
    first.failures = 1;
    assert_eq!(step(&RULES, &with(None, &[first, second])), Step::Take(1));
}

#[test]
fn peers_that_had_their_time_keep_nobody_from_serving_own_data() {
    let late = |in_sync, peers: &[PeerSeen]| Seen {
        late: true,
        ..with(in_sync, peers)
    };
    let (level, more) = (peer(Some(Basis::Peers), false), peer(Some(Basis::Bucket), true));
    assert_eq!(
        step(&RULES, &late(Some(HOUR), &[more])),
        Step::Serve(Basis::OwnData)
    );
    assert_eq!(
        step(&RULES, &late(Some(HOUR), &[more, level])),
        Step::Serve(Basis::Peers)
    );
    assert_eq!(step(&RULES, &late(Some(200 * HOUR), &[more])), Step::Take(0));
}

#[test]
fn when_all_are_too_old_they_exchange_first_and_then_serve() {
    let old = Some(200 * HOUR);
    let seen = with(old, &[peer(None, false), peer(None, true)]);
    assert_eq!(step(&RULES, &seen), Step::Take(1));
    let seen = with(old, &[peer(None, false), peer(None, false)]);
    assert_eq!(step(&RULES, &seen), Step::Serve(Basis::OwnData));
    // Not as long as somebody answers who knows better, whether or not it could hand it over yet.
    let mut broken = peer(Some(Basis::Bucket), true);
    broken.failures = MOST_FAILURES;
    waits(&with(old, &[broken, peer(None, true)]));
    waits(&with(old, &[broken, peer(None, false)]));
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
    (any_basis(), any::<bool>(), 0..50_u32, 0..5_u32).prop_map(|(basis, has_more, failures, busy)| PeerSeen {
        basis,
        has_more,
        failures,
        busy,
    })
}

prop_compose! {
    fn any_seen()(
        (bucket, open, empty, blank) in any::<(bool, bool, bool, bool)>(),
        silent in proptest::option::of(0..60_u64),
        in_sync in proptest::option::of(0..400_u32),
        late in any::<bool>(),
        peers in proptest::option::of(proptest::collection::vec(any_peer(), 0..4)),
    ) -> Seen {
        Seen {
            bucket,
            open,
            silent: silent.map(Duration::from_secs),
            own: OwnData { in_sync: in_sync.map(|hours: u32| HOUR * hours), empty, blank },
            late,
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
                prop_assert!(silent && seen.open && up_to_date(false));
            }
            Step::Serve(Basis::OwnData) => {
                prop_assert!(silent && seen.open && !seen.own.empty && !seen.own.blank);
                let somebody = seen.peers.iter().flatten().next().is_some();
                let put_together = somebody && !up_to_date(true);
                prop_assert!(put_together || seen.own.in_sync.is_some_and(|ago| ago <= RULES.stale_for));
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
