//! What was done to repositories beside backups: what was removed, what was read again.

use std::collections::BTreeMap;

use super::Ledger;
use super::database::stored::{self, column};
use super::database::{Connection, Row, ledger_error};
use super::runs::next_revision;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Into how many parts the data of a repository is divided, so that each can be read in its turn.
pub const REPOSITORY_PARTS: u32 = 64;

/// What is done to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upkeep {
    /// Recovery points beyond their retention are removed, and the room they took is given back.
    Maintain,
    /// What is stored is looked at, or read.
    Check,
}

impl Upkeep {
    const ALL: [Self; 2] = [Self::Maintain, Self::Check];

    /// Name in commands and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maintain => "maintain",
            Self::Check => "check",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpkeepOutcome {
    /// It was done, and everything is as it should be.
    Succeeded,
    /// Something is wrong: why, and what to do about it.
    Failed(String, Option<String>),
    /// It could not be done, which says nothing of what is stored: why, and what to do about it.
    Inconclusive(String, Option<String>),
}

impl UpkeepOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(..) => "failed",
            Self::Inconclusive(..) => "inconclusive",
        }
    }

    fn said(&self) -> (&str, Option<&str>) {
        match self {
            Self::Succeeded => ("", None),
            Self::Failed(reason, hint) | Self::Inconclusive(reason, hint) => (reason, hint.as_deref()),
        }
    }
}

/// One time that it was done, from its begin to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpkeepRun {
    /// Name of the repository.
    pub repository: String,
    /// What was done.
    pub operation: Upkeep,
    /// How it ended.
    pub outcome: UpkeepOutcome,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Recovery points that were removed.
    pub removed_points: u64,
    /// Bytes that were given back.
    pub freed_bytes: u64,
    /// Bytes that were read and found sound.
    pub read_bytes: u64,
}

/// A part of the data that was read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRead {
    /// When, for the last time.
    pub at: DateTime<Utc>,
    /// Whether all of it was what had been stored.
    pub is_sound: bool,
}

/// What is known of one repository's upkeep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpkeepFigures {
    /// The newest run of each operation, however it ended.
    pub last: BTreeMap<Upkeep, UpkeepRun>,
    /// The newest of each that says something of the repository.
    pub last_result: BTreeMap<Upkeep, UpkeepRun>,
    /// When each operation last did what it should.
    pub last_success: BTreeMap<Upkeep, DateTime<Utc>>,
    /// Recovery points that were removed in all.
    pub removed_points: u64,
    /// Each part of the data that was ever read whole.
    pub parts: BTreeMap<u32, PartRead>,
}

const NEWEST: &str = "SELECT u.* FROM upkeep u JOIN (SELECT repository, operation, MAX(revision) AS newest FROM upkeep \
     GROUP BY repository, operation) n ON n.newest = u.revision";
const RESULTS: &str = "SELECT u.* FROM upkeep u JOIN (SELECT repository, operation, MAX(revision) AS newest FROM upkeep \
     WHERE outcome IN ('succeeded', 'failed') GROUP BY repository, operation) n ON n.newest = u.revision";
const SUCCESSES: &str = "SELECT repository, operation, MAX(ended_at) AS ended_at FROM upkeep WHERE outcome = 'succeeded' \
     GROUP BY repository, operation";

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record the upkeep of a repository", error)
}

