//! Writing: runs that begin and end, and sources.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::run::{Operation, Outcome, RunId, RunResult, RunStart};
use crate::domain::drill::Check;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, ROWS_PER_INSERT};
use crate::ledger::database::{Builder, Connection, RowValues, ledger_error};
use crate::ledger::evidence::seal_runs;
use crate::process::identity;

const INSERT_RUN: &str = "INSERT INTO runs (id, source, operation, kind, outcome, reason, process, started_at, \
     begun_revision, over_rto, logical_bytes, added_bytes, row_count, chain_length, check_count, mismatch_count, \
     verified_rows, repository) VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, \
     COALESCE((SELECT repository FROM sources WHERE name = ?), ''))";

const FINISH_RUN: &str = "UPDATE runs SET outcome = ?, reason = ?, hint = ?, ended_at = ?, ended_revision = ?, \
     recovery_point = ?, recovery_point_time = ?, duration_seconds = ?, rto_seconds = ?, over_rto = ?, \
     logical_bytes = ?, added_bytes = ?, row_count = ?, chain_length = ?, check_count = ?, mismatch_count = ?, \
     verified_rows = ? WHERE id = ? AND outcome IN ('running', 'interrupted') AND duration_seconds IS NULL";

impl Ledger {
    /// Write that a run begins, before anything is done. The run is ours until [`Ledger::finish`]; if this process
    /// ends first, the next [`Ledger::recover`] of any process marks it interrupted.
    pub async fn begin(&self, start: &RunStart) -> Result<RunId> {
        let now = self.clock.wall();
        let id = Ulid::from_datetime(now.into()).to_string();
        let mut tx = self.write().await?;
        let revision = next_revision(&mut tx).await?;
        sqlx::query(INSERT_RUN)
            .bind(&id)
            .bind(&start.source)
            .bind(start.operation.name())
            .bind(if start.drill.is_some() { stored::drill_name(start.drill) } else { stored::kind_name(start.kind) })
            .bind(stored::RUNNING)
            .bind(&*self.process)
            .bind(stored::micros(now))
            .bind(revision)
            .bind(&start.source)
            .execute(&mut *tx)
            .await
            .map_err(|e| ledger_error("cannot record the begin of a run", e))?;
        let run = RunId(id);
        seal_runs(&mut tx, std::slice::from_ref(&run), now).await?;
        tx.commit().await.map_err(|e| ledger_error("cannot record the begin of a run", e))?;
        Ok(run)
    }

    /// Write how a run ended, with all its stages, checks and tables, or nothing of it.
    ///
    /// A run that was taken for interrupted although its process lives (it was out of sight, in another container)
    /// gets its real result. Errors: no such run, or it has a result already.
    pub async fn finish(&self, run: &RunId, result: &RunResult) -> Result<()> {
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        let revision = next_revision(&mut tx).await?;
        let changed = update_run(&mut tx, run, result, now, revision).await?;
        if changed != 1 {
            return Err(Error::failed(format!(
                "cannot record the result of run {run}: it is unknown or has a result already"
            )));
        }
        insert_stages(&mut tx, run, &result.stages).await?;
        insert_checks(&mut tx, run, &result.checks).await?;
        insert_tables(&mut tx, run, result).await?;
        insert_details(&mut tx, run, &result.details).await?;
        sqlx::query(
            "UPDATE sources SET facts_revision = ? WHERE name IN (SELECT source FROM runs WHERE id = ? AND operation = ?)",
        )
        .bind(revision)
        .bind(&run.0)
        .bind(Operation::Drill.name())
        .execute(&mut *tx)
        .await
        .map_err(|e| ledger_error("cannot record the result of a run", e))?;
        seal_runs(&mut tx, std::slice::from_ref(run), now).await?;
        tx.commit().await.map_err(|e| ledger_error("cannot record the result of a run", e))
    }

    /// Mark every run as interrupted that is still running although the process that ran it is gone. Returns them.
    pub async fn recover(&self) -> Result<Vec<RunId>> {
        // Looked for without the write lock: nearly always there is nothing to do.
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, process FROM runs WHERE outcome = 'running'")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| ledger_error("cannot look for interrupted runs", e))?;
        let gone: Vec<RunId> =
            rows.into_iter().filter(|(_, process)| !identity::is_running(process)).map(|(id, _)| RunId(id)).collect();
        if gone.is_empty() {
            return Ok(gone);
        }
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        for run in &gone {
            let revision = next_revision(&mut tx).await?;
            sqlx::query(
                "UPDATE runs SET outcome = ?, reason = ?, ended_at = ?, ended_revision = ? \
                 WHERE id = ? AND outcome = 'running'",
            )
            .bind(Outcome::Interrupted.name())
            .bind("the process that ran it ended without a result")
            .bind(stored::micros(now))
            .bind(revision)
            .bind(&run.0)
            .execute(&mut *tx)
            .await
            .map_err(|e| ledger_error("cannot record an interrupted run", e))?;
        }
        seal_runs(&mut tx, &gone, now).await?;
        tx.commit().await.map_err(|e| ledger_error("cannot record an interrupted run", e))?;
        Ok(gone)
    }
}

