//! What was written is seen as it was.

use crate::*;

#[tokio::test]
async fn the_state_at_a_time_is_what_the_database_was_then() {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut fleet = Fleet::begin().await;
        for step in 0..60 {
            let n = random.random_range(0..2);
            let key = format!("key{}", random.random_range(0..6));
            fleet.agree();
            match random.random_range(0..10) {
                0..4 => fleet.servers[n].write(&key, &format!("{seed}.{step}")),
                4 => fleet.servers[n].delete(&key),
                5 => fleet.servers[n].send().await,
                6 => fleet.servers[n].receive().await,
                7 => fleet.clean(n, random.random_bool(0.5)).await,
                8 => fleet.pass(random.random_range(0..40 * 60) * SECOND),
                _ => fleet.settle().await,
            }
        }
        fleet.settle().await;
        fleet.check().await;
        for n in 0..2 {
            fleet.clean(n, true).await;
            fleet.clean(n, false).await;
        }
        fleet.check().await;
    }
}

#[tokio::test]
async fn what_was_written_twice_between_two_states_is_seen_twice() {
    let mut fleet = Fleet::begin().await;
    let begin = fleet.now();
    for value in ["1", "2", "3"] {
        fleet.servers[0].write("key", value);
        fleet.servers[0].send().await;
    }
    fleet.servers[0].delete("key");
    fleet.servers[0].send().await;
    fleet.clean(0, true).await;
    fleet.clean(0, false).await;
    assert!(
        fleet.store.deltas().await.len() <= 2,
        "{:?}",
        fleet.store.deltas().await
    );
    let mut past = fleet.past(begin, u64::MAX).await;
    assert_eq!(past.notes, []);
    let mut seen = Vec::new();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    replay(
        &mut past,
        &std::env::temp_dir(),
        u64::MAX,
        |_, key| key == b"key",
        |written| {
            let before = written.before.map(|entry| text(entry.value));
            let after = (!written.after.deleted).then(|| text(written.after.value));
            seen.push((written.instance.to_owned(), written.moment - begin, before, after));
            Ok(())
        },
    )
    .unwrap();
    let of = |value: &str| Some(value.to_owned());
    let a = || "a".to_owned();
    assert_eq!(
        seen,
        [
            (a(), SECOND, None, of("1")),
            (a(), 2 * SECOND, of("1"), of("2")),
            (a(), 3 * SECOND, of("2"), of("3")),
            (a(), 4 * SECOND, of("3"), None)
        ]
    );
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_the_rest_is_shown() {
    let mut fleet = Fleet::begin().await;
    for n in 0..3 {
        fleet.servers[0].write(&format!("key{n}"), "1");
        fleet.servers[0].send().await;
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
    }
    fleet.settle().await;
    let mut segments = fleet.segments().await;
    segments.retain(|name| name.contains("__a__"));
    let segment = segments.last().unwrap();
    fleet.store.put(segment, support::spooled(b"torn")).await.unwrap();
    let (time, content) = fleet.then.last().unwrap();
    let mut past = fleet.past(*time, *time).await;
    let shown = state(&mut past, *time);
    assert!(
        matches!(&past.notes[..], [Note::Damaged { name, .. }] if name == segment),
        "{:?}",
        past.notes
    );
    assert!(shown.len() < content.len() && !shown.is_empty(), "{shown:?}");
}
