//! `backup-sla maintain [REPOSITORY…]`: remove what is beyond its retention, and give back its room.

use clap::Args;

use super::output;
use super::session::{Session, for_each};
use crate::display::{rfc3339, size};
use crate::error::Result;
use crate::operations::maintain::{MaintainReport, SourceReport, maintain};
use crate::operations::observe::by_repository;

/// Arguments of `maintain`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Repositories to work on [default: all]
    #[arg(value_name = "REPOSITORY")]
    repositories: Vec<String>,
    /// Change nothing; print which recovery points would stay, each with why, and which would go
    #[arg(long)]
    dry_run: bool,
}

/// Maintain each repository; one that fails does not keep the others from their turn.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let all = || by_repository(&app).into_keys().collect();
    let names = if arguments.repositories.is_empty() { all() } else { arguments.repositories.clone() };
    Ok(for_each(session, &names, |name| {
        let report = maintain(&app, name, arguments.dry_run, &session.context);
        session.context.progress.finish();
        let report = report?;
        if session.json {
            output::json(&report)?;
        } else if !session.quiet {
            print(&report)?;
        }
        Ok(0)
    }))
}

fn print(report: &MaintainReport) -> Result<()> {
    let name = &report.repository;
    if report.dry_run {
        for source in &report.sources {
            print_plan(name, source)?;
        }
        let planned: usize = report.sources.iter().filter(|it| it.held_back.is_none()).map(|it| it.removed.len()).sum();
        return output::line(&format!("{name}: {planned} recovery points would be removed; nothing was changed"));
    }
    let (freed, marked) = (size(report.freed_bytes), size(report.marked_bytes));
    let removed = report.removed_points;
    output::line(&format!(
        "{name}: {removed} recovery points removed, {freed} freed, {marked} to be freed by a later run"
    ))?;
    report.warnings.iter().try_for_each(|warning| output::line(&format!("{name}: {warning}")))
}

fn print_plan(repository: &str, source: &SourceReport) -> Result<()> {
    let mut table = output::table(&["REPOSITORY", "SOURCE", "RECOVERY POINT", "TIME (UTC)", "FATE", "WHY"]);
    let first = |id: &dyn std::fmt::Display| vec![repository.to_owned(), source.source.clone(), id.to_string()];
    let removed = source.removed.iter().map(|point| {
        let (fate, why) = match &source.held_back {
            Some(why) => ("stays", format!("beyond retention, but {why}")),
            None => ("goes", "beyond retention".to_owned()),
        };
        (point.time, [first(&point.id), vec![rfc3339(point.time), fate.to_owned(), why]].concat())
    });
    let kept = source.kept.iter().map(|point| {
        let why: Vec<String> = point.reasons.iter().map(ToString::to_string).collect();
        (point.time, [first(&point.id), vec![rfc3339(point.time), "stays".to_owned(), why.join(", ")]].concat())
    });
    let mut rows: Vec<_> = removed.chain(kept).collect();
    rows.sort();
    for (_, row) in rows {
        table.add_row(row);
    }
    output::text(&table.to_string())
}
