//! What a page shows of one source's past. Every query follows an index and stops at a limit, so that a page costs the
//! same after ten years as after one month.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::change::State;
use crate::domain::drill::{Check, TableResult};
use crate::domain::drill_choice::{DrillKind, FailedDrill};
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::error::Result;
use crate::ledger::breaks::newest_breaks;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Builder, Connection, Row, ledger_error};
use crate::ledger::evidence::read_suspect;
use crate::ledger::runs::{Operation, Outcome, PointRow, Run, newest_missed, read_failed_drills};
use crate::ledger::{ChainBreak, Ledger, MissedRuns};

/// Most recovery points, the newest.
pub const POINTS: usize = 50;
/// Most backups of each kind within the time asked for, the newest: one every quarter of an hour for a month.
pub const BACKUPS: usize = 10_000;
/// Most drills, the newest.
pub const DRILLS: usize = 60;
/// Most runs of each operation and outcome that did not end well, the newest.
pub const FAILURES: usize = 10;
/// Most entries of missed runs, the newest.
pub const MISSED: usize = 10;
/// Most breaks of the chain, the newest.
pub const BREAKS: usize = 50;
/// Most checks of one drill, those that did not agree first.
pub const CHECKS: usize = 100;
/// Most tables of one drill, those that did not agree first.
pub const TABLES: usize = 500;
/// Most recovery points with one time that are looked at for the one that a drill passed on.
const TWINS: usize = 8;

/// What became of a source lately.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceHistory {
    /// Recovery points, newest first.
    pub points: Vec<PointState>,
    /// The newest one that a drill passed on; it may be older than all of `points`.
    pub newest_verified: Option<PointRow>,
    /// Recovery points of which something suspect was found, accepted or not.
    pub suspect: BTreeMap<RecoveryPointId, State>,
    /// Drills that failed, where none of the same has passed since.
    pub failed_drills: Vec<FailedDrill>,
    /// Successful backups of the time asked for, and the last one before it; oldest first.
    pub backups: Vec<BackupSample>,
    /// Drills that have ended, newest first.
    pub drills: Vec<DrillSample>,
    /// Runs that did not end well, newest first.
    pub failures: Vec<Run>,
    /// Scheduled runs that did not begin, newest first.
    pub missed: Vec<MissedRuns>,
    /// Breaks of the chain, newest first.
    pub breaks: Vec<ChainBreak>,
}

/// A recovery point and what the last drill on it said.
#[derive(Debug, Clone, PartialEq)]
pub struct PointState {
    /// The point.
    pub point: PointRow,
    /// Whether that drill passed, and when it ended; none if there was none with a verdict about the data.
    pub verdict: Option<(bool, DateTime<Utc>)>,
}

/// A backup that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupSample {
    /// Full or incremental.
    pub kind: BackupKind,
    /// As-of time of its recovery point.
    pub as_of: DateTime<Utc>,
    /// When it was published.
    pub ended: DateTime<Utc>,
    /// Bytes before deduplication and compression.
    pub logical_bytes: u64,
    /// Bytes the repository grew by.
    pub added_bytes: u64,
    /// Increments on top of the full.
    pub chain_length: u32,
}

/// A drill with the seconds of its stages, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct DrillSample {
    /// The drill.
    pub run: Run,
    /// Its stages.
    pub stages: Vec<(String, f64)>,
}

/// What one drill compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verification {
    /// Checks, those that did not agree first.
    pub checks: Vec<Check>,
    /// Tables, those that did not agree first.
    pub tables: Vec<TableResult>,
    /// How many tables there are.
    pub tables_total: u64,
}

impl Ledger {
    /// The past of `source` since `since`; `verified` is the as-of time of its newest verified recovery point.
    pub async fn source_history(
        &self,
        source: &str,
        since: DateTime<Utc>,
        verified: Option<DateTime<Utc>>,
    ) -> Result<SourceHistory> {
        let mut tx = self.read().await?;
        let points = newest_points(&mut tx, source).await?;
        let points = with_verdicts(&mut tx, source, points).await?;
        let mut newest_verified = None;
        if let Some(as_of) = verified {
            let twins = points_of(&mut tx, source, as_of).await?;
            let passed = |state: &PointState| state.verdict.is_some_and(|(passed, _)| passed);
            let found = with_verdicts(&mut tx, source, twins).await?.into_iter().find(passed);
            newest_verified = found.map(|state| state.point);
        }
        let history = SourceHistory {
            points,
            newest_verified,
            suspect: read_suspect(&mut tx, source).await?,
            failed_drills: read_failed_drills(&mut tx, source).await?,
            backups: backups(&mut tx, source, since).await?,
            drills: drills(&mut tx, source).await?,
            failures: failures(&mut tx, source).await?,
            missed: newest_missed(&mut tx, source, MISSED).await?,
            breaks: newest_breaks(&mut tx, source, limit(BREAKS)).await?,
        };
        tx.commit().await.map_err(failed)?;
        Ok(history)
    }

