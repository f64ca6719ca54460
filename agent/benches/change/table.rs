//! The figures beside the goals and beside those of Lightning Stream, in Markdown.

use std::fmt::Write as _;

use crate::figures::{Figures, Parts, Steady};

const MIB: f64 = 1_048_576.0;

/// What a figure has to be.
type Met = fn(&Figures) -> bool;
type Show = fn(&Figures) -> String;

struct Row {
    what: &'static str,
    /// Lightning Stream beside PowerDNS 4.9.18 with 100,000 and with a million records, measured on a machine with 2 cores in
    /// July 2026; its polls at their defaults, PowerDNS' caches off.
    theirs: [&'static str; 2],
    goal: &'static str,
    met: Met,
    ours: Show,
}

const ROWS: [Row; 13] = [
    Row {
        what: "bytes into the bucket",
        theirs: ["1,305,000", "13,055,000"],
        goal: "≤ 1,000",
        met: |f| f.peers.bytes_each() <= 1000.0,
        ours: |f| format!("{:.0}", f.peers.bytes_each()),
    },
    Row {
        what: "requests to the bucket",
        theirs: ["", ""],
        goal: "",
        met: |_| true,
        ours: |f| format!("{:.1}", f.peers.requests / f64::from(f.peers.changes)),
    },
    Row {
        what: "CPU on the sender",
        theirs: ["39 ms", "305 ms"],
        goal: "≤ 2 ms",
        met: |f| f.peers.sender_each() <= 2.0,
        ours: |f| format!("{:.1} ms", f.peers.sender_each()),
    },
    Row {
        what: "CPU on a receiver",
        theirs: ["63 ms", "493 ms"],
        goal: "≤ 2 ms",
        met: |f| f.peers.receiver_each() <= 2.0,
        ours: |f| format!("{:.1} ms", f.peers.receiver_each()),
    },
    Row {
        what: "longest wait for a receiver's write lock",
        theirs: ["33 ms", "301 ms"],
        goal: "≤ 5 ms",
        met: |f| f.peers.longest_lock <= 5.0,
        ours: |f| {
            format!(
                "{:.1} ms ({:.1} ms idle)",
                f.peers.longest_lock, f.peers.longest_lock_idle
            )
        },
    },
    Row {
        what: "commit on A to right answer on B, peers in contact: median, p99",
        theirs: ["1.5 s", "2.2 s"],
        goal: "≤ 25 ms, ≤ 100 ms",
        met: |f| f.peers.delays.median <= 25.0 && f.peers.delays.p99 <= 100.0,
        ours: |f| delays(&f.peers),
    },
    Row {
        what: "the same through the bucket alone",
        theirs: ["1.5 s", "2.2 s"],
        goal: "≤ 1,050 ms",
        met: |f| f.bucket.delays.p99 <= 1050.0,
        ours: |f| delays(&f.bucket),
    },
    Row {
        what: "requests while idle, a database and hour: peers in contact",
        theirs: ["3,600", "3,600"],
        goal: "≤ 240",
        met: |f| f.peers.idle_requests_an_hour <= 240.0,
        ours: |f| format!("{:.0}", f.peers.idle_requests_an_hour),
    },
    Row {
        what: "the same without peers",
        theirs: ["3,600", "3,600"],
        goal: "",
        met: |_| true,
        ours: |f| format!("{:.0}", f.bucket.idle_requests_an_hour),
    },
    Row {
        what: "peak memory without the mapping, sender / receiver",
        theirs: ["48 / 56 MB", "285 / 432 MB"],
        goal: "≤ 64 MiB",
        met: |f| f.memory_sender.max(f.memory_receiver) as f64 <= 64.0 * MIB,
        ours: |f| format!("{} / {} MiB", mib(f.memory_sender), mib(f.memory_receiver)),
    },
    Row {
        what: "a change a second for a minute: bytes; CPU of one core, sender / receiver",
        theirs: ["74 MB; 4 % / 5 %", "548 MB; 20 % / 32 %"],
        goal: "≤ 100 kB; ≤ 1 % / ≤ 1 %",
        met: |f| {
            let minute = per_minute(&f.peers);
            minute.0 <= 1e5 && minute.1 <= 1.0 && minute.2 <= 1.0
        },
        ours: |f| {
            let (bytes, sender, receiver) = per_minute(&f.peers);
            format!("{:.0} kB; {sender:.2} % / {receiver:.2} %", bytes / 1e3)
        },
    },
    Row {
        what: "cold start until all is merged, until all is answered; memory",
        theirs: ["", "1.9 s, 170 MB"],
        goal: "≤ 1.0 s, ≤ 64 MiB",
        met: |f| f.cold.answered <= 1.0 && f.cold.memory as f64 <= 64.0 * MIB,
        ours: |f| {
            let (merged, answered) = (f.cold.merged, f.cold.answered);
            format!("{merged:.2} s, {answered:.2} s; {} MiB", mib(f.cold.memory))
        },
    },
    Row {
        what: "100,000 records in one go: arrived, after; memory, sender / receiver; longest wait for the lock",
        theirs: ["", ""],
        goal: "all",
        met: |f| f.burst.arrived == f.burst.records,
        ours: |f| {
            let burst = &f.burst;
            let memory = (mib(burst.memory_sender), mib(burst.memory_receiver));
            format!(
                "{}, {:.1} s; {} / {} MiB; {:.0} ms",
                burst.arrived, burst.seconds, memory.0, memory.1, burst.longest_lock
            )
        },
    },
];

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / MIB)
}

