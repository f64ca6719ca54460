//! What `restore` says: text for people, and a JSON object a line for programs.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use super::super::output::{Output, say, time};
use super::super::past::Pasts;
use super::super::refused::{Refused, reason};
use crate::history::restore::{LeftOut, Restored, Write};
use crate::restoring::{Done, Failure, Line, Plan};
use crate::show;

pub(super) struct Teller {
    output: Output,
    at: u64,
    /// Entries that are to be written.
    entries: Cell<u64>,
}

impl Teller {
    pub(super) fn new(output: Output, at: u64) -> Self {
        Self {
            output,
            at,
            entries: Cell::new(0),
        }
    }

    /// What is missing in the history.
    pub(super) fn notes(&self, pasts: &Pasts) -> anyhow::Result<()> {
        match self.output {
            Output::Json => pasts.notes().try_for_each(|note| line(&Line::Note(note))),
            Output::Text => {
                pasts.tell_notes();
                Ok(())
            }
        }
    }

    /// What a copy is and what it lacks.
    pub(super) fn copy(&self, (zone, other): (&str, &str), left_out: &LeftOut) -> anyhow::Result<()> {
        about_copy((zone, other), left_out)
            .into_iter()
            .try_for_each(|text| match self.output {
                Output::Json => line(&Line::Note(text)),
                Output::Text => say(&format!("# {text}")),
            })
    }

    /// What is to be written.
    pub(super) fn plan<'w>(
        &self,
        zones: &HashMap<u32, String>,
        writes: impl Iterator<Item = &'w Write>,
    ) -> anyhow::Result<()> {
        let (mut plan, mut touched) = (Plan::default(), BTreeSet::new());
        for write in writes {
            plan.entries += 1;
            touched.extend(zone_of(zones, write));
            let lines = lines(zones, write);
            plan.rrsets += u64::from(!lines.is_empty() && write.dbi.starts_with("records"));
            for text in lines {
                match self.output {
                    Output::Json => line(&Line::Change(text)),
                    Output::Text => say(&text),
                }?;
            }
        }
        plan.zones = touched.len() as u64;
        self.entries.set(plan.entries);
        match self.output {
            Output::Json => line(&Line::Plan(plan)),
            Output::Text => Ok(()),
        }
    }

    pub(super) fn nothing_written(&self) -> anyhow::Result<()> {
        match (self.output, self.entries.get()) {
            (Output::Json, _) => line(&Line::Result(Done::default())),
            (Output::Text, 0) => say(&format!("All is as it was at {}.", time(self.at))),
            (Output::Text, entries) => say(&format!(
                "{entries} entries would be written; nothing was changed."
            )),
        }
    }

    pub(super) fn restored(&self, restored: &Restored) -> anyhow::Result<()> {
        let Restored { written, left } = *restored;
        match self.output {
            Output::Json => line(&Line::Result(Done { written, left })),
            Output::Text => say(&format!(
                "{written} entries written: as it was at {}.",
                time(self.at)
            )),
        }
    }

    /// People read the error itself, and of what was left the result has told already.
    pub(super) fn failed(&self, error: &anyhow::Error) -> anyhow::Result<()> {
        if self.output == Output::Text || matches!(error.downcast_ref(), Some(Refused::Left(_))) {
            return Ok(());
        }
        line(&Line::Failed(Failure {
            reason: reason(error),
            message: format!("{error:#}"),
        }))
    }
}

fn about_copy((zone, other): (&str, &str), left_out: &LeftOut) -> Vec<String> {
    let mut about = vec![format!(
        "{other} is to be {zone} as it was then, of kind Native. Names in {zone} move with it, those in texts stay."
    )];
    let mut lacks = Vec::new();
    if left_out.keys > 0 {
        lacks.push(format!("{} DNSSEC keys", left_out.keys));
    }
    if left_out.signing > 0 {
        lacks.push(format!("{} RRsets that signing made", left_out.signing));
    }
    if !left_out.metadata.is_empty() {
        let kinds: Vec<&str> = left_out.metadata.iter().map(String::as_str).collect();
        lacks.push(format!("metadata {}", kinds.join(", ")));
    }
    if !lacks.is_empty() {
        about.push(format!("Left out: {}.", lacks.join("; ")));
    }
    if left_out.unread > 0 {
        about.push(format!(
            "The content of {} RRsets cannot be read and stays as it was.",
            left_out.unread
        ));
    }
    about
}

fn line(line: &Line) -> anyhow::Result<()> {
    say(&serde_json::to_string(line)?)
}

/// The zone that an entry is of.
fn zone_of(zones: &HashMap<u32, String>, write: &Write) -> Option<String> {
    let named = |id: u32| zones.get(&id).cloned().unwrap_or_else(|| format!("zone {id}."));
    match show::zone_of_record(&write.dbi, &write.key) {
        Some(id) => Some(named(id)),
        None => show::zone_of_value(&write.dbi, write.then.as_ref().or(write.now.as_ref())?),
    }
}

/// The change as people read it.
fn lines(zones: &HashMap<u32, String>, write: &Write) -> Vec<String> {
    let Write {
        dbi, key, now, then, ..
    } = write;
    if dbi.ends_with("_0") || now == then {
        return Vec::new();
    }
    let of = |value: &Option<Vec<u8>>| -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        match show::zone_of_record(dbi, key) {
            Some(id) if dbi.starts_with("records") => {
                let zone = zones.get(&id).cloned().unwrap_or_else(|| format!("zone {id}."));
                show::record_lines(&zone, key, value).unwrap_or_default()
            }
            _ => vec![show::object(dbi, key, value)],
        }
    };
    let (now, then) = (of(now), of(then));
    if now == then {
        return now.iter().map(|line| format!("~ {line}")).collect();
    }
    let gone = now.iter().filter(|line| !then.contains(line));
    let new = then.iter().filter(|line| !now.contains(line));
    gone.map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_copy_is_said_what_is_left_out() {
        let names = ("zone.example.", "old.test.");
        let [is] = about_copy(names, &LeftOut::default()).try_into().unwrap();
        assert!(
            is.starts_with("old.test. is to be zone.example. as it was then"),
            "{is}"
        );
        let left_out = LeftOut {
            keys: 2,
            metadata: ["ALSO-NOTIFY", "SOA-EDIT"].map(str::to_owned).into(),
            signing: 3,
            unread: 1,
        };
        let about = about_copy(names, &left_out);
        assert_eq!(
            about[1..],
            [
                "Left out: 2 DNSSEC keys; 3 RRsets that signing made; metadata ALSO-NOTIFY, SOA-EDIT.",
                "The content of 1 RRsets cannot be read and stays as it was."
            ]
        );
    }
}
