//! What was found when backups were compared with those before them, and what the operator said was meant.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::seals::seal_changes;
use crate::domain::change::{Assessment, Point, State};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, OrFailed, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::runs::next_revision;

/// What is known of the newest backup that was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeFigures {
    /// The backup.
    pub point: Point,
    /// When it was compared.
    pub judged: DateTime<Utc>,
    /// What was found.
    pub found: Assessment,
    /// When the operator said that it was meant.
    pub accepted: Option<DateTime<Utc>>,
    /// The first of the backups without a break that are at least as bad; none where nothing is suspect.
    pub since: Option<Point>,
}

impl ChangeFigures {
    /// What somebody should look at; quiet where it was accepted.
    pub fn state(&self) -> State {
        if self.accepted.is_some() && self.found.state.is_suspect() { State::Quiet } else { self.found.state }
    }
}

/// A backup that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What was found.
    pub state: State,
    /// Whether that is a warning that does not end by itself.
    pub stays: bool,
    /// Whether the operator said that it was meant.
    pub is_accepted: bool,
    /// The last one before what was found, where that is suspect.
    pub before: Option<RecoveryPointId>,
}

impl Compared {
    /// One of which this was found a moment ago.
    pub fn of(found: &Assessment) -> Self {
        let before = found.before.as_ref().filter(|_| found.state.is_suspect()).map(|before| before.id.clone());
        Self { state: found.state, stays: found.stays, is_accepted: false, before }
    }

    /// Whether somebody should look at it.
    pub fn is_suspect(&self) -> bool {
        self.state.is_suspect() && !self.is_accepted
    }

    /// Whether later backups are compared with what was before it.
    pub fn is_kept_up(&self) -> bool {
        self.is_suspect() && (self.state == State::Critical || self.stays)
    }
}

const COMPARED: &str = "SELECT recovery_point, state, accepted_at, found FROM changes WHERE source = ?";
const NEWEST: &str = "SELECT c.* FROM changes c JOIN (SELECT source, MAX(revision) AS newest FROM changes GROUP BY source) n \
     ON n.source = c.source AND n.newest = c.revision";
/// The first backup of those that are at least as bad (2: critical, 1: warning) as the newest, without a break.
const SINCE: &str = "SELECT * FROM changes WHERE source = ? AND revision > COALESCE((SELECT MAX(revision) FROM changes \
     WHERE source = ? AND (accepted_at IS NOT NULL OR (state = 'critical') * 2 + (state = 'warning') < ?)), 0) \
     ORDER BY revision LIMIT 1";
/// Those that are suspect without a break up to the newest.
const SUSPECT: &str = "SELECT * FROM changes WHERE source = ? AND revision > COALESCE((SELECT MAX(revision) FROM changes \
     WHERE source = ? AND (accepted_at IS NOT NULL OR state NOT IN ('warning', 'critical'))), 0) ORDER BY revision";
/// The last backup before the one of a revision in which nothing suspect was found, or what was found was accepted.
const GOOD: &str = "SELECT recovery_point, as_of FROM changes WHERE source = ? AND revision < ? \
     AND (accepted_at IS NOT NULL OR state NOT IN ('warning', 'critical')) ORDER BY revision DESC LIMIT 1";
const IS_SUSPECT: &str = "SELECT COUNT(*) FROM changes WHERE source = ? AND recovery_point = ? AND accepted_at IS NULL \
     AND state IN ('warning', 'critical')";

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record what was found in a backup", error)
}

impl Ledger {
    /// Which backups of `source` were compared, by recovery point.
    pub async fn compared(&self, source: &str) -> Result<BTreeMap<RecoveryPointId, Compared>> {
        let rows: Vec<(String, String, Option<i64>, String)> =
            sqlx::query_as(COMPARED).bind(source).fetch_all(&self.pool).await.map_err(failed)?;
        let compared = |(point, found, accepted, all): (String, String, Option<i64>, String)| {
            // What cannot be read is told of where it is shown.
            let all = serde_json::from_str::<Assessment>(&all).unwrap_or_default();
            let (state, before) = (state(&found)?, all.before.map(|before| before.id));
            let before = before.filter(|_| state.is_suspect());
            let compared = Compared { state, stays: all.stays, is_accepted: accepted.is_some(), before };
            Ok((RecoveryPointId(point), compared))
        };
        rows.into_iter().map(compared).collect()
    }

    /// The newest backup of `source` that was compared.
    pub async fn newest_change(&self, source: &str) -> Result<Option<ChangeFigures>> {
        let mut tx = self.read().await?;
        Ok(read_changes(&mut tx).await?.remove(source))
    }

    /// Write what was found in the backup `point`. One that was compared before stays as it is.
    pub async fn record_change(&self, source: &str, point: &Point, found: &Assessment) -> Result<()> {
        let now = self.clock.wall();
        let text = serde_json::to_string(found).or_failed("cannot write what was found in a backup")?;
        let mut tx = self.write().await?;
        let known = "SELECT COUNT(*) FROM changes WHERE source = ? AND recovery_point = ?";
        let known = sqlx::query_scalar(known).bind(source).bind(&point.id.0);
        let known: i64 = known.fetch_one(&mut *tx).await.map_err(failed)?;
        if known > 0 {
            return Ok(());
        }
        let revision = next_revision(&mut tx).await?;
        let insert = "INSERT INTO changes (source, recovery_point, revision, as_of, judged_at, state, found) \
             VALUES (?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(insert)
            .bind(source)
            .bind(&point.id.0)
            .bind(revision)
            .bind(stored::micros(point.as_of))
            .bind(stored::micros(now))
            .bind(found.state.name())
            .bind(text)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        seal_changes(&mut tx, source, &[&point.id.0], now).await?;
        tx.commit().await.map_err(failed)
    }

