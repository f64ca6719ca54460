use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn held() -> Held {
    Held {
        keys: Keys {
            access_key_id: "id".into(),
            secret_access_key: SecretText::new("s"),
            session_token: Some(SecretText::new("t")),
        },
        made: at(0),
        expires: Some(at(60)),
        source: "moon".into(),
        renewed_for: None,
        supersedes: true,
    }
}

fn needed(held: &Held, asked: Option<&str>, minute: i64) -> Need {
    need(Some(held), "moon", asked, HOUR, at(minute))
}

#[test]
fn keys_are_renewed_when_two_thirds_of_their_life_are_over() {
    assert_eq!(held().renew_at(), Some(at(40)));
    assert_eq!(needed(&held(), None, 39), Need::None);
    assert!(matches!(needed(&held(), None, 40), Need::Wish(why) if why.contains("two thirds")));
    assert!(matches!(needed(&held(), None, 60), Need::Must(why) if why.contains("had ended")));
}

#[test]
fn the_annotation_renews_once_for_each_of_its_values() {
    assert!(matches!(needed(&held(), Some("monday"), 1), Need::Wish(why) if why.contains("annotation")));
    let renewed = Held {
        renewed_for: Some("monday".into()),
        ..held()
    };
    assert_eq!(needed(&renewed, Some("monday"), 1), Need::None);
    assert!(matches!(needed(&renewed, Some("tuesday"), 1), Need::Wish(_)));
    assert_eq!(needed(&renewed, None, 1), Need::None, "taken away again");
}

#[test]
fn without_keys_or_with_keys_to_something_else_there_must_be_new_ones() {
    assert!(matches!(need(None, "moon", None, HOUR, at(0)), Need::Must(_)));
    assert!(matches!(
        need(Some(&held()), "sun", None, HOUR, at(0)),
        Need::Must(_)
    ));
}

#[test]
fn keys_that_live_longer_than_the_spec_says_are_renewed_whenever_that_is_possible() {
    let endless = Held {
        expires: None,
        ..held()
    };
    assert!(matches!(needed(&endless, None, 1), Need::Wish(_)));
    assert_eq!(
        need(Some(&held()), "moon", None, SignedDuration::from_mins(58), at(1)),
        Need::None
    );
    let shortened = SignedDuration::from_mins(30);
    assert!(matches!(
        need(Some(&held()), "moon", None, shortened, at(1)),
        Need::Wish(_)
    ));
}

#[test]
fn what_is_written_beside_the_keys_is_read_back() {
    let data = [
        (ACCESS_KEY_ID, "id"),
        (SECRET_ACCESS_KEY, "s"),
        (SESSION_TOKEN, "t"),
    ];
    let mut secret = crate::testing::secret(&data);
    assert_eq!(Held::read(&secret), None, "a user's, or of an older version");
    for held in [
        held(),
        Held {
            renewed_for: Some("x".into()),
            supersedes: false,
            expires: None,
            ..held()
        },
    ] {
        secret.metadata.annotations = Some(held.annotations());
        assert_eq!(Held::read(&secret), Some(held));
    }
    let shown = format!("{:?}", held());
    assert!(!shown.contains("\"s\"") && !shown.contains("\"t\""), "{shown}");
}
