//! `backup-sla maintain [REPOSITORY…]`: remove what is beyond its retention, and give back its room.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clap::Args;

use super::output;
use super::session::{Session, for_each};
use crate::display::{rfc3339, size};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::retention::Reason;
use crate::error::Result;
use crate::operations::maintain::{KeptPoint, MaintainReport, SourceReport, maintain};
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
    for row in rows(source) {
        let (time, fate) = (row.shown_time(), row.fate.0.to_owned());
        table.add_row([repository.to_owned(), source.source.clone(), row.shown_name(), time, fate, row.fate.1]);
    }
    output::text(&table.to_string())
}

/// One line of a plan: a recovery point, or increments of one chain that follow each other and have the same fate.
struct Row {
    chain: (DateTime<Utc>, RecoveryPointId),
    /// As-of times of the first and the last.
    times: (DateTime<Utc>, DateTime<Utc>),
    id: RecoveryPointId,
    kind: BackupKind,
    count: usize,
    /// What becomes of it, and why.
    fate: (&'static str, String),
}

impl Row {
    fn shown_name(&self) -> String {
        match (self.kind, self.count) {
            (BackupKind::Full, _) => self.id.to_string(),
            (BackupKind::Incremental, 1) => format!("  {}", self.id),
            (BackupKind::Incremental, count) => format!("  {count} increments"),
        }
    }

    fn shown_time(&self) -> String {
        let (first, last) = self.times;
        if self.count == 1 { rfc3339(first) } else { format!("{} to {}", rfc3339(first), rfc3339(last)) }
    }

    fn takes(&self, next: &Self) -> bool {
        let are_increments = [self.kind, next.kind] == [BackupKind::Incremental; 2];
        are_increments && self.chain == next.chain && self.fate == next.fate
    }
}

/// Chain by chain, each in the order of its times. There can be thousands of increments.
fn rows(source: &SourceReport) -> Vec<Row> {
    let kept = source.kept.iter().map(|it| (&it.id, it.time));
    let times: BTreeMap<_, _> = kept.chain(source.removed.iter().map(|it| (&it.id, it.time))).collect();
    let row = |id: &RecoveryPointId, kind, chain: &RecoveryPointId, fate| {
        let time = times[id];
        let chain = (times.get(chain).copied().unwrap_or(time), chain.clone());
        Row { chain, times: (time, time), id: id.clone(), kind, count: 1, fate }
    };
    let beyond = || match &source.held_back {
        Some(why) => ("stays", format!("beyond retention, but {why}")),
        None => ("goes", "beyond retention".to_owned()),
    };
    let removed = source.removed.iter().map(|point| row(&point.id, point.kind, &point.chain, beyond()));
    let kept = source.kept.iter().map(|point| row(&point.id, point.kind, &point.chain, ("stays", why(point))));
    let mut all: Vec<Row> = removed.chain(kept).collect();
    all.sort_by(|a, b| (&a.chain, a.times, &a.id).cmp(&(&b.chain, b.times, &b.id)));
    let mut rows: Vec<Row> = Vec::new();
    for next in all {
        match rows.last_mut().filter(|last| last.takes(&next)) {
            Some(last) => (last.count, last.times.1) = (last.count + 1, next.times.1),
            None => rows.push(next),
        }
    }
    rows
}

/// Reasons in words. Which increment needs another one is no news to people.
fn why(point: &KeptPoint) -> String {
    let is_need = |reason: &Reason| matches!(reason, Reason::NeededBy(_)) && point.kind == BackupKind::Incremental;
    let (needs, others): (Vec<&Reason>, Vec<&Reason>) = point.reasons.iter().partition(|reason| is_need(reason));
    let mut why: Vec<String> = others.into_iter().map(ToString::to_string).collect();
    why.extend((why.is_empty() && !needs.is_empty()).then(|| "needed by a later increment".to_owned()));
    why.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;

    use super::*;

    fn kept(minute: i64, chain: i64, reasons: &[Reason]) -> KeptPoint {
        let id = |minute: i64| RecoveryPointId(format!("p{minute:05}"));
        let kind = if minute == chain { BackupKind::Full } else { BackupKind::Incremental };
        let time = DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        KeptPoint {
            id: id(minute),
            time,
            kind,
            chain: id(chain),
            reasons: reasons.iter().cloned().collect::<BTreeSet<_>>(),
        }
    }

    #[test]
    fn thousands_of_increments_of_one_fate_are_one_line() {
        let needed = |minute: i64| Reason::NeededBy(RecoveryPointId(format!("p{minute:05}")));
        let mut points = vec![kept(0, 0, &[needed(1)])];
        points.extend((1..5000).map(|minute| kept(minute, 0, &[needed(minute + 1)])));
        points.extend((5000..9000).map(|minute| kept(minute, 0, &[needed(minute + 1), Reason::WithinRetention])));
        // The next full comes before the last increments of the chain.
        points.push(kept(8000, 8000, &[Reason::WithinRetention]));
        points.push(kept(8001, 8000, &[Reason::WithinRetention]));
        let source = SourceReport { source: "shop".to_owned(), kept: points, removed: vec![], held_back: None };
        let shown: Vec<_> = rows(&source).iter().map(|row| (row.shown_name(), row.fate.1.clone())).collect();
        let line = |name: &str, why: &str| (name.to_owned(), why.to_owned());
        assert_eq!(
            shown,
            [
                line("p00000", "needed by p00001"),
                line("  4999 increments", "needed by a later increment"),
                line("  4000 increments", "within retention"),
                line("p08000", "within retention"),
                line("  p08001", "within retention"),
            ]
        );
        assert_eq!(rows(&source)[1].shown_time(), "1970-01-01T00:01:00Z to 1970-01-04T11:19:00Z");
    }
}