    /// What the drill `run` compared.
    pub async fn verification(&self, run: &Run) -> Result<Verification> {
        let mut tx = self.read().await?;
        let checks = sqlx::query(
            "SELECT name, expected, actual, ok FROM run_checks WHERE run_id = ? ORDER BY ok, position LIMIT ?",
        )
        .bind(&run.id.0)
        .bind(limit(CHECKS))
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        let tables = sqlx::query(
            "SELECT name, rows_expected, rows_restored, digest_ok FROM run_tables WHERE run_id = ? \
             ORDER BY CASE WHEN digest_ok = 1 AND rows_expected = rows_restored THEN 1 ELSE 0 END, position LIMIT ?",
        )
        .bind(&run.id.0)
        .bind(limit(TABLES))
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM run_tables WHERE run_id = ?")
            .bind(&run.id.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Verification {
            checks: checks.iter().map(check).collect::<Result<_>>()?,
            tables: tables.iter().map(table).collect::<Result<_>>()?,
            tables_total: stored::count(total),
        })
    }
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot read the history", error)
}

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

async fn newest_points(tx: &mut Connection, source: &str) -> Result<Vec<PointRow>> {
    let rows = sqlx::query("SELECT * FROM points WHERE source = ? ORDER BY as_of DESC LIMIT ?")
        .bind(source)
        .bind(limit(POINTS))
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    rows.iter().map(stored::point).collect()
}

async fn points_of(tx: &mut Connection, source: &str, as_of: DateTime<Utc>) -> Result<Vec<PointRow>> {
    let rows = sqlx::query("SELECT * FROM points WHERE source = ? AND as_of = ? LIMIT ?")
        .bind(source)
        .bind(stored::micros(as_of))
        .bind(limit(TWINS))
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    rows.iter().map(stored::point).collect()
}

async fn with_verdicts(tx: &mut Connection, source: &str, points: Vec<PointRow>) -> Result<Vec<PointState>> {
    let mut states = Vec::new();
    for point in points {
        let row = sqlx::query(
            "SELECT outcome, ended_at FROM runs WHERE ended_revision = \
               (SELECT MAX(ended_revision) FROM runs WHERE source = ? AND recovery_point = ? \
                AND operation = 'drill' AND outcome IN ('passed', 'failed') \
                AND (outcome = 'failed' OR recovery_point_time IS NULL OR recovery_point_time = ?))",
        )
        .bind(source)
        .bind(&point.id.0)
        .bind(stored::micros(point.as_of))
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        let verdict = match row {
            Some(row) => {
                let passed = stored::outcome(column(&row, "outcome")?)? == Some(Outcome::Passed);
                stored::optional_time(column(&row, "ended_at")?)?.map(|ended| (passed, ended))
            }
            None => None,
        };
        states.push(PointState { point, verdict });
    }
    Ok(states)
}

const SAMPLE: &str = "SELECT kind, recovery_point_time, ended_at, logical_bytes, added_bytes, chain_length FROM runs \
     WHERE source = ? AND operation = 'backup' AND kind = ? AND outcome = 'succeeded' AND started_at >= ? \
     ORDER BY started_at DESC LIMIT ?";
const SAMPLE_BEFORE: &str = "SELECT kind, recovery_point_time, ended_at, logical_bytes, added_bytes, chain_length \
     FROM runs WHERE source = ? AND operation = 'backup' AND kind = ? AND outcome = 'succeeded' AND started_at < ? \
     ORDER BY started_at DESC LIMIT ?";

async fn backups(tx: &mut Connection, source: &str, since: DateTime<Utc>) -> Result<Vec<BackupSample>> {
    let mut samples = Vec::new();
    for kind in [BackupKind::Full, BackupKind::Incremental] {
        let before = samples.len();
        for (statement, rows) in [(SAMPLE, BACKUPS), (SAMPLE_BEFORE, 1)] {
            // Joined to what is beyond the limit, the one before would make a gap that never was.
            if samples.len() - before >= BACKUPS {
                break;
            }
            let rows = sqlx::query(statement)
                .bind(source)
                .bind(stored::kind_name(Some(kind)))
                .bind(stored::micros(since))
                .bind(limit(rows))
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
            for row in &rows {
                samples.extend(sample(row, kind)?);
            }
        }
    }
    samples.sort_by_key(|sample| sample.ended);
    Ok(samples)
}

fn sample(row: &Row, kind: BackupKind) -> Result<Option<BackupSample>> {
    let as_of = stored::optional_time(column(row, "recovery_point_time")?)?;
    let ended = stored::optional_time(column(row, "ended_at")?)?;
    let (Some(as_of), Some(ended)) = (as_of, ended) else { return Ok(None) };
    Ok(Some(BackupSample {
        kind,
        as_of,
        ended,
        logical_bytes: stored::count(column(row, "logical_bytes")?),
        added_bytes: stored::count(column(row, "added_bytes")?),
        chain_length: stored::chain_length(column(row, "chain_length")?),
    }))
}

