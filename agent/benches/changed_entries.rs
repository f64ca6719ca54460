//! What it costs to find the entries that changed between two states: the walk over changed pages beside a full read.
//! `cargo bench -p zonetide-agent --bench changed_entries [RECORDS…]`
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions, scan_since};

const NOW: u64 = 1_795_510_850_000_000_000;
const ROUNDS: u32 = 5;

/// Records as PowerDNS stores them: zones of 100 names with an address each.
fn put(env: &Environment, records: impl Iterator<Item = u32>, round: u32) {
    let written = env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi("records_v5")?;
        for record in records {
            let key = [
                &(record / 100).to_be_bytes()[..],
                format!("host{record}\0\0").as_bytes(),
                &[0, 1],
            ]
            .concat();
            let address = record.wrapping_add(round).to_be_bytes();
            let value = [&[4, 0][..], &address, &[60, 0, 0, 0, 1, 0, 0, 0]].concat();
            writer.put(&dbi, &key, NOW + u64::from(round), false, &value)?;
        }
        Ok(())
    });
    written.unwrap();
}

/// The shortest of a few runs: what the work itself takes on a machine that does other things, too.
fn shortest<T>(mut work: impl FnMut() -> T) -> (T, Duration) {
    let run = |work: &mut dyn FnMut() -> T| {
        let started = Instant::now();
        (work(), started.elapsed())
    };
    let mut best = run(&mut work);
    for _ in 0..4 {
        let next = run(&mut work);
        if next.1 < best.1 {
            best = next;
        }
    }
    best
}

struct Cost {
    begin: Duration,
    walk: Duration,
    scan: Duration,
    pages: u64,
}

/// One round: some records change, and both ways must find as many.
fn round(env: &Arc<Environment>, records: u32, count: u32, spread: bool, number: u32) -> Cost {
    let old = env.keep_reader().unwrap();
    let (step, first) = if spread {
        (records / count, number)
    } else {
        (1, (records - count) / ROUNDS * (number % ROUNDS))
    };
    put(
        env,
        (0..count).map(|place| (first + place * step) % records),
        number,
    );
    let (new, begin) = shortest(|| env.keep_reader().unwrap());
    let (changes, walk) = shortest(|| {
        let mut bytes = 0;
        let changes = new.changes_since::<LmdbError>(&old, |change| {
            bytes += change.new.map_or(0, |new| new.value.len());
            Ok(())
        });
        assert_eq!(bytes, 14 * count as usize);
        changes.unwrap()
    });
    assert_eq!(changes.entries, u64::from(count));
    let (scanned, scan) = shortest(|| {
        let mut scanned = 0;
        let read = env.read(|reader| {
            scan_since::<LmdbError>(reader, old.txn_id(), |_| {
                scanned += 1;
                Ok(())
            })
        });
        read.map(|()| scanned).unwrap()
    });
    assert_eq!(scanned, count);
    Cost {
        begin,
        walk,
        scan,
        pages: changes.pages,
    }
}

fn median<T: Ord>(costs: &[Cost], of: impl Fn(&Cost) -> T) -> T {
    let mut values: Vec<T> = costs.iter().map(of).collect();
    values.sort();
    values.swap_remove(values.len() / 2)
}

fn measure(records: u32) {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        map_size: 1 << 30,
        max_dbs: 64,
        create: true,
        no_subdir: true,
    };
    let env = Arc::new(Environment::open(&dir.path().join("pdns.lmdb-0"), &options).unwrap());
    for from in (0..records).step_by(50_000) {
        put(&env, from..records.min(from + 50_000), 0);
    }
    let mut past = 0;
    for (count, spread) in [
        (1, false),
        (200, false),
        (200, true),
        (10_000, false),
        (10_000, true),
    ] {
        let costs: Vec<Cost> = (past + 1..=past + ROUNDS)
            .map(|number| round(&env, records, count, spread, number))
            .collect();
        past += ROUNDS;
        let micros = |of: fn(&Cost) -> Duration| median(&costs, of).as_micros();
        println!(
            "{records:>9} {count:>8}  {:<11} {:>8} {:>9} {:>7} {:>11}",
            if spread { "all over" } else { "in a row" },
            micros(|cost| cost.begin),
            micros(|cost| cost.walk),
            median(&costs, |cost| cost.pages),
            micros(|cost| cost.scan),
        );
    }
}

fn main() {
    let sizes: Vec<u32> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .map(|arg| arg.parse().unwrap())
        .collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine: {}", load.trim());
    println!("µs, median of {ROUNDS}: begin a reader, walk and its pages, and a scan of all entries instead");
    println!(
        "{:>9} {:>8}  {:<11} {:>8} {:>9} {:>7} {:>11}",
        "records", "changed", "", "begin", "walk", "pages", "scan"
    );
    for records in if sizes.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        sizes
    } {
        measure(records);
    }
}
