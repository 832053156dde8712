//! `backup-sla backup [SOURCE…] [--full | --incremental]`

use clap::Args;

use super::output;
use super::{Session, Sources, for_each};
use crate::error::{Error, Result};
use crate::operations::backup::{BackupReport, backup};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// A full backup (the default)
    #[arg(long, conflicts_with = "incremental")]
    full: bool,
    /// Only what changed since the last backup
    #[arg(long)]
    incremental: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    if arguments.incremental {
        return Err(Error::configuration("incremental backups are not built yet").hint("take a full one with --full"));
    }
    let app = session.app()?;
    let names = app.names(&arguments.sources.sources)?;
    Ok(for_each(session, &names, |name| {
        let source = app.source(name)?;
        let report = backup(&app, &source, &session.context)?;
        let shown = if session.json { output::json(&report) } else { print(&report, source.engine_name) };
        shown?;
        Ok(0)
    }))
}

/// One backup for people.
pub fn print(report: &BackupReport, kind: &str) -> Result<()> {
    output::line(&format!(
        "{}: {} backup {} of {} ({}, {}; stored {}) in {}",
        report.source,
        report.kind,
        report.recovery_point,
        output::time(report.recovery_point_time),
        output::contents(kind, report.tables, report.rows),
        output::size(report.logical_bytes),
        output::size(report.stored_bytes),
        output::duration(report.duration_seconds),
    ))?;
    report.warnings.iter().try_for_each(|warning| output::line(&format!("  note: {warning}")))
}
