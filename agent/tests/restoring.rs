//! Restores that are ordered: one at a time, once for each ID, within bounds. A shell stands for the command.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_agent::restoring::{Account, Limits, Order, Reason, Restorer, State};

const DONE: &str = r#"echo '{"result":{"written":1,"left":0}}'"#;
const PLAN: &str = r#"echo '{"plan":{"zones":1,"rrsets":1,"entries":3}}'"#;
const PATIENCE: Duration = Duration::from_secs(60);

fn running(script: &str, limits: Limits) -> Arc<Restorer> {
    // Nothing can be written down there.
    remembering(script, Path::new("/nowhere"), limits)
}

fn remembering(script: &str, folder: &Path, limits: Limits) -> Arc<Restorer> {
    let arguments = ["-c", script, "sh"].map(Into::into).to_vec();
    let variables = vec![("ZT_TEST", "given".to_owned())];
    Arc::new(Restorer::new(
        "/bin/sh".into(),
        arguments,
        variables,
        folder.to_owned(),
        limits,
    ))
}

fn order(id: &str) -> Order {
    Order {
        id: id.to_owned(),
        at: "2026-11-30T10:00:00Z".to_owned(),
        zones: vec!["zone.example".to_owned()],
        all: false,
        dry_run: false,
        despite_gaps: false,
    }
}

async fn comes_to(restorer: &Restorer, id: &str, is_it: impl Fn(&Account) -> bool) -> Account {
    let look = async {
        loop {
            if let Some(account) = restorer.account(id).filter(&is_it) {
                return account;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap()
}

async fn ends(restorer: &Restorer, id: &str) -> Account {
    comes_to(restorer, id, |account| account.finished_at.is_some()).await
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn the_same_order_is_one_run_and_another_waits_until_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (runs, go) = (dir.path().join("runs"), dir.path().join("go"));
    let made = std::process::Command::new("mkfifo").arg(&go).status().unwrap();
    assert!(made.success());
    let script = format!(
        "echo \"$ZT_TEST $*\" >> {runs}; read x < {go}; {PLAN}; {DONE}",
        runs = runs.display(),
        go = go.display()
    );
    let restorer = running(&script, Limits::default());
    assert_eq!(restorer.account("1"), None);
    for _ in 0..3 {
        assert_eq!(restorer.take(order("1")).unwrap().state, State::Planning);
    }
    assert_eq!(restorer.take(order("2")), None, "one at a time");
    let release = || {
        let go = go.clone();
        tokio::task::spawn_blocking(move || std::fs::write(go, "\n").unwrap())
    };
    release().await.unwrap();
    let done = ends(&restorer, "1").await;
    assert_eq!((done.state, done.plan.unwrap().entries), (State::Done, 3));
    assert_eq!(restorer.take(order("1")).unwrap(), done, "it is not done again");
    assert_eq!(lines(&runs), 1);
    assert_eq!(
        std::fs::read_to_string(&runs).unwrap().trim(),
        "given restore --output=json --at=2026-11-30T10:00:00Z --zone=zone.example"
    );
    restorer.take(order("2")).unwrap();
    release().await.unwrap();
    ends(&restorer, "2").await;
    assert_eq!(lines(&runs), 2);
}

#[tokio::test]
async fn what_failed_is_done_again_when_it_is_ordered_again() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let script = format!(
        "if [ -e {0} ]; then {DONE}; else touch {0}; exit 1; fi",
        flag.display()
    );
    let restorer = running(&script, Limits::default());
    restorer.take(order("1")).unwrap();
    let failed = ends(&restorer, "1").await;
    assert_eq!(failed.failed.unwrap().reason, Reason::Ended);
    restorer.take(order("1")).unwrap();
    assert_eq!(ends(&restorer, "1").await.state, State::Done);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_and_so_is_one_that_nobody_asks_for_before_it_writes() {
    let short = Duration::from_millis(300);
    let slow = Limits {
        run: short,
        ..Limits::default()
    };
    let forgotten = Limits {
        interest: short,
        ..Limits::default()
    };
    for (limits, script, reason) in [
        (
            slow,
            format!("{PLAN}; echo $$ > PID; exec sleep 1000"),
            Some(Reason::Slow),
        ),
        (
            forgotten,
            "echo $$ > PID; exec sleep 1000".to_owned(),
            Some(Reason::Abandoned),
        ),
        (forgotten, format!("{PLAN}; sleep 1; {DONE}"), None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let restorer = running(&script.replace("PID", &pid.display().to_string()), limits);
        restorer.take(order("1")).unwrap();
        if reason == Some(Reason::Abandoned) {
            // To look is to ask.
            tokio::time::sleep(3 * short).await;
        }
        let ended = ends(&restorer, "1").await;
        assert_eq!(ended.failed.map(|failed| failed.reason), reason);
        if reason.is_some() {
            let pid = std::fs::read_to_string(pid).unwrap();
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone");
        }
    }
}

#[tokio::test]
async fn one_that_has_said_that_it_writes_is_not_stopped_though_nobody_had_time_to_hear_it() {
    let limits = Limits {
        // Longer than a start of the command takes.
        interest: Duration::from_secs(1),
        ..Limits::default()
    };
    // Which of two that are ready comes first is a matter of chance unless it is said.
    for _ in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let script = format!("{PLAN}; {DONE}; echo x > {}", said.display());
        let restorer = running(&script, limits);
        restorer.take(order("1")).unwrap();
        let since = Instant::now();
        // It is started, and then this thread is busy with something else, as on a machine that is.
        tokio::task::yield_now().await;
        while lines(&said) == 0 || since.elapsed() <= limits.interest {
            assert!(since.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
        // To look is to ask: first it hears what there is.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ends(&restorer, "1").await.failed, None);
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_started_says_why() {
    let (program, folder) = ("/nowhere/agent".into(), "/nowhere".into());
    let restorer = Restorer::new(program, Vec::new(), Vec::new(), folder, Limits::default());
    let restorer = Arc::new(restorer);
    restorer.take(order("1")).unwrap();
    let failed = ends(&restorer, "1").await.failed.unwrap();
    assert!(failed.message.contains("cannot start the command"), "{failed:?}");
}

#[tokio::test]
async fn what_is_done_is_not_done_again_after_a_restart_and_what_failed_is() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("case \"$*\" in *bad*) exit 1;; esac; {PLAN}; {DONE}");
    let restorer = remembering(&script, dir.path(), Limits::default());
    restorer.take(order("1")).unwrap();
    let done = ends(&restorer, "1").await;
    let mut bad = order("2");
    bad.zones = vec!["bad.example".to_owned()];
    restorer.take(bad).unwrap();
    ends(&restorer, "2").await;
    let again = remembering("exit 1", dir.path(), Limits::default());
    assert_eq!(again.take(order("1")).unwrap(), done);
    assert_eq!(again.account("2"), None);
}

#[tokio::test]
async fn what_is_done_is_remembered_and_of_what_failed_the_last_eight() {
    let script = format!("case \"$*\" in *bad*) exit 1;; esac; {PLAN}; {DONE}");
    let restorer = running(&script, Limits::default());
    for number in 0..20 {
        let id = number.to_string();
        let mut order = order(&id);
        if number % 2 == 1 {
            order.zones = vec!["bad.example".to_owned()];
        }
        restorer.take(order).unwrap();
        ends(&restorer, &id).await;
    }
    let known = (0..20).filter(|number| restorer.account(&number.to_string()).is_some());
    let (failed, done): (Vec<_>, Vec<_>) = known.partition(|number| number % 2 == 1);
    assert_eq!((done.len(), failed.len()), (10, 8));
}
