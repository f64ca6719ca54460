//! Putting history away, together, and thinning it.

use crate::*;

#[tokio::test]
async fn segments_are_put_together_by_the_hour_and_the_day_and_nothing_is_lost() {
    let mut fleet = Fleet::begin().await;
    let mut most = 0;
    for n in 0..3 * 24 * 4 {
        fleet.servers[n % 2].write(&format!("key{}", n % 5), &n.to_string());
        if n % 16 == 0 {
            fleet.settle().await;
        } else {
            fleet.servers[n % 2].send().await;
        }
        fleet.clean(n % 2, n % 8 < 2).await;
        fleet.pass(15 * 60 * SECOND);
        most = most.max(fleet.segments().await.len());
    }
    fleet.settle().await;
    // Of each server days, the hours of one, and the quarters of an hour or two.
    assert!(most <= 2 * (3 + 25 + 10), "{most} segments");
    assert_eq!(fleet.bases().await.len(), 1);
    fleet.check().await;
}

#[tokio::test]
async fn a_process_that_ends_between_storing_and_removing_loses_and_doubles_nothing() {
    let mut fleet = Fleet::begin().await;
    for n in 0..8 {
        fleet.servers[0].write("key", &n.to_string());
        fleet.settle().await;
    }
    fleet.servers[0].replica.send(true).await.unwrap();
    // The deltas are back, as if they had not been removed yet.
    let mut before = Vec::new();
    for delta in fleet.store.deltas().await {
        let object = fleet.store.get(&delta.name, support::spooled(b"")).await.unwrap();
        before.push((delta.name, object.unwrap()));
    }
    fleet.clean(0, false).await;
    let segments = fleet.segments().await;
    assert!(!segments.is_empty());
    for (name, object) in before {
        fleet.store.put(&name, object).await.unwrap();
    }
    // A new process knows nothing of the segments but what it lists.
    fleet.cleaners[0] = Cleaner::with_history(History::new(KEEP));
    fleet.clean(0, false).await;
    assert_eq!(fleet.segments().await, segments);
    fleet.check().await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_cleaned_all_the_same() {
    let mut fleet = Fleet::begin().await;
    for value in ["1", "2"] {
        fleet.servers[0].write("key", value);
        fleet.servers[0].replica.send(true).await.unwrap();
    }
    let deltas = fleet.store.deltas().await.len();
    let refuses = |refuses| {
        fleet
            .store
            .refuses_writes
            .store(refuses, std::sync::atomic::Ordering::Relaxed);
    };
    refuses(true);
    let start = Instant::now();
    let (server, cleaner) = (&fleet.servers[0], &mut fleet.cleaners[0]);
    let error = cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, start)
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("cannot keep the history"),
        "{error}"
    );
    assert_eq!(
        fleet.store.deltas().await.len(),
        deltas,
        "they are kept for a while"
    );
    let later = start + Duration::from_secs(3600);
    cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, later)
        .await
        .unwrap_err();
    assert!(fleet.store.deltas().await.len() < deltas);
    refuses(false);
    cleaner
        .clean_own_deltas(&server.replica, Duration::ZERO, later)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_and_all_else_can_still_be_seen() {
    let mut fleet = Fleet::begin().await;
    for day in 0..80 {
        fleet.servers[0].write("key", &day.to_string());
        fleet.settle().await;
        fleet.clean(0, true).await;
        fleet.clean(0, false).await;
        fleet.pass(DAY);
    }
    let from = fleet.now() - 30 * DAY;
    fleet.then.retain(|(time, _)| *time > from);
    assert!(fleet.then.len() >= 29);
    fleet.check().await;
    let (segments, bases) = (fleet.segments().await, fleet.bases().await);
    assert!(bases.len() <= 3, "{bases:?}");
    assert!(segments.len() <= 55, "{}", segments.len());
    let listed = |names: &[String]| {
        let listed = names.iter().map(|name| zonetide_agent::store::Listed {
            name: name.clone(),
            size: 0,
            modified: None,
        });
        listed.collect::<Vec<_>>()
    };
    let catalog = Catalog::sort("main", &listed(&segments), &listed(&bases));
    assert!(catalog.bases().next().unwrap().time() <= from);
}