fn delays(steady: &Steady) -> String {
    format!("{:.0} ms, {:.0} ms", steady.delays.median, steady.delays.p99)
}

/// Bytes, and per cent of one core.
fn per_minute(steady: &Steady) -> (f64, f64, f64) {
    let share = |cpu: f64| cpu / steady.seconds / 10.0;
    (
        steady.bytes / steady.seconds * 60.0,
        share(steady.cpu_sender),
        share(steady.cpu_receiver),
    )
}

/// Everything that was measured.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut text = String::from("| for one changed record | Lightning Stream: 100k | 1M | goal |");
    for figures in all {
        let _ = write!(text, " {} |", thousands(figures.records));
    }
    let _ = writeln!(text, "\n{}|", "| --- ".repeat(4 + all.len()));
    for row in &ROWS {
        let _ = write!(
            text,
            "| {} | {} | {} | {} |",
            row.what, row.theirs[0], row.theirs[1], row.goal
        );
        for figures in all {
            let mark = if (row.met)(figures) { "" } else { " ✗" };
            let _ = write!(text, " {}{mark} |", (row.ours)(figures));
        }
        text.push('\n');
    }
    let _ = write!(text, "| load of the machine before, after | | | |");
    for figures in all {
        let _ = write!(text, " {}; {} |", figures.load_before, figures.load_after);
    }
    text.push_str("\n\n✗: the goal is not met.");
    if let Some(first) = all.first() {
        let build = if cfg!(debug_assertions) {
            "development"
        } else {
            "release"
        };
        let _ = write!(
            text,
            " PowerDNS {}, {} cores, a {build} build of the agent.",
            first.powerdns, first.cores
        );
    }
    text.push('\n');
    for figures in all {
        if let Some(parts) = &figures.cold.parts {
            text.push_str(&cold(figures.records, parts));
        }
    }
    for figures in all {
        if let Some(hundred) = &figures.hundred {
            let share = |cpu: f64| cpu * 100.0;
            let _ = writeln!(
                text,
                "\n{} changes in {:.0} s with {} records: the last is answered {:.0} ms after its commit (goal: 1 s); CPU of one \
                 core {:.1} % on the sender and {:.1} % on the receiver (goal: 20 %); {:.0} kB and {:.0} requests.",
                hundred.changes,
                hundred.seconds,
                thousands(figures.records),
                hundred.lag,
                share(hundred.cpu_sender),
                share(hundred.cpu_receiver),
                hundred.bytes / 1e3,
                hundred.requests,
            );
        }
    }
    text
}

fn cold(records: u32, parts: &Parts) -> String {
    let total = parts.download + parts.decode + parts.append;
    let part = |seconds: f64| format!("{seconds:.2} s ({:.0} %)", seconds / total * 100.0);
    format!(
        "\nCold start with {} records, part by part: download {}, decode {}, append {}; snapshots of {:.2} MB.\n",
        thousands(records),
        part(parts.download),
        part(parts.decode),
        part(parts.append),
        parts.snapshot as f64 / 1e6,
    )
}

pub(crate) fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
