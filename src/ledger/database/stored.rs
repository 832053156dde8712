//! Between stored values and the words of the domain.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::Row as _;

use super::failure::ledger_error;
use super::{Product, Row};
use crate::domain::drill_choice::DrillKind;
use crate::domain::left_out::LeftOutCounts;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::error::{Error, Result};
use crate::ledger::runs::{LineBytes, Operation, Outcome, PointRow, Run, RunId};

/// Rows per INSERT statement: six columns each stay far below every product's limit of bound values.
pub(in crate::ledger) const ROWS_PER_INSERT: usize = 1000;

/// Stored in `outcome` until there is one.
pub(in crate::ledger) const RUNNING: &str = "running";

/// Microseconds since 1970 UTC.
pub(in crate::ledger) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A count or size as a column has it; what does not fit is as large as fits.
pub(in crate::ledger) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The reverse of [`whole`].
pub(in crate::ledger) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Read one column.
pub(in crate::ledger) fn column<'r, T>(row: &'r Row, name: &str) -> Result<T>
where
    T: sqlx::Decode<'r, Product> + sqlx::Type<Product>,
{
    row.try_get(name).map_err(|e| ledger_error("cannot read the ledger", e))
}

/// A time for people: RFC 3339, UTC, whole seconds.
pub(in crate::ledger) fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time column.
pub(in crate::ledger) fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable("time", &micros.to_string()))
}

/// A time column that may be empty.
pub(in crate::ledger) fn optional_time(micros: Option<i64>) -> Result<Option<DateTime<Utc>>> {
    micros.map(time).transpose()
}

/// The name a kind is stored under; empty for operations that have none.
pub(in crate::ledger) fn kind_name(kind: Option<BackupKind>) -> &'static str {
    match kind {
        Some(BackupKind::Full) => "full",
        Some(BackupKind::Incremental) => "incremental",
        None => "",
    }
}

/// The same of a drill; that of the newest recovery point has none, as in ledgers of before.
pub(in crate::ledger) fn drill_name(kind: Option<DrillKind>) -> &'static str {
    kind.filter(|kind| *kind != DrillKind::Newest).map_or("", DrillKind::name)
}

/// Why the run of a row was a drill; none where it was none.
pub(in crate::ledger) fn drill(row: &Row) -> Result<Option<DrillKind>> {
    if operation(column(row, "operation")?)? != Operation::Drill {
        return Ok(None);
    }
    let name: &str = column(row, "kind")?;
    let known = DrillKind::ALL.into_iter().find(|kind| drill_name(Some(*kind)) == name);
    known.map(Some).ok_or_else(|| unreadable("kind of drill", name))
}

/// The reverse of [`kind_name`]; none for drills.
pub(in crate::ledger) fn kind(name: &str) -> Result<Option<BackupKind>> {
    match name {
        "full" => Ok(Some(BackupKind::Full)),
        "incremental" => Ok(Some(BackupKind::Incremental)),
        "" => Ok(None),
        drill if DrillKind::ALL.into_iter().any(|kind| kind.name() == drill) => Ok(None),
        other => Err(unreadable("backup kind", other)),
    }
}

/// An operation by its name.
pub(in crate::ledger) fn operation(name: &str) -> Result<Operation> {
    Operation::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| unreadable("operation", name))
}

/// An outcome by its name; none for a run that is running.
pub(in crate::ledger) fn outcome(name: &str) -> Result<Option<Outcome>> {
    if name == RUNNING {
        return Ok(None);
    }
    Outcome::ALL.into_iter().find(|it| it.name() == name).map(Some).ok_or_else(|| unreadable("outcome", name))
}

/// A row of `runs`.
pub(in crate::ledger) fn run(row: &Row) -> Result<Run> {
    Ok(Run {
        id: RunId(column(row, "id")?),
        source: column(row, "source")?,
        operation: operation(column(row, "operation")?)?,
        kind: kind(column(row, "kind")?)?,
        drill: drill(row)?,
        outcome: outcome(column(row, "outcome")?)?,
        reason: column(row, "reason")?,
        hint: column(row, "hint")?,
        started: time(column(row, "started_at")?)?,
        ended: optional_time(column(row, "ended_at")?)?,
        recovery_point: column::<Option<String>>(row, "recovery_point")?.map(RecoveryPointId),
        recovery_point_time: optional_time(column(row, "recovery_point_time")?)?,
        duration_seconds: column(row, "duration_seconds")?,
        rto_seconds: column(row, "rto_seconds")?,
        over_rto: column::<i64>(row, "over_rto")? != 0,
        logical_bytes: count(column(row, "logical_bytes")?),
        added_bytes: count(column(row, "added_bytes")?),
        rows: count(column(row, "row_count")?),
        chain_length: chain_length(column(row, "chain_length")?),
        checks: count(column(row, "check_count")?),
        mismatches: count(column(row, "mismatch_count")?),
        verified_rows: count(column(row, "verified_rows")?),
        ended_revision: column(row, "ended_revision")?,
    })
}

/// A row of `points`.
pub(in crate::ledger) fn point(row: &Row) -> Result<PointRow> {
    Ok(PointRow {
        id: RecoveryPointId(column(row, "id")?),
        kind: kind(column(row, "kind")?)?.ok_or_else(|| unreadable("backup kind", ""))?,
        as_of: time(column(row, "as_of")?)?,
        finished: time(column(row, "finished")?)?,
        chain_length: chain_length(column(row, "chain_length")?),
        logical_bytes: count(column(row, "logical_bytes")?),
        stored_bytes: count(column(row, "stored_bytes")?),
        rows: count(column(row, "row_count")?),
        left_out: left_out(row)?,
        window_from: optional_time(column(row, "window_from")?)?,
        line: line_bytes(row)?,
        canary: optional_time(column(row, "canary_at")?)?,
    })
}

/// What a restore of a recovery point works through, where that is not its own size.
pub(in crate::ledger) fn line_bytes(row: &Row) -> Result<Option<LineBytes>> {
    let (all, replayed): (Option<i64>, Option<i64>) = (column(row, "line_bytes")?, column(row, "replay_bytes")?);
    Ok(all.zip(replayed).map(|(all, replayed)| LineBytes { all: count(all), replayed: count(replayed) }))
}

/// What was left out of a recovery point.
pub(in crate::ledger) fn left_out(row: &Row) -> Result<LeftOutCounts> {
    let count = |name| Ok(u32::try_from(column::<i64>(row, name)?).unwrap_or(u32::MAX));
    Ok(LeftOutCounts {
        table: count("left_out_tables")?,
        view: count("left_out_views")?,
        other: count("left_out_others")?,
    })
}

/// A chain length column.
pub(in crate::ledger) fn chain_length(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

pub(in crate::ledger) fn unreadable(what: &str, value: &str) -> Error {
    Error::failed(format!("cannot read the ledger: `{value}` is not a known {what}"))
        .hint("the ledger was changed by hand or by another version of backup-sla")
}
