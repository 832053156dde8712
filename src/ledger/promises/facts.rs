//! What the history of promises is made from, read for one source at a time.

use chrono::{DateTime, Utc};

use crate::domain::chain::Gap;
use crate::domain::drill::Verdict;
use crate::domain::history::{Drilled, Facts, GapLifetime, Lifetime};
use crate::error::Result;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::promises::configured::read_promised_moments;
use crate::ledger::{Ledger, Outcome, promises};

impl Ledger {
    /// Everything that decides whether the promises of `source` were kept from `from` on. None for a source that the
    /// ledger never heard of.
    pub async fn facts(&self, source: &str, from: DateTime<Utc>) -> Result<Option<Facts>> {
        let mut tx = self.read().await?;
        let created: Option<i64> = sqlx::query_scalar("SELECT created_at FROM sources WHERE name = ?")
            .bind(source)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        let Some(created) = created else { return Ok(None) };
        let began =
            sqlx::query_scalar("SELECT created_at FROM ledger_origin").fetch_one(&mut *tx).await.map_err(failed)?;
        let gone: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM point_lifetimes WHERE source = ? AND gone_at <= ?")
            .bind(source)
            .bind(stored::micros(from))
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        let promised = sqlx::query("SELECT * FROM promises WHERE source = ? ORDER BY revision")
            .bind(source)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        let points = sqlx::query(
            "SELECT l.as_of AS as_of, l.chain_length AS chain_length, l.available_at AS available_at, l.gone_at AS gone_at, \
             l.unrestorable_at AS unrestorable_at \
             FROM point_lifetimes l LEFT JOIN points p ON p.source = l.source AND p.id = l.id \
             WHERE l.source = ? AND (l.gone_at IS NULL OR l.gone_at > ?) AND (p.suspect IS NULL OR p.suspect = 0)",
        )
        .bind(source)
        .bind(stored::micros(from))
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        let gaps = read_gaps(&mut tx, source, from).await?;
        let moments = read_promised_moments(&mut tx).await?.remove(source).unwrap_or_default();
        Ok(Some(Facts {
            created: stored::time(created)?,
            ledger_began: stored::time(began)?,
            had_points: gone > 0,
            promises: promised.iter().map(promises::promise).collect::<Result<_>>()?,
            points: points.iter().map(lifetime).collect::<Result<_>>()?,
            gaps,
            moments,
            drills: drills(&mut tx, source, from).await?,
        }))
    }
}

fn failed(error: sqlx::Error) -> crate::error::Error {
    ledger_error("cannot read the history", error)
}

fn lifetime(row: &Row) -> Result<Lifetime> {
    let (gone, unrestorable): (Option<i64>, Option<i64>) = (column(row, "gone_at")?, column(row, "unrestorable_at")?);
    let end = [gone, unrestorable].into_iter().flatten().min();
    Ok(Lifetime {
        as_of: stored::time(column(row, "as_of")?)?,
        chain_length: stored::chain_length(column(row, "chain_length")?),
        available: stored::time(column(row, "available_at")?)?,
        gone: end.map(stored::time).transpose()?,
    })
}

/// The drills since `from` that say something of the backup, and before it back to the last that passed, the last that failed
/// and the last that measured a recovery time. Promises are about drills of the newest recovery point.
async fn drills(tx: &mut Connection, source: &str, from: DateTime<Utc>) -> Result<Vec<Drilled>> {
    let before = sqlx::query(
        "SELECT MAX(CASE WHEN outcome = 'passed' AND kind = '' THEN ended_revision END) AS passed, \
         MAX(CASE WHEN outcome = 'failed' THEN ended_revision END) AS failed, \
         MAX(CASE WHEN rto_seconds IS NOT NULL THEN ended_revision END) AS measured \
         FROM runs WHERE source = ? AND operation = 'drill' AND ended_at < ?",
    )
    .bind(source)
    .bind(stored::micros(from))
    .fetch_one(&mut *tx)
    .await
    .map_err(failed)?;
    let last = |of: &str| column::<Option<i64>>(&before, of);
    let first = [last("passed")?, last("failed")?, last("measured")?].into_iter().flatten().min().unwrap_or(0);
    let rows = sqlx::query(
        "SELECT ended_at, outcome, rto_seconds FROM runs WHERE source = ? AND operation = 'drill' \
         AND ended_revision >= ? AND outcome <> 'running' AND (kind = '' OR outcome = 'failed') \
         AND (outcome IN ('passed', 'failed') OR rto_seconds IS NOT NULL) ORDER BY ended_revision",
    )
    .bind(source)
    .bind(first)
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    let drilled = |row| {
        let verdict = match stored::outcome(column(row, "outcome")?)? {
            Some(Outcome::Passed) => Verdict::Passed,
            Some(Outcome::Failed) => Verdict::Failed,
            _ => Verdict::Inconclusive,
        };
        Ok(Drilled {
            ended: stored::time(column(row, "ended_at")?)?,
            verdict,
            rto_seconds: column(row, "rto_seconds")?,
        })
    };
    rows.iter().map(drilled).collect()
}

/// The gaps of `source` that were there after `from`.
async fn read_gaps(tx: &mut Connection, source: &str, from: DateTime<Utc>) -> Result<Vec<GapLifetime>> {
    let known = "SELECT * FROM gaps WHERE source = ? AND (gone_at IS NULL OR gone_at > ?)";
    let rows = sqlx::query(known).bind(source).bind(stored::micros(from)).fetch_all(tx).await.map_err(failed)?;
    let lifetime = |row: &Row| {
        Ok(GapLifetime {
            gap: Gap { from: stored::time(column(row, "begins")?)?, to: stored::time(column(row, "ends")?)? },
            since: stored::time(column(row, "since_at")?)?,
            gone: stored::optional_time(column(row, "gone_at")?)?,
        })
    };
    rows.iter().map(lifetime).collect()
}
