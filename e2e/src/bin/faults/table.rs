//! The table of what was seen, as Markdown. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Table, presets};

use crate::fault::Fault;
use crate::measure::Measured;

const HEAD: [&str; 5] = [
    "fault",
    "queries lost at 100/s",
    "API: longest gap",
    "API: failed writes",
    "pods unready for",
];

pub(crate) fn render(rows: &[(Fault, Measured)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(HEAD);
    for (fault, measured) in rows {
        table.add_row(row(*fault, measured));
    }
    table.trim_fmt()
}

fn row(fault: Fault, measured: &Measured) -> [String; 5] {
    let name = fault.name().to_owned();
    match measured {
        Measured::Absent => [
            name,
            "there is none".into(),
            String::new(),
            String::new(),
            String::new(),
        ],
        Measured::Failed(why) => [name, why.clone(), String::new(), String::new(), String::new()],
        Measured::Seen {
            questions,
            writes,
            unready,
            kept,
        } => {
            let lost = format!("{} of {}", questions.lost().count(), questions.tries.len());
            let mut failed = format!("{} of {}", writes.lost().count(), writes.tries.len());
            if let Err(why) = kept {
                failed = format!("{failed}; acknowledged and not there: {why}");
            }
            [name, lost, seconds(writes.longest_gap()), failed, pods(unready)]
        }
    }
}

fn pods(unready: &BTreeMap<String, Duration>) -> String {
    if unready.is_empty() {
        return "never".to_owned();
    }
    let times: Vec<String> = unready.values().map(|time| seconds(*time)).collect();
    times.join(", ")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonetide_e2e::report::{Report, Try};

    #[test]
    fn a_row_says_how_much_was_lost_of_how_much_and_for_how_long() {
        let tries = |failures: &[Option<&str>]| Report {
            tries: failures
                .iter()
                .enumerate()
                .map(|(number, failure)| Try {
                    number,
                    began: Duration::from_secs(number as u64),
                    ended: Duration::from_secs(number as u64),
                    failure: failure.map(str::to_owned),
                })
                .collect(),
            lasted: Duration::from_secs(3),
        };
        let seen = Measured::Seen {
            questions: tries(&[None, Some("refused"), None]),
            writes: tries(&[None, Some("refused"), None, None]),
            unready: BTreeMap::from([("dns-0".to_owned(), Duration::from_millis(2345))]),
            kept: Ok(()),
        };
        let text = render(&[
            (Fault::KillAgent, seen),
            (Fault::KillSupervisor, Measured::Absent),
        ]);
        let row = |number: usize| {
            let line = text.lines().nth(number).unwrap();
            line.split('|').map(str::trim).collect::<Vec<_>>().join("|")
        };
        assert_eq!(row(2), "|kill -9 agent|1 of 3|2.0 s|1 of 4|2.3 s|");
        assert_eq!(row(3), "|kill -9 supervisor|there is none||||");
    }
}
