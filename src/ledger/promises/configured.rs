//! From when until when sources were configured, and what was asked for at which times, as the service found it. What was due
//! before was never asked for: a new ledger, or a new schedule, must not make a past of runs that did not begin.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::chain::PromisedTime;
use crate::domain::schedule::Work;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::evidence::seal_configured;
use crate::ledger::runs::next_revision;

/// A clock may be put back by this much without having been wrong before.
const CLOCK_STEP: TimeDelta = TimeDelta::minutes(5);

/// A source that is configured, or a work that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Name of the source.
    pub source: String,
    /// What is asked for, and when; none for the source itself.
    pub asked: Option<Asked>,
}

/// A work and its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is to be done.
    pub work: Work,
    /// When, as it is configured.
    pub schedule: String,
    /// Zone of a cron expression.
    pub zone: String,
    /// It may begin this much later.
    pub jitter: Duration,
}

/// A time in which something was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfiguredPeriod {
    /// When it was first found in the configuration.
    pub began: DateTime<Utc>,
    /// When it was found to be gone from it; none if it is there.
    pub ended: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Remember that this and nothing else is configured from now on. For the service alone: somebody may run a command with
    /// another configuration.
    pub async fn record_configured(&self, configured: &[Configured]) -> Result<()> {
        let mut tx = self.write().await?;
        let now = self.clock.wall();
        let known = open_periods(&mut tx).await?;
        // What a clock that ran ahead dated would hide for as long what is missed: it begins anew, now.
        let is_dated = |began: DateTime<Utc>| began <= now + CLOCK_STEP;
        let mut wrote = false;
        for (gone, _, revision) in known.iter().filter(|(it, began, _)| !configured.contains(it) || !is_dated(*began)) {
            sqlx::query("UPDATE configured SET ended_at = ? WHERE source = ? AND revision = ?")
                .bind(stored::micros(now))
                .bind(&gone.source)
                .bind(revision)
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
            let ended = next_revision(&mut tx).await?;
            seal_configured(&mut tx, &gone.source, *revision, now).await?;
            note_facts(&mut tx, &gone.source, ended).await?;
            wrote = true;
        }
        for new in configured.iter().filter(|new| !known.iter().any(|(it, began, _)| it == *new && is_dated(*began))) {
            begin(&mut tx, new, now).await?;
            wrote = true;
        }
        if wrote { tx.commit().await.map_err(failed) } else { Ok(()) }
    }

    /// What is configured as far as the ledger knows, and since when.
    pub async fn configured(&self) -> Result<Vec<(Configured, DateTime<Utc>)>> {
        let mut tx = self.read().await?;
        Ok(open_periods(&mut tx).await?.into_iter().map(|(configured, began, _)| (configured, began)).collect())
    }

    /// When `source` was configured, oldest first. Empty where no service with this ledger ever had it.
    pub async fn configured_periods(&self, source: &str) -> Result<Vec<ConfiguredPeriod>> {
        let periods = "SELECT began_at, ended_at FROM configured WHERE source = ? AND work = '' ORDER BY revision";
        let rows = sqlx::query(periods).bind(source).fetch_all(&self.pool).await;
        rows.map_err(|e| ledger_error("cannot read when sources were configured", e))?.iter().map(period).collect()
    }
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record when sources were configured", error)
}

fn period(row: &Row) -> Result<ConfiguredPeriod> {
    let ended = stored::optional_time(column(row, "ended_at")?)?;
    Ok(ConfiguredPeriod { began: stored::time(column(row, "began_at")?)?, ended })
}

/// Periods that have not ended: what, since when, and with which revision.
pub(in crate::ledger) async fn open_periods(tx: &mut Connection) -> Result<Vec<(Configured, DateTime<Utc>, i64)>> {
    let open = "SELECT * FROM configured WHERE ended_at IS NULL ORDER BY source, revision";
    let rows = sqlx::query(open)
        .fetch_all(tx)
        .await
        .map_err(|e| ledger_error("cannot read when sources were configured", e))?;
    let read = |row: &Row| {
        let work: String = column(row, "work")?;
        let asked = match Work::ALL.into_iter().find(|it| it.name() == work) {
            Some(work) => Some(Asked {
                work,
                schedule: column(row, "schedule")?,
                zone: column(row, "zone")?,
                jitter: Duration::from_micros(stored::count(column(row, "jitter")?)),
            }),
            None => None,
        };
        let configured = Configured { source: column(row, "source")?, asked };
        Ok((configured, stored::time(column(row, "began_at")?)?, column(row, "revision")?))
    };
    rows.iter().map(read).collect()
}

async fn begin(tx: &mut Connection, configured: &Configured, now: DateTime<Utc>) -> Result<()> {
    let revision = next_revision(tx).await?;
    let asked = configured.asked.as_ref();
    let jitter = asked.map_or(Duration::ZERO, |asked| asked.jitter);
    sqlx::query(
        "INSERT INTO configured (source, revision, work, schedule, zone, jitter, began_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&configured.source)
    .bind(revision)
    .bind(asked.map_or("", |asked| asked.work.name()))
    .bind(asked.map_or("", |asked| asked.schedule.as_str()))
    .bind(asked.map_or("", |asked| asked.zone.as_str()))
    .bind(i64::try_from(jitter.as_micros()).unwrap_or(i64::MAX))
    .bind(stored::micros(now))
    .execute(&mut *tx)
    .await
    .map_err(failed)?;
    seal_configured(tx, &configured.source, revision, now).await?;
    note_facts(tx, &configured.source, revision).await
}

/// What was promised of moments changed with it.
async fn note_facts(tx: &mut Connection, source: &str, revision: i64) -> Result<()> {
    let note = sqlx::query("UPDATE sources SET facts_revision = ? WHERE name = ?").bind(revision).bind(source);
    note.execute(tx).await.map_err(failed)?;
    Ok(())
}

/// When incremental backups were asked for, by source, oldest first. Another schedule of them goes on with the promise.
pub(in crate::ledger) async fn read_promised_moments(
    tx: &mut Connection,
) -> Result<BTreeMap<String, Vec<PromisedTime>>> {
    let asked = "SELECT source, began_at, ended_at FROM configured WHERE work = ? ORDER BY source, revision";
    let rows = sqlx::query(asked).bind(Work::IncrementalBackup.name()).fetch_all(tx).await.map_err(failed)?;
    let mut all: BTreeMap<String, Vec<PromisedTime>> = BTreeMap::new();
    for row in &rows {
        let (from, to) = (stored::time(column(row, "began_at")?)?, stored::optional_time(column(row, "ended_at")?)?);
        let times = all.entry(column(row, "source")?).or_default();
        match times.last_mut() {
            // A clock that ran ahead makes it end before it began.
            Some(last) if last.to.is_none_or(|end| end >= from) => (last.from, last.to) = (last.from.min(from), to),
            _ => times.push(PromisedTime { from, to }),
        }
    }
    Ok(all)
}
