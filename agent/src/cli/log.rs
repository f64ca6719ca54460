//! Where the log goes, and what its lines look like.

use std::fmt;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime, Uptime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogTimestamp, filter_of};

/// Starts the log on standard error.
pub(super) fn start(level: &str, format: LogFormat, timestamp: LogTimestamp) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter_of(level)?)
        .with_context(|| format!("log.level: {level:?} is no level and no filter"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let ansi = std::io::stderr().is_terminal();
    match (format, timestamp) {
        (LogFormat::Human, LogTimestamp::Full) => log.with_target(false).with_ansi(ansi).init(),
        (LogFormat::Human, LogTimestamp::Short) => {
            log.with_target(false)
                .with_ansi(ansi)
                .with_timer(Uptime::default())
                .init();
        }
        (LogFormat::Human, LogTimestamp::Disable) => {
            log.with_target(false).with_ansi(ansi).without_time().init();
        }
        (LogFormat::Json, LogTimestamp::Disable) => log.json().flatten_event(true).without_time().init(),
        (LogFormat::Json, _) => log.json().flatten_event(true).init(),
        (LogFormat::Logfmt, timestamp) => log
            .event_format(Logfmt {
                time: timestamp != LogTimestamp::Disable,
            })
            .init(),
    }
    Ok(())
}

/// `time=… level=… msg="…" key=value`, as Lightning Stream names them.
struct Logfmt {
    time: bool,
}

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.time {
            writer.write_str("time=")?;
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        let Pairs { message, rest } = pairs;
        writeln!(writer, "level={level} msg={}{rest}", quoted(&message))
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct Pairs {
    message: String,
    rest: String,
}

impl Pairs {
    fn add(&mut self, field: &Field, value: String) {
        use fmt::Write as _;
        if field.name() == "message" {
            self.message = value;
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.rest, " {}={}", field.name(), quoted(&value));
        }
    }
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }
}

/// A value, between quotes if it would not be one word otherwise.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-._/@^+:".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn logfmt_has_the_names_of_lightning_stream_and_quotes_what_is_not_one_word() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Logfmt { time: false })
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(database = %"main", size = 3, name = "a \"b\"", "stored it");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "level=warn msg=\"stored it\" database=main size=3 name=\"a \\\"b\\\"\"\n"
        );
    }
}
