//! Logs: to standard error, for people or as JSON, ours from the chosen level on and those of dependencies from `warn` on.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::error::Error;
use crate::foreign;

/// A filter of `tracing` (`warn,backup_sla::engine=trace`), for whoever looks for something in particular.
const FILTER_VARIABLE: &str = "BACKUP_SLA_LOG";

/// As chosen for this process.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// How logs look and how much is logged.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogOptions {
    /// Logs as lines for people or as one JSON object each
    #[arg(
        long = "log.format",
        global = true,
        help_heading = "Options of every command",
        value_name = "FORMAT",
        default_value = "human"
    )]
    pub format: Format,
    /// Least important logs to show [default: as $BACKUP_SLA_LOG says, else info for commands that stay and warn for others]
    #[arg(long = "log.level", global = true, help_heading = "Options of every command", value_name = "LEVEL")]
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

/// Set up logging for the whole process, once. `--log.level` counts before `$BACKUP_SLA_LOG`, a filter of `tracing`.
pub fn start(options: LogOptions, usual: Level) {
    let (filter, fault) = filter(options.level, usual, std::env::var(FILTER_VARIABLE).ok().as_deref());
    let format = *FORMAT.get_or_init(|| options.format);
    let stderr = std::io::stderr;
    let writer = move || foreign::LogLines { out: stderr(), json: format == Format::Json };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    match format {
        // Which library said it is a field there, and no noise.
        Format::Json => {
            let json = builder.with_target(true).json().flatten_event(true);
            json.with_current_span(false).with_span_list(false).init();
        }
        Format::Human if is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), stderr()) => {
            builder.with_ansi(false).without_time().init();
        }
        Format::Human => builder.with_ansi(stderr().is_terminal()).init(),
    }
    if let Some(fault) = fault {
        tracing::warn!("read {FILTER_VARIABLE}: {fault}");
    }
}

/// Say what failed and what to try: for people in one paragraph, or as a log line where logs are for machines.
#[allow(clippy::print_stderr)]
pub fn report(error: &Error) {
    if FORMAT.get() == Some(&Format::Json) {
        tracing::error!(hint = error.hint_text(), "{error}");
        return;
    }
    eprintln!("error: {}", foreign::lines(&error.to_string()));
    if let Some(hint) = error.hint_text() {
        eprintln!("hint: {}", foreign::lines(hint));
    }
}

/// What is logged, and what was wrong with the variable's text. What libraries say below a warning may be what they send.
fn filter(asked: Option<Level>, usual: Level, variable: Option<&str>) -> (EnvFilter, Option<String>) {
    let ours = |level: Level| match level {
        Level::Error => EnvFilter::new("error"),
        _ => EnvFilter::new(format!("{},backup_sla={}", Level::Warn.name(), level.name())),
    };
    match (asked, variable.filter(|text| !text.trim().is_empty())) {
        (Some(level), _) => (ours(level), None),
        (None, None) => (ours(usual), None),
        (None, Some(text)) => match EnvFilter::try_new(text) {
            Ok(filter) => (filter, None),
            Err(error) => (ours(usual), Some(error.to_string())),
        },
    }
}

/// Whether `stderr` is the journal, which notes the time itself. A process inherits the variable even where its standard
/// error goes elsewhere, so it names the file: device and inode.
fn is_journal(variable: Option<&str>, stderr: impl AsFd) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else { return false };
    let Ok(stat) = rustix::fs::fstat(stderr) else { return false };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_option_counts_before_the_variable_and_libraries_are_heard_from_warnings_on() {
        let chosen = |asked, variable| filter(asked, Level::Info, variable).0.to_string();
        assert_eq!(chosen(None, None), "backup_sla=info,warn");
        assert_eq!(chosen(None, Some(" ")), "backup_sla=info,warn");
        assert_eq!(chosen(None, Some("trace")), "trace");
        assert_eq!(chosen(Some(Level::Debug), Some("trace")), "backup_sla=debug,warn");
        assert_eq!(chosen(Some(Level::Error), None), "error");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_told_and_the_usual_is_logged() {
        let (filter, fault) = filter(None, Level::Info, Some("backup_sla=loud"));
        assert_eq!(filter.to_string(), "backup_sla=info,warn");
        assert!(fault.is_some());
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let found = file.metadata().unwrap();
        assert!(is_journal(Some(&format!("{}:{}", found.dev(), found.ino())), &file));
        let elsewhere = format!("{}:{}", found.dev(), found.ino() + 1);
        for other in [None, Some(elsewhere.as_str()), Some("8"), Some("a:b"), Some("")] {
            assert!(!is_journal(other, &file), "{other:?}");
        }
    }
}
