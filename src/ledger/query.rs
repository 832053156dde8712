//! Reading single sources and runs. What the exporter needs of everything at once is in `snapshot`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::drill::{Check, TableResult};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Row, ledger_error};
use crate::ledger::runs::{Operation, PointRow, Run, RunId, RunReport};

/// The recovery points on which a drill has a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrilledPoints(BTreeMap<RecoveryPointId, BTreeSet<Option<i64>>>);

impl DrilledPoints {
    /// Whether there is a verdict on the recovery point `id`, whose data is as of `as_of`. A drill that stopped within an increment and
    /// passed says nothing of its end; one that failed there says that it is bad.
    pub fn contains(&self, id: &RecoveryPointId, as_of: DateTime<Utc>) -> bool {
        let drilled = self.0.get(id);
        drilled.is_some_and(|times| times.contains(&None) || times.contains(&Some(stored::micros(as_of))))
    }
}

impl Ledger {
    /// Number that grows with every change of the ledger, by whichever process.
    pub async fn revision(&self) -> Result<i64> {
        sqlx::query_scalar("SELECT revision FROM ledger_revision")
            .fetch_one(&self.pool)
            .await
            .map_err(|e| ledger_error("cannot read the ledger", e))
    }

    /// The `limit` newest runs of one operation on a source, newest first; the running one too.
    pub async fn last_runs(&self, source: &str, operation: Operation, limit: u32) -> Result<Vec<Run>> {
        let rows =
            sqlx::query("SELECT * FROM runs WHERE source = ? AND operation = ? ORDER BY begun_revision DESC LIMIT ?")
                .bind(source)
                .bind(operation.name())
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(|e| ledger_error("cannot read runs", e))?;
        rows.iter().map(stored::run).collect()
    }

    /// The recovery points that the repository last listed, oldest as-of time first.
    pub async fn points(&self, source: &str) -> Result<Vec<PointRow>> {
        let rows = sqlx::query("SELECT * FROM points WHERE source = ? ORDER BY as_of, id")
            .bind(source)
            .fetch_all(&self.pool)
            .await
            .map_err(|e| ledger_error("cannot read recovery points", e))?;
        rows.iter().map(stored::point).collect()
    }

    /// Whether anything was ever stored in this repository, by any source.
    pub async fn has_backups_in(&self, repository: &str) -> Result<bool> {
        let runs: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM runs WHERE repository = ? AND operation = 'backup' AND outcome = 'succeeded'",
        )
        .bind(repository)
        .fetch_one(&self.pool)
        .await
        .map_err(|e| ledger_error("cannot read runs", e))?;
        Ok(runs > 0)
    }

    /// When each remembered recovery point of a source was last proved by a passed drill. A point whose newest verdict
    /// is `failed` is not in it; an inconclusive drill changes nothing.
    pub async fn verified_at(&self, source: &str) -> Result<BTreeMap<RecoveryPointId, DateTime<Utc>>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT p.id, r.ended_at FROM points p JOIN runs r ON r.ended_revision = \
               (SELECT MAX(d.ended_revision) FROM runs d WHERE d.source = p.source AND d.recovery_point = p.id \
                AND d.operation = 'drill' AND d.outcome IN ('passed', 'failed') AND (d.outcome = 'failed' \
                OR d.recovery_point_time IS NULL OR d.recovery_point_time = p.as_of)) \
             WHERE p.source = ? AND r.outcome = 'passed'",
        )
        .bind(source)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| ledger_error("cannot read verified recovery points", e))?;
        rows.into_iter().map(|(id, at)| Ok((RecoveryPointId(id), stored::time(at)?))).collect()
    }

    /// The recovery points of a source on which a drill has a verdict: those that passed, and those that are bad.
    pub async fn drilled_points(&self, source: &str) -> Result<DrilledPoints> {
        let rows: Vec<(String, String, Option<i64>)> = sqlx::query_as(
            "SELECT DISTINCT recovery_point, outcome, recovery_point_time FROM runs WHERE source = ? AND operation = 'drill' \
               AND outcome IN ('passed', 'failed') AND recovery_point IS NOT NULL",
        )
        .bind(source)
        .fetch_all(&self.pool)
        .await
        .map_err(|e| ledger_error("cannot read drilled recovery points", e))?;
        let mut drilled = DrilledPoints::default();
        for (id, outcome, time) in rows {
            let time = if outcome == "failed" { None } else { time };
            drilled.0.entry(RecoveryPointId(id)).or_default().insert(time);
        }
        Ok(drilled)
    }

    /// Everything about one run. Errors: there is no such run.
    pub async fn run_report(&self, run: &RunId) -> Result<RunReport> {
        let failed = |e| ledger_error("cannot read a run", e);
        let mut tx = self.read().await?;
        let row = sqlx::query("SELECT * FROM runs WHERE id = ?").bind(&run.0).fetch_optional(&mut *tx).await;
        let row = row
            .map_err(failed)?
            .ok_or_else(|| Error::failed(format!("cannot read run {run}: there is no such run")))?;
        let stages = sqlx::query_as("SELECT name, seconds FROM run_stages WHERE run_id = ? ORDER BY position")
            .bind(&run.0)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        let checks =
            sqlx::query("SELECT name, expected, actual, ok FROM run_checks WHERE run_id = ? ORDER BY position")
                .bind(&run.0)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
        let tables = sqlx::query(
            "SELECT name, rows_expected, rows_restored, digest_ok FROM run_tables WHERE run_id = ? ORDER BY position",
        )
        .bind(&run.0)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        let details: Vec<(String, String)> =
            sqlx::query_as("SELECT name, content FROM run_details WHERE run_id = ? ORDER BY position")
                .bind(&run.0)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
        Ok(RunReport {
            run: stored::run(&row)?,
            stages,
            checks: checks.iter().map(check).collect::<Result<_>>()?,
            tables: tables.iter().map(table).collect::<Result<_>>()?,
            details: details.into_iter().collect(),
        })
    }
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
