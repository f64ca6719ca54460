//! Questions to agents, and whole databases from one to another.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use zonetide_agent::peers::{NotGiven, Questions, Source, Whole};

use crate::agent::{Agent, PATIENCE, TOKEN, listen, until, with_list};

const STATE: &str = "/peer/v1/state";
const DATABASE: &str = "/peer/v1/database/main";
const QUESTION: &str = "/peer/v1/question/main";
const ENTRIES: &str = "/peer/v1/entries/main";
/// Far more than fits into buffers on the way.
const LARGE: usize = 64 << 20;

/// A database that never changes.
pub(crate) struct Still {
    object: Vec<u8>,
    holds: AtomicBool,
    arrived: Notify,
    released: Notify,
}

impl Still {
    pub(crate) fn of(bytes: usize) -> Arc<Self> {
        let mut noise = 1_u32;
        let mut byte = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        Arc::new(Self {
            object: (0..bytes).map(|_| byte()).collect(),
            holds: AtomicBool::new(false),
            arrived: Notify::new(),
            released: Notify::new(),
        })
    }
}

#[async_trait]
impl Source for Still {
    async fn say(&self) -> Option<Value> {
        Some(json!({"well": true}))
    }

    async fn hand_over(&self, database: &str) -> Option<Whole> {
        assert_eq!(database, "main");
        if self.holds.swap(false, Ordering::Relaxed) {
            self.arrived.notify_one();
            self.released.notified().await;
        }
        let mut object = tempfile::spooled_tempfile(1 << 20);
        object.write_all(&self.object).unwrap();
        Some(Whole {
            says: json!({"states": [1, 2, 3]}),
            object,
            size: self.object.len() as u64,
        })
    }

    async fn answer(&self, from: Option<&str>, database: &str, question: Value) -> Option<Value> {
        (question != "what nobody knows").then(|| json!([from, database, question]))
    }

    async fn entries(&self, _database: &str, wanted: Value) -> Option<Whole> {
        let object = wanted.to_string().into_bytes();
        let mut spool = tempfile::spooled_tempfile(1 << 20);
        spool.write_all(&object).unwrap();
        Some(Whole {
            says: Value::Null,
            size: object.len() as u64,
            object: spool,
        })
    }
}

fn questions(agent: &Agent) -> Questions {
    agent.peers.questions().unwrap()
}

async fn take(asking: &Agent, from: &Agent, most: u64) -> Result<(Value, Vec<u8>), NotGiven> {
    let address = format!("http://{}", from.address);
    let spool = tempfile::spooled_tempfile(1 << 20);
    let taken = questions(asking).take(&address, "main", spool, most).await?;
    let (mut object, mut content) = (taken.object, Vec::new());
    object.read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, taken.size);
    Ok((taken.says, content))
}

#[tokio::test]
async fn a_peer_says_how_it_is_and_hands_a_large_database_over() {
    let a = Agent::lonely("a").await;
    let still = Still::of(3 << 20);
    a.peers.answer_by(still.clone());
    let b = Agent::telling("b", with_list(&[a.address])).await;
    b.reaches(&a).await;
    let answers = questions(&b).ask().await;
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].instance.as_str(), &answers[0].says),
        ("a", &json!({"well": true}))
    );
    let (says, content) = take(&b, &a, u64::MAX).await.unwrap();
    assert_eq!(says, json!({"states": [1, 2, 3]}));
    assert!(content == still.object, "it is not what was handed over");
}

