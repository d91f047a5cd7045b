//! The log: one line an event on standard error, as logfmt or JSON, with Prometheus's keys.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use env::SharedClock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Libraries whose informative events are about their insides, not about the operator's system.
const QUIET: [&str; 8] =
    ["h2", "hyper", "hyper_util", "rustls", "tower", "tonic", "openraft", "tokio_rustls"];

/// The least severe events that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What may need a look.
    Warn,
    /// What failed.
    Error,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=… level=INFO source=file.rs:1 msg="…" key=value`
    #[default]
    Logfmt,
    /// The same keys as one JSON object.
    Json,
}

/// What is logged and how: `--log.level`, `--log.format`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Events below are left out.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A flag's value is none of the known ones.
    #[error("unknown log {what} {value:?}, expected one of {expected}")]
    Unknown {
        /// `level` or `format`.
        what: &'static str,
        /// What was given.
        value: String,
        /// What could have been given.
        expected: &'static str,
    },
    /// The process has a logger already.
    #[error("logging was set up before")]
    Twice,
}

impl FromStr for LogLevel {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            other => Err(LogError::Unknown {
                what: "level",
                value: other.to_owned(),
                expected: "debug, info, warn, error",
            }),
        }
    }
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            other => {
                Err(LogError::Unknown { what: "format", value: other.to_owned(), expected: "logfmt, json" })
            }
        }
    }
}

/// Sends the process's events to standard error.
///
/// # Errors
/// When the process has a logger already.
pub fn init_logging(options: LogOptions) -> Result<(), LogError> {
    let level = match options.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let quiet = if options.level == LogLevel::Info { LevelFilter::WARN } else { level };
    let targets = Targets::new().with_default(level).with_targets(QUIET.map(|target| (target, quiet)));
    let lines = Lines { format: options.format, clock: env::SystemClock::shared() };
    let layer = tracing_subscriber::fmt::layer().event_format(lines).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(targets).with(layer).try_init().map_err(|_| LogError::Twice)
}

/// Writes events as lines.
struct Lines {
    format: LogFormat,
    clock: SharedClock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let file = metadata.file().unwrap_or("?");
        let source = format!("{}:{}", file.rsplit('/').next().unwrap_or(file), metadata.line().unwrap_or(0));
        let mut pairs = vec![
            ("time", time_text(self.clock.now_ms())),
            ("level", metadata.level().to_string()),
            ("source", source),
            ("msg", fields.message),
        ];
        pairs.extend(fields.others);
        match self.format {
            LogFormat::Logfmt => write_logfmt(&mut writer, &pairs),
            LogFormat::Json => write_json(&mut writer, &pairs),
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.to_owned());
    }
}

impl Fields {
    fn record(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }
}

fn time_text(now_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(now_ms).map_or_else(|_| now_ms.to_string(), |time| format!("{time:.3}"))
}

fn write_logfmt(writer: &mut dyn fmt::Write, pairs: &[(&str, String)]) -> fmt::Result {
    for (at, (key, value)) in pairs.iter().enumerate() {
        let blank = if at == 0 { "" } else { " " };
        let plain = !value.is_empty()
            && value.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=');
        if plain {
            write!(writer, "{blank}{key}={value}")?;
        } else {
            write!(writer, "{blank}{key}={value:?}")?;
        }
    }
    writer.write_char('\n')
}

fn write_json(writer: &mut dyn fmt::Write, pairs: &[(&str, String)]) -> fmt::Result {
    let mut line = String::from("{");
    for (at, (key, value)) in pairs.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(line, "{comma}{}:{}", serde_json::Value::from(*key), serde_json::Value::from(value.as_str()))?;
    }
    writeln!(writer, "{line}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<(&'static str, String)> {
        vec![
            ("time", time_text(1_700_000_000_123)),
            ("level", "INFO".to_owned()),
            ("msg", "two words, a \"quote\"\nand a line".to_owned()),
            ("empty", String::new()),
        ]
    }

    #[test]
    fn a_line_in_logfmt() {
        let mut line = String::new();
        write_logfmt(&mut line, &pairs()).expect("a string takes it");
        assert_eq!(
            line,
            "time=2023-11-14T22:13:20.123Z level=INFO msg=\"two words, a \\\"quote\\\"\\nand a line\" empty=\"\"\n"
        );
    }

    #[test]
    fn a_line_in_json() {
        let mut line = String::new();
        write_json(&mut line, &pairs()).expect("a string takes it");
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(value["msg"], "two words, a \"quote\"\nand a line");
        assert!(line.ends_with("}\n"));
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!("warn".parse::<LogLevel>().expect("known"), LogLevel::Warn);
        let error = "loud".parse::<LogLevel>().expect_err("unknown");
        assert_eq!(error.to_string(), "unknown log level \"loud\", expected one of debug, info, warn, error");
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
