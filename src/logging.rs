//! Logs: to standard error, for people or as JSON, ours from the chosen level on and those of dependencies from `warn` on.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How logs look and how much is logged.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogOptions {
    /// Logs as lines for people or as one JSON object each
    #[arg(long = "log.format", global = true, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
    /// Least important logs to show [default: info for commands that stay, else warn]
    #[arg(long = "log.level", global = true, value_name = "LEVEL")]
    pub level: Option<Level>,
}

/// Look of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each; without a time where the journal adds its own.
    Human,
    /// A JSON object each, with an RFC 3339 `timestamp` in UTC, `level`, `message` and the fields of the event.
    Json,
}

/// Importance of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Set up logging for the whole process, once. `$BACKUP_SLA_LOG`, a filter of `tracing`, overrides the level.
pub fn start(options: LogOptions, usual: Level) {
    let level = options.level.unwrap_or(usual).name();
    let ours = || EnvFilter::new(format!("{},backup_sla={level}", Level::Warn.name()));
    let filter = EnvFilter::try_from_env("BACKUP_SLA_LOG").unwrap_or_else(|_| ours());
    let stderr = std::io::stderr;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    match options.format {
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        Format::Human if std::env::var_os("JOURNAL_STREAM").is_some() => builder.with_ansi(false).without_time().init(),
        Format::Human => builder.with_ansi(stderr().is_terminal()).init(),
    }
}
