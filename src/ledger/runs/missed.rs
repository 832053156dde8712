//! Scheduled runs that did not begin: the service was down, or the work could not start. They leave no run behind, so
//! without this nobody would know.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::record::next_revision;
use super::run::Operation;
use crate::domain::manifest::BackupKind;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::evidence::seal_missed;

/// Runs of one schedule that did not begin, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedRuns {
    /// Name of the source.
    pub source: String,
    /// What was to be done.
    pub operation: Operation,
    /// For a backup: which kind.
    pub kind: Option<BackupKind>,
    /// When the first of them was due.
    pub first: DateTime<Utc>,
    /// When the last of them was due.
    pub last: DateTime<Utc>,
    /// How many.
    pub count: u32,
    /// Why, for people.
    pub reason: String,
}

impl Ledger {
    /// Remember runs that did not begin. Said again of the same source, operation, kind and first time it changes nothing,
    /// unless more of them were missed by now: then the larger count replaces the smaller one.
    pub async fn record_missed(&self, missed: &MissedRuns) -> Result<()> {
        let failed = |e| ledger_error("cannot record missed runs", e);
        let (operation, kind) = (missed.operation.name(), stored::kind_name(missed.kind));
        let first = stored::micros(missed.first);
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        let known: Option<i64> = sqlx::query_scalar(
            "SELECT missed FROM missed_runs WHERE source = ? AND operation = ? AND kind = ? AND first_at = ?",
        )
        .bind(&missed.source)
        .bind(operation)
        .bind(kind)
        .bind(first)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        let statement = match known {
            Some(known) if known >= i64::from(missed.count) => return Ok(()),
            Some(_) => sqlx::query(
                "UPDATE missed_runs SET last_at = ?, missed = ?, reason = ?, recorded_at = ? \
                 WHERE source = ? AND operation = ? AND kind = ? AND first_at = ?",
            ),
            None => sqlx::query(
                "INSERT INTO missed_runs (last_at, missed, reason, recorded_at, source, operation, kind, first_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ),
        };
        let statement = statement
            .bind(stored::micros(missed.last))
            .bind(i64::from(missed.count))
            .bind(&missed.reason)
            .bind(stored::micros(now))
            .bind(&missed.source)
            .bind(operation)
            .bind(kind)
            .bind(first);
        statement.execute(&mut *tx).await.map_err(failed)?;
        next_revision(&mut tx).await?;
        seal_missed(&mut tx, &missed.source, (operation, kind, first), now).await?;
        tx.commit().await.map_err(failed)
    }

    /// The `limit` newest missed runs of `source` whose last one was due at `since` or later, newest first.
    pub async fn missed_runs(&self, source: &str, since: DateTime<Utc>, limit: u32) -> Result<Vec<MissedRuns>> {
        let rows = sqlx::query(
            "SELECT * FROM missed_runs WHERE source = ? AND last_at >= ? ORDER BY last_at DESC, operation, kind LIMIT ?",
        )
        .bind(source)
        .bind(stored::micros(since))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| ledger_error("cannot read missed runs", e))?;
        rows.iter().map(missed).collect()
    }
}

/// One schedule's, newest first: this order is that of the primary key.
pub(in crate::ledger) const NEWEST: &str =
    "SELECT * FROM missed_runs WHERE source = ? AND operation = ? AND kind = ? ORDER BY first_at DESC LIMIT ?";

/// The `limit` newest missed runs of `source`, of whatever schedule, newest first.
pub(in crate::ledger) async fn newest_missed(
    tx: &mut Connection,
    source: &str,
    limit: usize,
) -> Result<Vec<MissedRuns>> {
    let schedules = [
        (Operation::Backup, Some(BackupKind::Full)),
        (Operation::Backup, Some(BackupKind::Incremental)),
        (Operation::Drill, None),
    ];
    let mut newest = Vec::new();
    for (operation, kind) in schedules {
        let rows = sqlx::query(NEWEST)
            .bind(source)
            .bind(operation.name())
            .bind(stored::kind_name(kind))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *tx)
            .await
            .map_err(|e| ledger_error("cannot read missed runs", e))?;
        for row in &rows {
            newest.push(missed(row)?);
        }
    }
    newest.sort_by_key(|it| std::cmp::Reverse((it.last, it.first)));
    newest.truncate(limit);
    Ok(newest)
}

fn missed(row: &Row) -> Result<MissedRuns> {
    Ok(MissedRuns {
        source: column(row, "source")?,
        operation: stored::operation(column(row, "operation")?)?,
        kind: stored::kind(column(row, "kind")?)?,
        first: stored::time(column(row, "first_at")?)?,
        last: stored::time(column(row, "last_at")?)?,
        count: stored::chain_length(column(row, "missed")?),
        reason: column(row, "reason")?,
    })
}