#[tokio::test]
async fn nothing_is_said_nor_given_to_strangers_namesakes_or_before_it_can_be() {
    let a = Agent::lonely("a").await;
    for path in [STATE, DATABASE, QUESTION, ENTRIES] {
        let early = a.post(path).send().await.unwrap();
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    a.peers.answer_by(Still::of(10));
    for path in [STATE, DATABASE, QUESTION, ENTRIES] {
        let stranger = a.post_with("another-token-than-the-right-one", path);
        assert_eq!(
            stranger.send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}{path}", a.address);
        let nameless = client.post(&url).bearer_auth(TOKEN);
        assert_eq!(
            nameless.send().await.unwrap().status(),
            StatusCode::BAD_REQUEST,
            "{path}"
        );
        let namesake = client.post(&url).bearer_auth(TOKEN);
        let namesake = namesake
            .header("zonetide-instance", "a")
            .header("zonetide-boot", "1");
        assert_eq!(
            namesake.send().await.unwrap().status(),
            StatusCode::CONFLICT,
            "{path}"
        );
        assert_eq!(
            a.post(path).body("null").send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let unknown = a.post("/peer/v1/database/another").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_question_about_a_database_is_answered_and_the_entries_come_that_are_wanted() {
    let a = Agent::lonely("a").await;
    a.peers.answer_by(Still::of(10));
    let b = Agent::telling("b", with_list(&[a.address])).await;
    b.reaches(&a).await;
    let asking = questions(&b);
    let reached: Vec<_> = asking.reached().into_iter().collect();
    let [(name, address)] = &reached[..] else {
        panic!("{reached:?}")
    };
    assert_eq!(name, "a");
    let limit = std::time::Duration::from_secs(5);
    let ask = async |database: &str, question: Value| {
        let asking = asking.clone();
        asking.question(address, database, &question, limit).await
    };
    let long = "x".repeat(500_000);
    let answer = ask("main", json!(long)).await;
    assert_eq!(answer, Ok(json!(["b", "main", long])));
    assert!(
        ask("main", json!("what nobody knows"))
            .await
            .unwrap_err()
            .contains("503")
    );
    assert!(ask("another", json!(1)).await.unwrap_err().contains("404"));
    assert!(ask("main", json!("x".repeat(2 << 20))).await.is_err());
    let wanted = json!({"records": [1, 2]});
    let spool = tempfile::spooled_tempfile(1 << 20);
    let given = asking
        .entries(address, "main", &wanted, spool, u64::MAX)
        .await
        .unwrap();
    let (mut object, mut content) = (given.object, String::new());
    object.read_to_string(&mut content).unwrap();
    assert_eq!(content, wanted.to_string());
    let spool = tempfile::spooled_tempfile(1 << 20);
    let most = content.len() as u64 - 1;
    assert!(
        asking
            .entries(address, "main", &wanted, spool, most)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn who_does_not_know_the_question_or_does_not_answer_is_not_among_the_answers() {
    let a = Agent::lonely("a").await;
    a.peers.answer_by(Still::of(10));
    // An agent of before, one that never answers, and one that is not there.
    let (old, old_address) = listen().await;
    tokio::spawn(async move { axum::serve(old, Router::new()).await.unwrap() });
    let (silent, silent_address) = listen().await;
    let (gone, gone_address) = listen().await;
    drop(gone);
    let mut settings = with_list(&[old_address, silent_address, gone_address, a.address]);
    settings.request_timeout = std::time::Duration::from_secs(1);
    let b = Agent::telling("b", settings).await;
    b.reaches(&a).await;
    let answers = questions(&b).ask().await;
    let names: Vec<_> = answers.iter().map(|answer| answer.instance.as_str()).collect();
    assert_eq!(names, ["a"]);
    drop(silent);
}

#[tokio::test]
async fn an_agent_does_not_ask_itself_and_asks_one_with_two_addresses_once() {
    let (listener, own) = listen().await;
    let a = Agent::lonely("a").await;
    a.peers.answer_by(Still::of(10));
    let mut settings = with_list(&[own, a.address]);
    settings
        .list
        .push(format!("http://localhost:{}", a.address.port()));
    let b = Agent::start("b", listener, settings, Arc::default());
    b.peers.answer_by(Still::of(10));
    b.reaches(&a).await;
    until("it knows its own address", || b.stands(own, "own")).await;
    let answers = questions(&b).ask().await;
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn one_database_is_handed_over_at_a_time_and_who_waits_holds_up_no_change() {
    let mut a = Agent::lonely("a").await;
    // Not a's own field any more, so that both can be used at a time.
    let mut arrivals = std::mem::replace(&mut a.arrivals, tokio::sync::mpsc::channel(1).1);
    let still = Still::of(10);
    a.peers.answer_by(still.clone());
    let b = Agent::telling("b", with_list(&[a.address])).await;
    b.reaches(&a).await;
    still.holds.store(true, Ordering::Relaxed);
    let (first, second) = tokio::join!(take(&b, &a, 100), async {
        still.arrived.notified().await;
        let second = take(&b, &a, 100).await;
        assert_eq!(questions(&b).ask().await.len(), 1);
        b.tell("n", 5);
        let arrived = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
        assert_eq!(arrived.unwrap().unwrap().changes.name, "n");
        still.released.notify_one();
        second
    });
    assert_eq!(first.unwrap().1, still.object);
    assert_eq!(second.unwrap_err(), NotGiven::Busy);
    // The turn is over.
    until_taken(&b, &a).await;
}

/// The turn ends a moment after the last byte.
async fn until_taken(asking: &Agent, from: &Agent) {
    let taking = async {
        while take(asking, from, u64::MAX).await == Err(NotGiven::Busy) {
            tokio::task::yield_now().await;
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taking).await;
    assert!(taken.is_ok(), "the turn never ends");
}

#[tokio::test]
async fn who_goes_away_half_way_gives_its_turn_back() {
    let a = Agent::lonely("a").await;
    a.peers.answer_by(Still::of(LARGE));
    let b = Agent::telling("b", with_list(&[a.address])).await;
    b.reaches(&a).await;
    let half_way = a.post(DATABASE).send().await.unwrap();
    assert_eq!(half_way.status(), StatusCode::OK);
    assert_eq!(take(&b, &a, u64::MAX).await.unwrap_err(), NotGiven::Busy);
    drop(half_way);
    until_taken(&b, &a).await;
}

#[tokio::test]
async fn more_than_is_allowed_and_less_than_was_announced_is_no_database() {
    let a = Agent::lonely("a").await;
    a.peers.answer_by(Still::of(1000));
    let b = Agent::telling("b", with_list(&[a.address])).await;
    let failed = |taken: Result<_, NotGiven>| match taken {
        Err(NotGiven::Failed(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let reason = failed(take(&b, &a, 999).await);
    assert!(reason.contains("more than 999"), "{reason}");
    // One that ends half-way.
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await.unwrap();
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nzonetide-says: 2\r\n\r\n{}half";
        connection.write_all(half).await.unwrap();
    });
    let spool = tempfile::spooled_tempfile(1 << 20);
    let (questions, address) = (questions(&b), format!("http://{address}"));
    let taken = questions.take(&address, "main", spool, 1000).await;
    let reason = failed(taken.map(|whole| (whole.says, Vec::<u8>::new())));
    assert!(!reason.is_empty());
}