async fn drills(tx: &mut Connection, source: &str) -> Result<Vec<DrillSample>> {
    let rows =
        sqlx::query("SELECT * FROM runs WHERE source = ? AND operation = 'drill' ORDER BY begun_revision DESC LIMIT ?")
            .bind(source)
            .bind(limit(DRILLS))
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
    let mut runs: Vec<Run> = rows.iter().map(stored::run).collect::<Result<_>>()?;
    runs.retain(|run| run.outcome.is_some());
    let mut stages = stages(tx, &runs).await?;
    let with_stages = |run: Run| DrillSample { stages: stages.remove(&run.id.0).unwrap_or_default(), run };
    Ok(runs.into_iter().map(with_stages).collect())
}

async fn stages(tx: &mut Connection, runs: &[Run]) -> Result<BTreeMap<String, Vec<(String, f64)>>> {
    let mut by_run: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    if runs.is_empty() {
        return Ok(by_run);
    }
    let mut query = Builder::new("SELECT run_id, name, seconds FROM run_stages WHERE run_id IN ");
    query.push("(");
    let mut list = query.separated(", ");
    for run in runs {
        list.push_bind(run.id.0.clone());
    }
    query.push(") ORDER BY run_id, position");
    for row in query.build().fetch_all(tx).await.map_err(failed)? {
        by_run.entry(column(&row, "run_id")?).or_default().push((column(&row, "name")?, column(&row, "seconds")?));
    }
    Ok(by_run)
}

async fn failures(tx: &mut Connection, source: &str) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for operation in Operation::ALL {
        let drills = DrillKind::ALL.map(|kind| stored::drill_name(Some(kind)));
        let kinds: &[&str] = match operation {
            Operation::Backup => &["full", "incremental"],
            Operation::Drill => &drills,
            _ => &[""],
        };
        for kind in kinds {
            for outcome in Outcome::ALL.into_iter().filter(|outcome| !outcome.is_good()) {
                let rows = sqlx::query(
                    "SELECT * FROM runs WHERE source = ? AND operation = ? AND kind = ? AND outcome = ? \
                     ORDER BY started_at DESC LIMIT ?",
                )
                .bind(source)
                .bind(operation.name())
                .bind(*kind)
                .bind(outcome.name())
                .bind(limit(FAILURES))
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
                for row in &rows {
                    runs.push(stored::run(row)?);
                }
            }
        }
    }
    // The order of results, which does not depend on a clock that may jump.
    runs.sort_by_key(|run| std::cmp::Reverse(run.ended_revision));
    runs.truncate(FAILURES);
    Ok(runs)
}

fn check(row: &Row) -> Result<Check> {
    Ok(Check {
        name: column(row, "name")?,
        expected: column(row, "expected")?,
        actual: column(row, "actual")?,
        ok: column::<i64>(row, "ok")? != 0,
    })
}

fn table(row: &Row) -> Result<TableResult> {
    Ok(TableResult {
        name: column(row, "name")?,
        rows_expected: stored::count(column(row, "rows_expected")?),
        rows_restored: stored::count(column(row, "rows_restored")?),
        digest_ok: column::<i64>(row, "digest_ok")? != 0,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::runs::missed::NEWEST;

    /// Every statement of a page that reads `runs`, `points` or `missed_runs`, as the database means to carry it out.
    #[tokio::test]
    async fn every_query_follows_an_index_on_all_it_asks_for() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), SystemClock::shared()).await.unwrap();
        let cases = [
            ("SELECT * FROM points WHERE source = ? ORDER BY as_of DESC LIMIT ?", "points_as_of (source=?)"),
            (SAMPLE, "runs_counters (source=? AND operation=? AND kind=? AND outcome=? AND started_at>?)"),
            (SAMPLE_BEFORE, "runs_counters (source=? AND operation=? AND kind=? AND outcome=? AND started_at<?)"),
            (
                "SELECT * FROM runs WHERE source = ? AND operation = 'drill' ORDER BY begun_revision DESC LIMIT ?",
                "runs_by_begin (source=? AND operation=?)",
            ),
            (
                "SELECT * FROM runs WHERE source = ? AND operation = ? AND kind = ? AND outcome = ? \
                 ORDER BY started_at DESC LIMIT ?",
                "runs_counters (source=? AND operation=? AND kind=? AND outcome=?)",
            ),
            (NEWEST, "sqlite_autoindex_missed_runs_1 (source=? AND operation=? AND kind=?)"),
        ];
        for (statement, index) in cases {
            let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let plan = sqlx::query(explained).fetch_all(&ledger.pool).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get::<String, _>("detail")).collect();
            assert!(plan.len() == 1 && plan[0].ends_with(index), "{statement}: {plan:?}");
        }
    }
}
