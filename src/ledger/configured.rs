//! From when until when sources were configured, as the service found it. What was due while a source was not configured was
//! never asked for, and neither was anything before a ledger heard of it: a new ledger must not take the past of its
//! sources for runs that did not begin.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::Ledger;
use super::open::ledger_error;
use super::record::next_revision;
use super::seals::seal_configured;
use super::stored::{self, column};
use crate::error::{Error, Result};

/// A time in which a source was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfiguredPeriod {
    /// When it was first found in the configuration.
    pub began: DateTime<Utc>,
    /// When it was found to be gone from it; none if it is there.
    pub ended: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Remember that the service's configuration has these sources, and no other, from now on. For the service alone: somebody may
    /// run a command with another configuration.
    pub async fn record_configured(&self, sources: &[&str]) -> Result<()> {
        let mut tx = self.write().await?;
        let now = self.clock.wall();
        let known = open_periods(&mut tx).await?;
        let mut wrote = false;
        for (source, revision) in known.iter().filter(|(source, _)| !sources.contains(&source.as_str())) {
            sqlx::query("UPDATE configured SET ended_at = ? WHERE source = ? AND revision = ?")
                .bind(stored::micros(now))
                .bind(source)
                .bind(revision)
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
            next_revision(&mut tx).await?;
            seal_configured(&mut tx, source, *revision, now).await?;
            wrote = true;
        }
        for source in sources.iter().filter(|source| !known.contains_key(**source)) {
            begin(&mut tx, source, now).await?;
            wrote = true;
        }
        if wrote { tx.commit().await.map_err(failed) } else { Ok(()) }
    }

    /// When `source` was configured, oldest first. Empty where no service with this ledger ever had it.
    pub async fn configured_periods(&self, source: &str) -> Result<Vec<ConfiguredPeriod>> {
        let rows = sqlx::query("SELECT began_at, ended_at FROM configured WHERE source = ? ORDER BY revision")
            .bind(source)
            .fetch_all(&self.pool)
            .await
            .map_err(|e| ledger_error("read configured sources", e))?;
        rows.iter().map(period).collect()
    }
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("record configured sources", error)
}

fn period(row: &SqliteRow) -> Result<ConfiguredPeriod> {
    let ended = stored::optional_time(column(row, "ended_at")?)?;
    Ok(ConfiguredPeriod { began: stored::time(column(row, "began_at")?)?, ended })
}

/// Revision of the period that has not ended, by source.
async fn open_periods(tx: &mut SqliteConnection) -> Result<BTreeMap<String, i64>> {
    let open = "SELECT source, revision FROM configured WHERE ended_at IS NULL";
    let rows: Vec<(String, i64)> = sqlx::query_as(open).fetch_all(tx).await.map_err(failed)?;
    Ok(rows.into_iter().collect())
}

async fn begin(tx: &mut SqliteConnection, source: &str, now: DateTime<Utc>) -> Result<()> {
    let before: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM configured WHERE source = ?")
        .bind(source)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
    // An older version wrote no periods: to it, what was first promised was configured from then on.
    let promised: Option<i64> = sqlx::query_scalar("SELECT MIN(since) FROM promises WHERE source = ?")
        .bind(source)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
    let began = promised.filter(|_| before == 0).unwrap_or_else(|| stored::micros(now));
    let revision = next_revision(tx).await?;
    sqlx::query("INSERT INTO configured (source, revision, began_at) VALUES (?, ?, ?)")
        .bind(source)
        .bind(revision)
        .bind(began)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    seal_configured(tx, source, revision, now).await
}