    /// What is suspect now in `source` was meant: the backups that are without a break up to the newest that was compared. Oldest first.
    pub async fn accept_changes(&self, source: &str) -> Result<Vec<ChangeFigures>> {
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        let rows = sqlx::query(SUSPECT).bind(source).bind(source).fetch_all(&mut *tx).await.map_err(failed)?;
        let mut accepted: Vec<ChangeFigures> = rows.iter().map(figures).collect::<Result<_>>()?;
        if accepted.is_empty() {
            return Ok(accepted);
        }
        next_revision(&mut tx).await?;
        for change in &mut accepted {
            change.accepted = Some(now);
            let accept = "UPDATE changes SET accepted_at = ? WHERE source = ? AND recovery_point = ?";
            let accept = sqlx::query(accept).bind(stored::micros(now)).bind(source).bind(&change.point.id.0);
            accept.execute(&mut *tx).await.map_err(failed)?;
        }
        let ids: Vec<&str> = accepted.iter().map(|change| change.point.id.0.as_str()).collect();
        seal_changes(&mut tx, source, &ids, now).await?;
        tx.commit().await.map_err(failed)?;
        Ok(accepted)
    }
}

impl Ledger {
    /// Everything suspect that was ever found in backups of `source`, accepted or not, oldest first.
    pub async fn suspect_changes(&self, source: &str) -> Result<Vec<ChangeFigures>> {
        let suspect = "SELECT * FROM changes WHERE source = ? AND state IN ('warning', 'critical') ORDER BY revision";
        let rows = sqlx::query(suspect).bind(source).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(figures).collect()
    }
}

/// The newest of each source.
pub(in crate::ledger) async fn read_changes(tx: &mut Connection) -> Result<BTreeMap<String, ChangeFigures>> {
    let mut newest = BTreeMap::new();
    for row in sqlx::query(NEWEST).fetch_all(&mut *tx).await.map_err(failed)? {
        let source: String = column(&row, "source")?;
        let mut change = figures(&row)?;
        if change.state().is_suspect() {
            begin(tx, &source, &mut change).await?;
        }
        newest.insert(source, change);
    }
    Ok(newest)
}

/// Since when `change` is suspect, and what was before: never a backup that is suspect itself, as versions before wrote it.
async fn begin(tx: &mut Connection, source: &str, change: &mut ChangeFigures) -> Result<()> {
    let level = if change.state() == State::Critical { 2 } else { 1 };
    let first =
        sqlx::query(SINCE).bind(source).bind(source).bind(level).fetch_optional(&mut *tx).await.map_err(failed)?;
    let Some(first) = first else { return Ok(()) };
    let since = point(&first)?;
    if let Some(before) = &change.found.before {
        let suspect = sqlx::query_scalar(IS_SUSPECT).bind(source).bind(&before.id.0);
        let suspect: i64 = suspect.fetch_one(&mut *tx).await.map_err(failed)?;
        if suspect > 0 || before.as_of >= since.as_of {
            let revision: i64 = column(&first, "revision")?;
            let good = sqlx::query(GOOD).bind(source).bind(revision).fetch_optional(&mut *tx).await.map_err(failed)?;
            change.found.before = good.as_ref().map(point).transpose()?;
        }
    }
    change.since = Some(since);
    Ok(())
}

/// What was found suspect in each of the backups of `source`, accepted or not.
pub(in crate::ledger) async fn read_suspect(
    tx: &mut Connection,
    source: &str,
) -> Result<BTreeMap<RecoveryPointId, State>> {
    let suspect = "SELECT recovery_point, state FROM changes WHERE source = ? AND state IN ('warning', 'critical')";
    let rows: Vec<(String, String)> = sqlx::query_as(suspect).bind(source).fetch_all(&mut *tx).await.map_err(failed)?;
    rows.into_iter().map(|(id, found)| Ok((RecoveryPointId(id), state(&found)?))).collect()
}

fn figures(row: &Row) -> Result<ChangeFigures> {
    let found: &str = column(row, "found")?;
    let mut found: Assessment = serde_json::from_str(found).or_failed("cannot read what was found in a backup")?;
    // The column is what is asked for; a newer version may have told more beside it.
    found.state = state(column(row, "state")?)?;
    Ok(ChangeFigures {
        point: point(row)?,
        judged: stored::time(column(row, "judged_at")?)?,
        found,
        accepted: stored::optional_time(column(row, "accepted_at")?)?,
        since: None,
    })
}

fn point(row: &Row) -> Result<Point> {
    Ok(Point { id: RecoveryPointId(column(row, "recovery_point")?), as_of: stored::time(column(row, "as_of")?)? })
}

fn state(name: &str) -> Result<State> {
    let state = State::ALL.into_iter().find(|state| state.name() == name);
    state.ok_or_else(|| Error::failed(format!("cannot read what was found in a backup: `{name}` is no state")))
}
