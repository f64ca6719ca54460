//! How commands print: tables that fit the terminal for people, JSON for programs.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

pub(super) use crate::human::{age, size, time};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// Text and tables, for people.
    #[default]
    Text,
    /// JSON, one document.
    Json,
}

/// A row of a table, which is an object in JSON.
pub(super) trait Row: Serialize {
    const HEADERS: &'static [&'static str];
    fn cells(&self) -> Vec<String>;
}

/// Prints rows; an empty table says so.
pub(super) fn print_rows<R: Row>(output: Output, rows: &[R], nothing: &str) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(&rows),
        Output::Text if rows.is_empty() => say(nothing),
        Output::Text => {
            let mut table = Table::new();
            table
                .load_style(presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(R::HEADERS);
            for row in rows {
                table.add_row(row.cells());
            }
            say(&table.to_string())
        }
    }
}

pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}

/// Prints a line. A reader that went away, such as `head`, is no error.
pub(super) fn say(line: &str) -> anyhow::Result<()> {
    ignore_closed_pipe(writeln!(std::io::stdout().lock(), "{line}"))
}

pub(super) fn ignore_closed_pipe(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
