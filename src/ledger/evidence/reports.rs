//! What the report on a month is made from, read for one source at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Builder, Connection, ledger_error};
use crate::ledger::runs::{Outcome, Run};
use crate::ledger::{Ledger, Operation};

/// A drill or backup that has ended, with what a report says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedRun {
    /// The run.
    pub run: Run,
    /// Settings and versions kept with it.
    pub details: BTreeMap<String, String>,
    /// How many tables were compared, the rows that they should have had and those that were found.
    pub tables: TableTotals,
}

/// Totals over the tables of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct TableTotals {
    /// How many there are.
    pub tables: u64,
    /// Rows that the manifest promises.
    pub rows_expected: u64,
    /// Rows that were found.
    pub rows_restored: u64,
}

/// Runs per query.
const PAGE: usize = 500;

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot read what a report needs", error)
}

impl Ledger {
    /// Names, kinds and repositories of all sources that the ledger ever heard of, by name.
    pub async fn all_sources(&self) -> Result<BTreeMap<String, (String, String)>> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT name, kind, repository FROM sources").fetch_all(&self.pool).await.map_err(failed)?;
        Ok(rows.into_iter().map(|(name, kind, repository)| (name, (kind, repository))).collect())
    }

    /// When this ledger began.
    pub async fn began(&self) -> Result<DateTime<Utc>> {
        let began: i64 =
            sqlx::query_scalar("SELECT created_at FROM ledger_origin").fetch_one(&self.pool).await.map_err(failed)?;
        stored::time(began)
    }

    /// Backups and drills of `source` that ended between `from` and `to`, in the order in which they began.
    pub async fn runs_between(&self, source: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Run>> {
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE source = ? AND operation IN ('backup', 'drill') AND outcome <> 'running' \
             AND ended_at >= ? AND ended_at < ? ORDER BY begun_revision",
        )
        .bind(source)
        .bind(stored::micros(from))
        .bind(stored::micros(to))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(stored::run).collect()
    }

    /// What belongs to runs.
    pub async fn report_on(&self, runs: Vec<Run>) -> Result<Vec<ReportedRun>> {
        let mut tx = self.read().await?;
        let (mut details, mut tables) = (BTreeMap::new(), BTreeMap::new());
        for chunk in runs.chunks(PAGE) {
            read_details(&mut tx, chunk, &mut details).await?;
            read_tables(&mut tx, chunk, &mut tables).await?;
        }
        let reported = |run: Run| ReportedRun {
            details: details.remove(&run.id.0).unwrap_or_default(),
            tables: tables.remove(&run.id.0).unwrap_or_default(),
            run,
        };
        Ok(runs.into_iter().map(reported).collect())
    }
}

fn of_runs(statement: &'static str, runs: &[Run]) -> Builder {
    let mut query = Builder::new(statement);
    query.push("(");
    let mut list = query.separated(", ");
    for run in runs {
        list.push_bind(run.id.0.clone());
    }
    query.push(")");
    query
}

async fn read_details(
    tx: &mut Connection,
    runs: &[Run],
    details: &mut BTreeMap<String, BTreeMap<String, String>>,
) -> Result<()> {
    let mut query = of_runs("SELECT run_id, name, content FROM run_details WHERE run_id IN ", runs);
    for row in query.build().fetch_all(tx).await.map_err(failed)? {
        details.entry(column(&row, "run_id")?).or_default().insert(column(&row, "name")?, column(&row, "content")?);
    }
    Ok(())
}

async fn read_tables(tx: &mut Connection, runs: &[Run], tables: &mut BTreeMap<String, TableTotals>) -> Result<()> {
    let mut query = of_runs("SELECT run_id, rows_expected, rows_restored FROM run_tables WHERE run_id IN ", runs);
    for row in query.build().fetch_all(tx).await.map_err(failed)? {
        let totals = tables.entry(column(&row, "run_id")?).or_default();
        totals.tables += 1;
        totals.rows_expected += stored::count(column(&row, "rows_expected")?);
        totals.rows_restored += stored::count(column(&row, "rows_restored")?);
    }
    Ok(())
}

impl Run {
    /// Whether it is a drill.
    pub fn is_drill(&self) -> bool {
        self.operation == Operation::Drill
    }

    /// Whether it ended and did not do what it was for.
    pub fn is_bad(&self) -> bool {
        self.outcome.is_some_and(|outcome: Outcome| !outcome.is_good())
    }
}
