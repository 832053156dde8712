//! `backup-sla events SOURCE --around TIME`

use std::ops::ControlFlow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::arguments::HostArguments;
use super::output;
use super::session::Session;
use crate::display::shell_word;
use crate::domain::local_time;
use crate::domain::logged::{ChangeKind, LoggedTransaction};
use crate::error::{Error, Result};
use crate::operations::events::{Before, Sought, events};
use crate::operations::ownership::Whose;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Source whose increments are looked through
    source: String,
    /// Near this time: "2026-11-26 11:29" in the configured time zone, or RFC 3339
    #[arg(long, value_name = "TIME")]
    around: String,
    /// At most so far from it
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    within: Duration,
    /// Only transactions that concern this table
    #[arg(long, value_name = "DB.TABLE")]
    table: Option<String>,
    /// Only transactions that do one of these
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Kind>,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Insert,
    Update,
    Delete,
    Ddl,
}

impl From<Kind> for ChangeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Insert => Self::Insert,
            Kind::Update => Self::Update,
            Kind::Delete => Self::Delete,
            Kind::Ddl => Self::Ddl,
        }
    }
}

#[derive(Debug, Serialize)]
struct Line<'t> {
    source: &'t str,
    #[serde(flatten)]
    transaction: &'t LoggedTransaction,
    /// Brings back the state just before it.
    restore: &'t str,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let source = app.source(&arguments.source)?;
    let zone = app.config.timezone;
    let around = local_time::parse(&arguments.around, zone)
        .map_err(|fault| Error::configuration(fault.to_string()).hint(fault.hint()))?;
    let table = arguments.table.as_deref().map(|table| source.engine.table_name(table)).transpose()?;
    let kinds = arguments.kind.iter().map(|kind| (*kind).into()).collect();
    let sought = Sought { around, within: arguments.within, table, kinds };
    let whose = arguments.host.host.as_deref().map_or(Whose::Own, Whose::Host);
    let mut count = 0_u64;
    let mut seen = |transaction: LoggedTransaction, before: Before| {
        count += 1;
        let restore = command(&arguments.source, arguments.host.host.as_deref(), &before);
        if session.json {
            output::json(&Line { source: &arguments.source, transaction: &transaction, restore: &restore })?;
        } else {
            output::line(&format!("{}  {restore}", shown(&transaction, zone)))?;
        }
        Ok(ControlFlow::Continue(()))
    };
    let uncovered = events(&app, &source, (&sought, whose), &mut seen, &session.context)?;
    if count == 0 && !session.json {
        let within = humantime::format_duration(arguments.within);
        output::line(&format!("no such transaction within {within} of {}", output::time_in(around, zone)))?;
    }
    if let Some(uncovered) = uncovered {
        tracing::warn!(
            hint = format!("`backup-sla backup {} --incremental` stores what has come since", arguments.source),
            "{uncovered}"
        );
    }
    Ok(0)
}

/// `2026-11-26 11:29:03.120000 UTC  binlog.000042:1337  0-1-57  shop.orders -120`.
fn shown(transaction: &LoggedTransaction, zone: Tz) -> String {
    let gtid = transaction.gtid.as_deref().unwrap_or("-");
    let time = precise(transaction.time, zone);
    format!("{time}  {}  {gtid}  {}", transaction.position, transaction.summary())
}

/// With microseconds where the server has them.
fn precise(time: DateTime<Utc>, zone: Tz) -> String {
    let fraction = if time.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
    time.with_timezone(&zone).format(&format!("%Y-%m-%d %H:%M:%S{fraction} %Z")).to_string()
}

/// The command that brings back the state just before it; only the destination is missing.
fn command(source: &str, host: Option<&str>, before: &Before) -> String {
    let host = host.map_or(Vec::new(), |host| vec!["--host", host]);
    let words = [vec!["backup-sla", "restore", source], before.arguments(), host].concat();
    let words: Vec<String> = words.into_iter().map(shell_word).collect();
    format!("{} --to DESTINATION", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::RecoveryPointId;

    fn transaction(gtid: Option<&str>, micros: i64) -> LoggedTransaction {
        LoggedTransaction {
            time: DateTime::from_timestamp_micros(micros).unwrap(),
            position: "log.1:4".to_owned(),
            gtid: gtid.map(str::to_owned),
            tables: std::collections::BTreeMap::new(),
            statements: vec!["DROP TABLE t".to_owned()],
            statement_format: false,
        }
    }

    #[test]
    fn a_line_names_time_place_and_gtid() {
        let berlin = shown(&transaction(Some("0-1-57"), 1_769_824_800_000_001), Tz::Europe__Berlin);
        assert_eq!(berlin, "2026-01-31 03:00:00.000001 CET  log.1:4  0-1-57  DROP TABLE t");
        let second = shown(&transaction(None, 1_769_824_800_000_000), Tz::UTC);
        assert_eq!(second, "2026-01-31 02:00:00 UTC  log.1:4  -  DROP TABLE t");
    }

    #[test]
    fn the_command_brings_back_the_state_before_it() {
        let gtid = command("shop", None, &Before::Gtid("0-1-57".to_owned()));
        assert_eq!(gtid, "backup-sla restore shop --before-gtid 0-1-57 --to DESTINATION");
        let place = command("a b", Some("old"), &Before::Position("log.1:4".to_owned()));
        assert_eq!(place, "backup-sla restore 'a b' --before-position log.1:4 --host old --to DESTINATION");
        let within = Before::Within(RecoveryPointId("01ab".to_owned()), "log.1:4".to_owned());
        let within = command("shop", None, &within);
        assert_eq!(within, "backup-sla restore shop --recovery-point 01ab --before-position log.1:4 --to DESTINATION");
    }
}