impl Ledger {
    /// Write down what was done to a repository, which parts of it were read whole, and whether each was sound.
    pub async fn record_upkeep(&self, run: &UpkeepRun, parts: &[(u32, bool)]) -> Result<()> {
        let mut tx = self.write().await?;
        let revision = next_revision(&mut tx).await?;
        let insert = "INSERT INTO upkeep (id, repository, operation, outcome, reason, hint, started_at, ended_at, \
             removed_points, freed_bytes, read_bytes, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let (reason, hint) = run.outcome.said();
        sqlx::query(insert)
            .bind(format!("{revision:026}"))
            .bind(&run.repository)
            .bind(run.operation.name())
            .bind(run.outcome.name())
            .bind(reason)
            .bind(hint)
            .bind(stored::micros(run.started))
            .bind(stored::micros(run.ended))
            .bind(stored::whole(run.removed_points))
            .bind(stored::whole(run.freed_bytes))
            .bind(stored::whole(run.read_bytes))
            .bind(revision)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        for (part, is_sound) in parts {
            let known = "DELETE FROM repository_parts WHERE repository = ? AND part = ?";
            sqlx::query(known).bind(&run.repository).bind(part).execute(&mut *tx).await.map_err(failed)?;
            sqlx::query("INSERT INTO repository_parts (repository, part, read_at, sound) VALUES (?, ?, ?, ?)")
                .bind(&run.repository)
                .bind(part)
                .bind(stored::micros(run.started))
                .bind(i64::from(*is_sound))
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    /// What is known of the upkeep of each repository.
    pub async fn upkeep(&self) -> Result<BTreeMap<String, UpkeepFigures>> {
        read_upkeep(&mut *self.read().await?).await
    }
}

/// The same in a transaction of the caller's.
pub(super) async fn read_upkeep(tx: &mut Connection) -> Result<BTreeMap<String, UpkeepFigures>> {
    let mut all: BTreeMap<String, UpkeepFigures> = BTreeMap::new();
    for row in rows(tx, NEWEST).await? {
        let run = run(&row)?;
        all.entry(run.repository.clone()).or_default().last.insert(run.operation, run);
    }
    for row in rows(tx, RESULTS).await? {
        let run = run(&row)?;
        all.entry(run.repository.clone()).or_default().last_result.insert(run.operation, run);
    }
    for row in rows(tx, SUCCESSES).await? {
        let figures = all.entry(column(&row, "repository")?).or_default();
        figures.last_success.insert(operation(column(&row, "operation")?)?, stored::time(column(&row, "ended_at")?)?);
    }
    // Rows and not a sum: what a sum is made of differs from product to product.
    for row in rows(tx, "SELECT repository, removed_points FROM upkeep WHERE removed_points > 0").await? {
        let figures = all.entry(column(&row, "repository")?).or_default();
        figures.removed_points += stored::count(column(&row, "removed_points")?);
    }
    for row in rows(tx, "SELECT repository, part, read_at, sound FROM repository_parts").await? {
        let part = u32::try_from(column::<i64>(&row, "part")?).unwrap_or(u32::MAX);
        let figures = all.entry(column(&row, "repository")?).or_default();
        let is_sound = column::<i64>(&row, "sound")? != 0;
        figures.parts.insert(part, PartRead { at: stored::time(column(&row, "read_at")?)?, is_sound });
    }
    Ok(all)
}

async fn rows(tx: &mut Connection, sql: &'static str) -> Result<Vec<Row>> {
    sqlx::query(sql).fetch_all(tx).await.map_err(|e| ledger_error("cannot read the upkeep of repositories", e))
}

fn operation(name: &str) -> Result<Upkeep> {
    let known = Upkeep::ALL.into_iter().find(|it| it.name() == name);
    known.ok_or_else(|| stored::unreadable("upkeep", name))
}

fn run(row: &Row) -> Result<UpkeepRun> {
    let said = || Ok((column(row, "reason")?, column(row, "hint")?));
    let outcome = match column(row, "outcome")? {
        "succeeded" => UpkeepOutcome::Succeeded,
        "failed" => said().map(|(reason, hint)| UpkeepOutcome::Failed(reason, hint))?,
        "inconclusive" => said().map(|(reason, hint)| UpkeepOutcome::Inconclusive(reason, hint))?,
        other => return Err(stored::unreadable("outcome", other)),
    };
    Ok(UpkeepRun {
        repository: column(row, "repository")?,
        operation: operation(column(row, "operation")?)?,
        outcome,
        started: stored::time(column(row, "started_at")?)?,
        ended: stored::time(column(row, "ended_at")?)?,
        removed_points: stored::count(column(row, "removed_points")?),
        freed_bytes: stored::count(column(row, "freed_bytes")?),
        read_bytes: stored::count(column(row, "read_bytes")?),
    })
}
