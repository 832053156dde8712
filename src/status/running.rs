//! What runs now, and what begins next.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::manifest::BackupKind;
use crate::domain::schedule::Work;
use crate::ledger::{Operation, SourceFigures};
use crate::state::View;
use crate::state::service::Progress;

/// An operation that runs now, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunningNow {
    /// What is done.
    pub operation: Operation,
    /// The kind of backup that it makes, if it makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<BackupKind>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Since then.
    pub elapsed_seconds: f64,
    /// Phase it is in; null where another process runs it, or before the first.
    pub phase: Option<String>,
    /// Bytes done in this phase.
    pub done_bytes: Option<u64>,
    /// Bytes expected in this phase; an estimate.
    pub total_bytes: Option<u64>,
    /// Share of the phase that is done, 0–1.
    pub ratio: Option<f64>,
    /// How long the last good run of this operation took.
    pub last_duration_seconds: Option<f64>,
}

/// An operation, and the kind of backup that it makes.
type What = (Operation, Option<BackupKind>);

/// Its name for people.
pub(super) fn name(operation: Operation, kind: Option<BackupKind>) -> String {
    match kind {
        Some(kind @ BackupKind::Incremental) => format!("{kind} {operation}"),
        _ => operation.name().to_owned(),
    }
}

impl RunningNow {
    /// Its name for people.
    pub fn name(&self) -> String {
        name(self.operation, self.kind)
    }
}

/// What runs on a source now, oldest first: the runs of every process that the ledger knows, with the progress of those
/// that are ours.
pub fn running(view: &View, source: &str) -> Vec<RunningNow> {
    let figures = view.snapshot.sources.get(source);
    let recorded = figures.map(|figures| figures.running.as_slice()).unwrap_or_default();
    let mut ours: Vec<&Progress> = view.service.running.iter().filter(|progress| progress.source == source).collect();
    let mut all = Vec::new();
    for run in recorded {
        // One operation of a kind at a time on a source: a run of ours with this name is this run.
        let at = ours.iter().position(|progress| (progress.operation, progress.kind) == (run.operation, run.kind));
        let progress = at.map(|at| ours.remove(at));
        all.push(((run.operation, run.kind), run.started, progress));
    }
    // Begun since the ledger was read.
    let is_ours = |progress: &Progress| (progress.operation, progress.kind);
    all.extend(ours.into_iter().map(|progress| (is_ours(progress), progress.started, Some(progress))));
    all.sort_by_key(|(_, started, _)| *started);
    let running = |((operation, kind), started, progress): (What, DateTime<Utc>, Option<&Progress>)| RunningNow {
        operation,
        kind,
        started,
        elapsed_seconds: (view.now - started).as_seconds_f64().max(0.0),
        phase: progress.map(|progress| progress.phase.clone()).filter(|phase| !phase.is_empty()),
        done_bytes: progress.map(|progress| progress.done_bytes),
        total_bytes: progress.and_then(|progress| progress.total_bytes),
        ratio: progress.and_then(Progress::ratio),
        last_duration_seconds: figures.and_then(|figures| last_duration(figures, (operation, kind))),
    };
    all.into_iter().map(running).collect()
}

fn last_duration(figures: &SourceFigures, (operation, kind): What) -> Option<f64> {
    let run = match operation {
        Operation::Backup => kind.and_then(|kind| figures.backups.get(&kind)?.last_success.as_ref()),
        Operation::Drill => figures.drills.last_passed.as_ref(),
        Operation::Restore | Operation::Verify => None,
    };
    run.and_then(|run| run.duration_seconds)
}

/// When each scheduled work of a source is due next, by the work's name; what is not scheduled is missing.
pub fn next_runs(view: &View, source: &str) -> BTreeMap<Work, DateTime<Utc>> {
    let Some(scheduler) = &view.service.scheduler else { return BTreeMap::new() };
    let due = |work| Some((work, *scheduler.next_runs.get(&(source.to_owned(), work))?));
    Work::ALL.into_iter().filter_map(due).collect()
}
