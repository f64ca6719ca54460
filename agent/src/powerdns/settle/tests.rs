use super::*;

fn name(zone: &str, name: &str) -> Plan {
    Plan {
        purges: vec![Purge::Names {
            zone: zone.into(),
            names: vec![name.into()],
        }],
        ..Plan::default()
    }
}

fn new_zone(zone: &str) -> Plan {
    Plan {
        rediscover: true,
        purges: vec![Purge::Zone(zone.into())],
        ..Plan::default()
    }
}

fn sent(orders: Orders) -> Vec<String> {
    orders.commands().iter().map(Command::line).collect()
}

struct Bench {
    settle: Settle,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            settle: Settle::new(start),
            start,
        }
    }

    fn at(&mut self, millis: u64, plan: Plan) -> Vec<String> {
        let now = self.start + Duration::from_millis(millis);
        sent(self.settle.orders(plan, now))
    }

    fn next(&self) -> Option<u128> {
        let next = self.settle.next()?;
        Some(next.duration_since(self.start).as_millis())
    }
}

#[test]
fn a_change_empties_its_zone_at_once_and_once_more_for_answers_that_were_on_their_way() {
    let mut bench = Bench::new();
    assert_eq!(bench.at(0, name("z.", "a.z.")), ["PURGE a.z. z.$"]);
    assert_eq!(bench.next(), Some(250));
    assert!(bench.at(249, Plan::default()).is_empty());
    assert_eq!(bench.at(250, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.next(), None);
}

#[test]
fn of_a_zone_that_changes_all_the_time_names_are_flushed_at_once_and_the_rest_at_intervals() {
    let mut bench = Bench::new();
    bench.at(0, name("z.", "a.z."));
    assert_eq!(bench.at(10, name("z.", "b.z.")), ["PURGE b.z."]);
    assert_eq!(bench.at(200, name("z.", "c.z.")), ["PURGE c.z."]);
    assert_eq!(bench.at(210, name("y.", "a.y.")), ["PURGE a.y. y.$"]);
    // What changed at 200 may still be on its way at 250.
    assert_eq!(bench.at(250, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.at(500, Plan::default()), ["PURGE y.$ z.$"]);
    assert_eq!(bench.next(), None);
    assert_eq!(bench.at(600, name("z.", "a.z.")), ["PURGE a.z. z.$"]);
}

#[test]
fn what_was_written_here_is_flushed_once_when_questions_from_before_are_answered() {
    let mut bench = Bench::new();
    let here = || Plan {
        purges: vec![Purge::ZoneSoon("z.".into())],
        ..Plan::default()
    };
    assert!(bench.at(0, here()).is_empty());
    assert_eq!(bench.next(), Some(100));
    assert_eq!(bench.at(100, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.next(), None);
    // All the time: a few times a second.
    for millis in [200, 250] {
        assert!(bench.at(millis, here()).is_empty());
    }
    assert_eq!(bench.at(300, here()), ["PURGE z.$"]);
    assert!(bench.at(400, here()).is_empty());
    assert_eq!(bench.next(), Some(550));
    assert_eq!(bench.at(550, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.next(), None);
    // What comes from elsewhere meanwhile does not wait.
    assert!(bench.at(600, here()).is_empty());
    assert_eq!(bench.at(610, name("z.", "a.z.")), ["PURGE a.z. z.$"]);
    assert_eq!(bench.at(620, name("z.", "b.z.")), ["PURGE b.z."]);
    assert_eq!(bench.at(700, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.at(950, Plan::default()), ["PURGE z.$"]);
    assert_eq!(bench.next(), None);
}

#[test]
fn what_concerns_a_whole_zone_never_waits() {
    let mut bench = Bench::new();
    let zone = || Plan {
        purges: vec![Purge::Zone("z.".into())],
        ..Plan::default()
    };
    assert_eq!(bench.at(0, zone()), ["PURGE z.$"]);
    assert_eq!(bench.at(1, zone()), ["PURGE z.$"]);
}

#[test]
fn the_list_of_zones_is_read_before_their_answers_go_and_names_do_not_wait_for_it() {
    let mut bench = Bench::new();
    let mut plan = new_zone("new.");
    plan.purges.extend(name("z.", "a.z.").purges);
    assert_eq!(bench.at(0, plan), ["PURGE a.z. z.$"]);
    assert_eq!(bench.next(), Some(5));
    // Its records and metadata.
    let more = Plan {
        purges: vec![Purge::Zone("new.".into())],
        ..Plan::default()
    };
    assert!(bench.at(2, more).is_empty());
    assert!(bench.at(3, name("new.", "a.new.")).is_empty());
    assert_eq!(bench.at(5, Plan::default()), ["REDISCOVER", "PURGE new.$"]);
    assert_eq!(bench.at(250, Plan::default()), ["PURGE new.$ z.$", "REDISCOVER"]);
    assert_eq!(bench.next(), None);
}

#[test]
fn a_long_list_of_zones_is_not_read_all_the_time() {
    let mut bench = Bench::new();
    assert!(bench.at(0, new_zone("a.")).is_empty());
    assert_eq!(bench.at(5, Plan::default()), ["REDISCOVER", "PURGE a.$"]);
    let now = bench.start + Duration::from_millis(50);
    bench.settle.rediscovered(now, Duration::from_millis(50));
    assert!(bench.at(100, new_zone("b.")).is_empty());
    assert_eq!(bench.at(110, name("z.", "a.z.")), ["PURGE a.z. z.$"]);
    assert_eq!(bench.next(), Some(250));
    assert_eq!(
        bench.at(250, new_zone("c.")),
        ["PURGE a.$", "REDISCOVER", "PURGE b.$ c.$"]
    );
}

#[test]
fn everything_is_emptied_twice_as_well_and_instead_of_too_many_zones() {
    let mut bench = Bench::new();
    let all = Plan {
        everything: true,
        ..Plan::default()
    };
    assert_eq!(bench.at(0, all), ["REDISCOVER", "PURGE"]);
    assert_eq!(bench.at(250, Plan::default()), ["REDISCOVER", "PURGE"]);
    assert_eq!(bench.next(), None);
    for zone in 0..=MOST_ZONES {
        bench.at(300, name(&format!("z{zone}."), "a."));
    }
    assert_eq!(bench.at(550, Plan::default()), ["PURGE"]);
    let now = bench.start + Duration::from_millis(600);
    bench.settle.emptied(now);
    assert_eq!(bench.at(850, Plan::default()), ["PURGE"]);
    assert_eq!(bench.next(), None);
}

#[test]
fn a_command_has_no_more_than_so_many_names() {
    let names = (0..=MOST_IN_A_COMMAND).map(|n| format!("{n}."));
    let orders = Orders {
        names: names.collect(),
        ..Orders::default()
    };
    assert_eq!(orders.commands().len(), 2);
}
