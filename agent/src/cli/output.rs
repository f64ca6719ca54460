//! How commands print: tables that fit the terminal for people, JSON for programs.

use std::io::Write;

use bytesize::ByteSize;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SpanRound, Timestamp, Unit};
use serde::Serialize;

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

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A time (ns since the epoch) for people.
pub(super) fn time(nanos: u64) -> String {
    Timestamp::from_nanosecond(nanos.into()).map_or_else(
        |_| format!("{nanos} ns"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S.%3f UTC").to_string(),
    )
}

/// How long ago a time was, in its two largest units; `now` in ns since the epoch.
pub(super) fn age(nanos: u64, now: u64) -> String {
    let (sign, between) = if nanos > now {
        ("in ", nanos - now)
    } else {
        ("", now - nanos)
    };
    let seconds = i64::try_from(between / 1_000_000_000).unwrap_or(i64::MAX);
    let smallest = match seconds {
        0..3_600 => Unit::Second,
        3_600..86_400 => Unit::Minute,
        _ => Unit::Hour,
    };
    let round = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .days_are_24_hours();
    let span = jiff::Span::new()
        .try_seconds(seconds)
        .and_then(|span| span.round(round));
    span.map_or_else(|_| "?".to_owned(), |span| format!("{sign}{span:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_their_two_largest_units() {
        let now = 1_000_000_000_000_000_000;
        let ago = |seconds: u64| age(now - seconds * 1_000_000_000, now);
        assert_eq!(ago(0), "0s");
        assert_eq!(ago(226), "3m 46s");
        assert_eq!(ago(2 * 86_400 + 3 * 3_600 + 5), "2d 3h");
        assert_eq!(age(now + 5_000_000_000, now), "in 5s");
    }
}
