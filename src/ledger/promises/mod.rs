//! What was promised, and since when: a time is judged by the promise of that time, not by today's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::history::Promise;
use crate::domain::sla::Objectives;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::evidence::seal_promise;
use crate::ledger::runs::next_revision;

mod configured;
mod facts;
mod forecasts;
mod sources;

pub use configured::{Asked, Configured, ConfiguredPeriod};
pub(in crate::ledger) use configured::{open_periods, read_promised_moments};
pub use forecasts::ForecastBasis;
pub use sources::KnownSource;

const NEWEST: &str = "SELECT * FROM promises WHERE source = ? ORDER BY revision DESC LIMIT 1";

impl Ledger {
    /// Remember that these objectives are in force for `source` from now on. Writes nothing where they are already.
    pub async fn record_promises(&self, source: &str, objectives: &Objectives) -> Result<()> {
        // Looked for without the write lock first: nearly always there is nothing to do.
        let known = newest(&mut *self.read().await?, source).await?;
        if is_promised(known.as_ref(), objectives)? {
            return Ok(());
        }
        let mut tx = self.write().await?;
        promise_from_now(&mut tx, source, objectives, self.clock.wall()).await?;
        tx.commit().await.map_err(failed)
    }
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record objectives", error)
}

/// How long points of the source are promised to be kept; nothing where nothing was promised.
pub(in crate::ledger) async fn read_retention(tx: &mut Connection, source: &str) -> Result<TimeDelta> {
    let row = newest(tx, source).await?;
    let retention: i64 = row.as_ref().map_or(Ok(0), |row| column(row, "retention"))?;
    // What is longer than a thousand years is for ever.
    Ok(TimeDelta::microseconds(retention).min(TimeDelta::days(365_000)))
}

async fn newest(tx: &mut Connection, source: &str) -> Result<Option<Row>> {
    sqlx::query(NEWEST).bind(source).fetch_optional(tx).await.map_err(failed)
}

/// Write down a promise that is not the one in force. Whether there was something to write.
async fn promise_from_now(
    tx: &mut Connection,
    source: &str,
    objectives: &Objectives,
    now: DateTime<Utc>,
) -> Result<bool> {
    if is_promised(newest(&mut *tx, source).await?.as_ref(), objectives)? {
        return Ok(false);
    }
    let revision = next_revision(tx).await?;
    let mut insert = sqlx::query(
        "INSERT INTO promises (source, revision, since, rpo, rto, retention, drill_interval, max_chain_length, \
         objective_ratio) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(source)
    .bind(revision)
    .bind(stored::micros(now));
    let (numbers, ratio) = stored_form(objectives);
    for number in numbers {
        insert = insert.bind(number);
    }
    insert.bind(ratio).execute(&mut *tx).await.map_err(failed)?;
    let note = sqlx::query("UPDATE sources SET facts_revision = ? WHERE name = ?").bind(revision).bind(source);
    note.execute(&mut *tx).await.map_err(failed)?;
    seal_promise(tx, source, revision, now).await?;
    Ok(true)
}

fn is_promised(newest: Option<&Row>, objectives: &Objectives) -> Result<bool> {
    let Some(newest) = newest else { return Ok(false) };
    Ok(stored_form(&promise(newest)?.objectives) == stored_form(objectives))
}

/// A row of `promises`.
pub(in crate::ledger) fn promise(row: &Row) -> Result<Promise> {
    let duration = |name| Ok(Duration::from_micros(stored::count(column(row, name)?)));
    let objectives = Objectives {
        rpo: duration("rpo")?,
        rto: duration("rto")?,
        retention: duration("retention")?,
        drill_interval: duration("drill_interval")?,
        max_chain_length: stored::chain_length(column(row, "max_chain_length")?),
        objective_ratio: column(row, "objective_ratio")?,
    };
    Ok(Promise { since: stored::time(column(row, "since")?)?, objectives })
}

/// Objectives as their columns have them.
fn stored_form(objectives: &Objectives) -> ([i64; 5], f64) {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let numbers = [
        micros(objectives.rpo),
        micros(objectives.rto),
        micros(objectives.retention),
        micros(objectives.drill_interval),
        i64::from(objectives.max_chain_length),
    ];
    (numbers, objectives.objective_ratio)
}
