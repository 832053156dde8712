//! `/api/v1/…`: what the pages show, for programs (docs/status-api.md). Fields are added, never changed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::page::Page;
use super::query::Query;
use crate::config::SourceConfig;
use crate::domain::drill::{Check, TableResult};
use crate::domain::schedule::Work;
use crate::error::Result;
use crate::ledger::history::{BackupSample, DrillSample, PointState, SourceHistory, Verification};
use crate::ledger::{ChainBreak, Ledger, MissedRuns, PointRow, Run};
use crate::state::View;
use crate::state::service::RepositoryState;
use crate::status::{self, RunningNow, SourceStatus};

/// Days that the history of a source reaches back.
const HISTORY_DAYS: i64 = 30;

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    revision: &'a str,
    time: DateTime<Utc>,
    ledger: LedgerState,
    sources: Vec<Entry>,
    retired: Vec<&'a str>,
    repositories: Vec<Repository<'a>>,
    scheduler: Option<Scheduler>,
    reload: Option<Reload<'a>>,
}

#[derive(Serialize)]
struct LedgerState {
    read: DateTime<Utc>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    status: SourceStatus,
    next_runs: BTreeMap<Work, DateTime<Utc>>,
    progress: Vec<RunningNow>,
}

#[derive(Serialize)]
struct Repository<'a> {
    #[serde(rename = "repository")]
    name: &'a str,
    up: Option<bool>,
    key_available: Option<bool>,
    size_bytes: Option<u64>,
    available_bytes: Option<u64>,
    /// None before the first.
    last_look: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Scheduler {
    last_tick: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Reload<'a> {
    time: DateTime<Utc>,
    error: Option<&'a str>,
}

/// `/api/v1/status`.
pub(super) async fn status(view: &View, ledger: &Ledger, query: &Query) -> Result<Page> {
    let error = ledger.revision().await.err().map(|error| error.to_string());
    let status = if error.is_some() { 503 } else { 200 };
    let sources = view.config.sources.values().filter(|source| {
        query.matches(&[&source.name, source.kind.name(), &source.repository])
            && (!query.running || !status::running(view, &source.name).is_empty())
    });
    let retired = view.snapshot.sources.keys().filter(|name| !view.config.sources.contains_key(*name));
    let document = Document {
        version: &view.service.version,
        revision: &view.service.revision,
        time: view.now,
        ledger: LedgerState { read: view.snapshot.taken, error },
        sources: sources.map(|source| entry(view, source)).collect(),
        retired: retired.map(String::as_str).collect(),
        repositories: view.config.repositories.keys().map(|name| repository(view, name)).collect(),
        scheduler: view.service.scheduler.as_ref().map(|it| Scheduler { last_tick: it.last_tick }),
        reload: view.service.last_reload.as_ref().map(|it| Reload { time: it.at, error: it.error.as_deref() }),
    };
    Page::json(status, &document)
}

fn repository<'a>(view: &View, name: &'a str) -> Repository<'a> {
    let RepositoryState { up, key_available, size_bytes, available_bytes, last_look, awaited_since: _ } =
        view.service.repositories.get(name).copied().unwrap_or_default();
    Repository { name, up, key_available, size_bytes, available_bytes, last_look }
}

fn entry(view: &View, source: &SourceConfig) -> Entry {
    Entry {
        status: status::of(view, source),
        next_runs: status::next_runs(view, &source.name),
        progress: status::running(view, &source.name),
    }
}

#[derive(Serialize)]
struct SourceDocument<'a> {
    version: &'a str,
    time: DateTime<Utc>,
    #[serde(flatten)]
    entry: Entry,
    history: History<'a>,
}

#[derive(Serialize)]
struct History<'a> {
    recovery_points: Vec<Point<'a>>,
    newest_verified: Option<&'a PointRow>,
    backups: Vec<Backup>,
    drills: Vec<Drill<'a>>,
    verification: Option<Checked<'a>>,
    failures: &'a [Run],
    missed: &'a [MissedRuns],
    breaks: &'a [ChainBreak],
}

#[derive(Serialize)]
struct Point<'a> {
    #[serde(flatten)]
    row: &'a PointRow,
    /// `passed`, `failed`; null before the first drill with a verdict.
    verdict: Option<&'static str>,
    drilled: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Backup {
    kind: crate::domain::manifest::BackupKind,
    recovery_point_time: DateTime<Utc>,
    ended: DateTime<Utc>,
    logical_bytes: u64,
    added_bytes: u64,
    chain_length: u32,
}

#[derive(Serialize)]
struct Drill<'a> {
    #[serde(flatten)]
    run: &'a Run,
    /// Seconds.
    stages: BTreeMap<&'a str, f64>,
}

#[derive(Serialize)]
struct Checked<'a> {
    drill: &'a str,
    time: Option<DateTime<Utc>>,
    checks: u64,
    mismatches: u64,
    /// At most [`crate::ledger::history::CHECKS`], those that did not agree first.
    listed_checks: &'a [Check],
    tables: &'a [TableResult],
    tables_total: u64,
}

#[derive(Serialize)]
struct Refused {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// `/api/v1/sources/NAME`.
pub(super) async fn source(view: &View, ledger: &Ledger, name: &str) -> Result<Page> {
    let Some(config) = view.config.sources.get(name) else {
        return Page::json(404, &Refused { error: "there is no such source".to_owned(), hint: None });
    };
    let (history, verification) = match super::source::read(view, ledger, name, HISTORY_DAYS).await {
        Ok(read) => read,
        Err(error) => {
            let hint = error.hint_text().map(str::to_owned);
            return Page::json(503, &Refused { error: error.to_string(), hint });
        }
    };
    let conclusive = view.snapshot.sources.get(name).and_then(|figures| figures.drills.last_conclusive.as_ref());
    let document = SourceDocument {
        version: &view.service.version,
        time: view.now,
        entry: entry(view, config),
        history: history_of(&history, conclusive.zip(verification.as_ref())),
    };
    Page::json(200, &document)
}

fn history_of<'a>(history: &'a SourceHistory, conclusive: Option<(&'a Run, &'a Verification)>) -> History<'a> {
    let point = |state: &'a PointState| Point {
        row: &state.point,
        verdict: state.verdict.map(|(passed, _)| if passed { "passed" } else { "failed" }),
        drilled: state.verdict.map(|(_, at)| at),
    };
    let drill = |sample: &'a DrillSample| Drill {
        run: &sample.run,
        stages: sample.stages.iter().map(|(name, seconds)| (name.as_str(), *seconds)).collect(),
    };
    let checked = |(run, verification): (&'a Run, &'a Verification)| Checked {
        drill: &run.id.0,
        time: run.ended,
        checks: run.checks,
        mismatches: run.mismatches,
        listed_checks: &verification.checks,
        tables: &verification.tables,
        tables_total: verification.tables_total,
    };
    History {
        recovery_points: history.points.iter().map(point).collect(),
        newest_verified: history.newest_verified.as_ref(),
        backups: history.backups.iter().map(backup).collect(),
        drills: history.drills.iter().map(drill).collect(),
        verification: conclusive.map(checked),
        failures: &history.failures,
        missed: &history.missed,
        breaks: &history.breaks,
    }
}

fn backup(sample: &BackupSample) -> Backup {
    Backup {
        kind: sample.kind,
        recovery_point_time: sample.as_of,
        ended: sample.ended,
        logical_bytes: sample.logical_bytes,
        added_bytes: sample.added_bytes,
        chain_length: sample.chain_length,
    }
}
