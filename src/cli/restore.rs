//! `backup-sla restore SOURCE --to DESTINATION`

use std::path::Path;

use chrono_tz::Tz;
use clap::Args;

use super::arguments::{BeforeArguments, HostArguments, PointArguments};
use super::destination::{self, CredentialArguments};
use super::output;
use super::session::Session;
use crate::app::{App, KINDS};
use crate::clock::SystemClock;
use crate::config;
use crate::display::{duration, shell_word};
use crate::domain::manifest::RecoveryPointId;
use crate::engine::{AccountsLoaded, LoadOptions};
use crate::error::{Error, Result};
use crate::operations::change::Destroyed;
use crate::operations::restore::{RestoreReport, RestoreRequest, restore};

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // switches of a command line
pub struct Arguments {
    /// Source whose backup is restored
    source: String,
    #[arg(long, value_name = "DESTINATION", help = format!("Where to: {}", destination::forms()))]
    to: String,
    #[command(flatten)]
    credentials: CredentialArguments,
    #[command(flatten)]
    point: PointArguments,
    #[command(flatten)]
    before: BeforeArguments,
    #[command(flatten)]
    host: HostArguments,
    /// Restore only this table, or with --path only this path of a file tree; may be repeated
    #[arg(long, value_name = "DB.TABLE", visible_alias = "path")]
    table: Vec<String>,
    /// Replace what the destination has, even if it is the source
    #[arg(long)]
    overwrite: bool,
    /// Leave accounts and grants out
    #[arg(long)]
    no_accounts: bool,
    /// Accounts and grants too; this is so by itself unless `--table` is given
    #[arg(long, conflicts_with_all = ["table", "no_accounts"], hide = true)]
    accounts: bool,
    /// Do not compare with the manifest afterwards
    #[arg(long)]
    no_verify: bool,
    /// Parallel sessions [default: one per CPU]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    sessions: usize,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let credentials = arguments.credentials.read()?;
    let config = config::load(&config::find(session.config.as_deref()), KINDS)?;
    let (clock, stop) = (SystemClock::shared(), &session.context.cancel);
    let app = App::open_for_restore(config, clock, session.runtime.clone(), stop)?;
    let source = app.source(&arguments.source)?;
    let to = source.kind.destination(&arguments.to, &credentials)?;
    let options = LoadOptions {
        tables: arguments.table.clone(),
        overwrite: arguments.overwrite,
        accounts: arguments.accounts || !arguments.no_accounts && arguments.table.is_empty(),
        sessions: arguments.sessions,
        throwaway: false,
    };
    let before = arguments.before.selection(&arguments.point)?;
    let selection = before.map_or_else(|| arguments.point.selection(app.config.timezone), Ok)?;
    let request =
        RestoreRequest { selection, host: arguments.host.host.clone(), to, options, verify: !arguments.no_verify };
    let report = restore(&app, &source, &request, &session.context)
        .map_err(|error| with_commands(error, arguments, session.config.as_deref()))?;
    if session.json {
        output::json(&report)?;
    } else if !session.quiet || report.verified == Some(false) || !report.warnings.is_empty() {
        print(&report, app.config.timezone)?;
    }
    // Restored, but not what was promised: the verdict's status, as a drill would give it.
    Ok(if report.verified == Some(false) { 3 } else { 0 })
}

/// At night nobody should have to put a command together.
fn with_commands(error: Error, arguments: &Arguments, config: Option<&Path>) -> Error {
    let Some(Destroyed { point, good, .. }) = error.cause::<Destroyed>().cloned() else { return error };
    let name = |point: &RecoveryPointId| arguments.naming(point, config);
    let hint = match good {
        Some(good) => format!("to bring back the last recovery point before that, type: {}", name(&good)),
        None => format!("to restore this one all the same, type: {}", name(&point)),
    };
    error.hint(hint)
}

impl Arguments {
    /// The same command with a recovery point that is named.
    fn naming(&self, point: &RecoveryPointId, config: Option<&Path>) -> String {
        let mut words = vec!["backup-sla".to_owned()];
        words.extend(config.iter().flat_map(|file| ["--config".to_owned(), file.display().to_string()]));
        words.extend(["restore", &self.source, "--to", &self.to].map(str::to_owned));
        words.extend(self.credentials.typed());
        words.extend(self.host.host.iter().flat_map(|host| ["--host".to_owned(), host.clone()]));
        words.extend(self.table.iter().flat_map(|table| ["--table".to_owned(), table.clone()]));
        let switches =
            [("--overwrite", self.overwrite), ("--no-accounts", self.no_accounts), ("--no-verify", self.no_verify)];
        words.extend(switches.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned()));
        if self.sessions > 0 {
            words.extend(["--sessions".to_owned(), self.sessions.to_string()]);
        }
        words.extend(["--recovery-point".to_owned(), point.to_string()]);
        words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
    }
}

/// What was done about accounts, on one line; names of those that are not as backed up follow as notes.
fn told(accounts: &AccountsLoaded) -> String {
    if !accounts.asked {
        return "none brought back".to_owned();
    }
    let mut parts = vec![format!("{} as backed up", accounts.restored)];
    let kept = "kept the destination's password and got the backup's grants";
    for (names, what) in [(&accounts.kept, kept), (&accounts.refused, "REFUSED")] {
        if !names.is_empty() {
            parts.push(format!("{} {what} ({})", names.len(), names.join(", ")));
        }
    }
    parts.join(", ")
}

fn print(report: &RestoreReport, zone: Tz) -> Result<()> {
    output::line(&format!(
        "{}: restored {} of {} in {}",
        report.source,
        report.recovery_point,
        output::time_in(report.recovery_point_time, zone),
        duration(report.duration_seconds)
    ))?;
    match report.verified {
        Some(true) => output::line(&format!("  verified: {} checks hold", report.checks.len()))?,
        Some(false) => output::line(&format!("  NOT AS PROMISED: {}", report.reason))?,
        None => output::line("  not verified")?,
    }
    if let Some(accounts) = &report.accounts {
        output::line(&format!("  accounts: {}", told(accounts)))?;
    }
    let stages: Vec<String> = report.stages.iter().map(|(stage, s)| format!("{stage} {}", duration(*s))).collect();
    output::line(&format!("  stages: {}", stages.join(", ")))?;
    report.warnings.iter().try_for_each(|warning| output::line(&format!("  note: {warning}")))
}