pub(in crate::ledger) async fn next_revision(tx: &mut Connection) -> Result<i64> {
    let failed = |e| ledger_error("cannot count the revision of the ledger", e);
    sqlx::query("UPDATE ledger_revision SET revision = revision + 1").execute(&mut *tx).await.map_err(failed)?;
    sqlx::query_scalar("SELECT revision FROM ledger_revision").fetch_one(tx).await.map_err(failed)
}

async fn update_run(
    tx: &mut Connection,
    run: &RunId,
    result: &RunResult,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<u64> {
    let mismatches = result.checks.iter().filter(|check| !check.ok).count();
    let verified_rows: u64 = result.tables.iter().map(|table| table.rows_restored).sum();
    let done = sqlx::query(FINISH_RUN)
        .bind(result.outcome.name())
        .bind(&result.reason)
        .bind(&result.hint)
        .bind(stored::micros(now))
        .bind(revision)
        .bind(result.recovery_point.as_ref().map(|point| &point.0))
        .bind(result.recovery_point_time.map(stored::micros))
        .bind(result.duration_seconds)
        .bind(result.rto_seconds)
        .bind(i64::from(result.over_rto))
        .bind(stored::whole(result.logical_bytes))
        .bind(stored::whole(result.added_bytes))
        .bind(stored::whole(result.rows))
        .bind(i64::from(result.chain_length))
        .bind(stored::whole(result.checks.len() as u64))
        .bind(stored::whole(mismatches as u64))
        .bind(stored::whole(verified_rows))
        .bind(&run.0)
        .execute(tx)
        .await
        .map_err(|e| ledger_error("cannot record the result of a run", e))?;
    Ok(done.rows_affected())
}

async fn insert_stages(tx: &mut Connection, run: &RunId, stages: &[(String, f64)]) -> Result<()> {
    insert_rows(tx, "INSERT INTO run_stages (run_id, position, name, seconds) ", stages, |row, position, stage| {
        row.push_bind(run.0.clone()).push_bind(position).push_bind(stage.0.clone()).push_bind(stage.1);
    })
    .await
}

async fn insert_checks(tx: &mut Connection, run: &RunId, checks: &[Check]) -> Result<()> {
    let statement = "INSERT INTO run_checks (run_id, position, name, expected, actual, ok) ";
    insert_rows(tx, statement, checks, |row, position, check| {
        row.push_bind(run.0.clone()).push_bind(position).push_bind(check.name.clone());
        row.push_bind(check.expected.clone()).push_bind(check.actual.clone()).push_bind(i64::from(check.ok));
    })
    .await
}

async fn insert_tables(tx: &mut Connection, run: &RunId, result: &RunResult) -> Result<()> {
    let statement = "INSERT INTO run_tables (run_id, position, name, rows_expected, rows_restored, digest_ok) ";
    insert_rows(tx, statement, &result.tables, |row, position, table| {
        row.push_bind(run.0.clone()).push_bind(position).push_bind(table.name.clone());
        row.push_bind(stored::whole(table.rows_expected)).push_bind(stored::whole(table.rows_restored));
        row.push_bind(i64::from(table.digest_ok));
    })
    .await
}

async fn insert_details(tx: &mut Connection, run: &RunId, details: &BTreeMap<String, String>) -> Result<()> {
    let details: Vec<(&String, &String)> = details.iter().collect();
    let statement = "INSERT INTO run_details (run_id, position, name, content) ";
    insert_rows(tx, statement, &details, |row, position, (name, content)| {
        row.push_bind(run.0.clone()).push_bind(position).push_bind((*name).clone()).push_bind((*content).clone());
    })
    .await
}

/// Many rows in few statements; `bind` adds one row's values and is told its position.
async fn insert_rows<T>(
    tx: &mut Connection,
    statement: &str,
    rows: &[T],
    bind: impl Fn(&mut RowValues<'_>, i64, &T),
) -> Result<()> {
    let numbered: Vec<(i64, &T)> = (0..).zip(rows).collect();
    for chunk in numbered.chunks(ROWS_PER_INSERT) {
        let mut insert = Builder::new(statement);
        insert.push_values(chunk, |mut row, (position, value)| bind(&mut row, *position, value));
        insert.build().execute(&mut *tx).await.map_err(|e| ledger_error("cannot record the details of a run", e))?;
    }
    Ok(())
}
