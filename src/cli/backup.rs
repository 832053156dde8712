//! `backup-sla backup [SOURCE…] [--full | --incremental]`

use chrono_tz::Tz;
use clap::Args;

use super::arguments::Sources;
use super::session::{Session, for_each};
use super::{notes, output};
use crate::display::{duration, size};
use crate::domain::words::Words;
use crate::error::Result;
use crate::operations::backup::{BackupReport, backup};
use crate::operations::change::warning;
use crate::operations::increment::increment;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    /// A full backup (the default)
    #[arg(long, conflicts_with = "incremental")]
    full: bool,
    /// Only what came since the newest backup; a full one where that cannot be continued
    #[arg(long)]
    incremental: bool,
    /// Show all notes, not only those that are new since the last backup
    #[arg(long)]
    notes: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources.sources)?;
    Ok(for_each(session, &names, |name| {
        let source = app.source(name)?;
        let take = if arguments.incremental { increment } else { backup };
        let report = take(&app, &source, &session.context)?;
        if session.json {
            output::json(&report)?;
        } else if !session.quiet {
            let notes = notes::news(&app, (name, "backup"), &report.warnings, &report.losses, arguments.notes);
            print(&report, source.kind.words(), &notes, app.config.timezone)?;
        }
        Ok(0)
    }))
}

/// One backup for people.
pub fn print(report: &BackupReport, words: Words, notes: &[String], zone: Tz) -> Result<()> {
    output::line(&format!(
        "{}: {} backup {} of {} ({}, {}; stored {}) in {}",
        report.source,
        report.kind,
        report.recovery_point,
        output::time_in(report.recovery_point_time, zone),
        report.transactions.map_or_else(
            || output::contents(words, report.tables, report.rows),
            |transactions| format!(
                "{} transaction{}",
                output::count(transactions),
                if transactions == 1 { "" } else { "s" }
            ),
        ),
        size(report.logical_bytes),
        size(report.stored_bytes),
        duration(report.duration_seconds),
    ))?;
    let destroyed = report.change.as_ref().and_then(|found| warning(&report.source, found));
    destroyed.iter().try_for_each(|said| output::line(&format!("{}: {said}", report.source)))?;
    let notes = notes.iter().filter(|note| Some(*note) != destroyed.as_ref());
    notes.cloned().try_for_each(|note| output::line(&format!("  note: {note}")))
}
