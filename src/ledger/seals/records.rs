//! The canonical form of a record: a JSON array of its values, in an order that never changes. A column that is added to
//! the schema later is not part of it unless it is added here, under a new [`Subject`].

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{Entry, Subject, failed, hex};
use crate::error::Result;
use crate::ledger::RunId;
use crate::ledger::stored::column;

/// Records per query.
const PAGE: usize = 500;

#[derive(Clone, Copy)]
enum Type {
    Text,
    Whole,
    Real,
}
use Type::{Real, Text, Whole};

type Columns = &'static [(&'static str, Type)];

const RUN: Columns = &[
    ("id", Text),
    ("source", Text),
    ("operation", Text),
    ("kind", Text),
    ("outcome", Text),
    ("reason", Text),
    ("hint", Text),
    ("process", Text),
    ("started_at", Whole),
    ("ended_at", Whole),
    ("begun_revision", Whole),
    ("ended_revision", Whole),
    ("recovery_point", Text),
    ("recovery_point_time", Whole),
    ("duration_seconds", Real),
    ("rto_seconds", Real),
    ("over_rto", Whole),
    ("logical_bytes", Whole),
    ("added_bytes", Whole),
    ("row_count", Whole),
    ("chain_length", Whole),
    ("check_count", Whole),
    ("mismatch_count", Whole),
    ("verified_rows", Whole),
    ("repository", Text),
];

const MISSED: Columns = &[
    ("source", Text),
    ("operation", Text),
    ("kind", Text),
    ("first_at", Whole),
    ("last_at", Whole),
    ("missed", Whole),
    ("reason", Text),
    ("recorded_at", Whole),
];

const SOURCE: Columns = &[("name", Text), ("kind", Text), ("repository", Text), ("created_at", Whole)];

const PROMISE: Columns = &[
    ("source", Text),
    ("revision", Whole),
    ("since", Whole),
    ("rpo", Whole),
    ("rto", Whole),
    ("retention", Whole),
    ("drill_interval", Whole),
    ("max_chain_length", Whole),
    ("objective_ratio", Real),
];

const POINT: Columns = &[
    ("source", Text),
    ("id", Text),
    ("seen_revision", Whole),
    ("as_of", Whole),
    ("finished", Whole),
    ("chain_length", Whole),
    ("available_at", Whole),
    ("first_seen", Whole),
    ("gone_at", Whole),
    ("gone_revision", Whole),
];

const TEST_PAGE: Columns =
    &[("revision", Whole), ("code", Whole), ("raised_at", Whole), ("ends_at", Whole), ("confirmed_at", Whole)];

const STAGE: Columns = &[("name", Text), ("seconds", Real)];
const CHECK: Columns = &[("name", Text), ("expected", Text), ("actual", Text), ("ok", Whole)];
const TABLE: Columns = &[("name", Text), ("rows_expected", Whole), ("rows_restored", Whole), ("digest_ok", Whole)];
const DETAIL: Columns = &[("name", Text), ("content", Text)];

/// What belongs to a run, in the order of the canonical form.
const PARTS: [(&str, Columns); 4] = [
    ("SELECT * FROM run_stages WHERE run_id IN ", STAGE),
    ("SELECT * FROM run_checks WHERE run_id IN ", CHECK),
    ("SELECT * FROM run_tables WHERE run_id IN ", TABLE),
    ("SELECT * FROM run_details WHERE run_id IN ", DETAIL),
];

impl Subject {
    fn columns(self) -> Columns {
        match self {
            Self::Run => RUN,
            Self::Missed => MISSED,
            Self::Source => SOURCE,
            Self::Promise => PROMISE,
            Self::Point => POINT,
            Self::TestPage => TEST_PAGE,
        }
    }

    /// How many of the first columns say which record it is. For missed runs and points those do.
    fn identity(self) -> usize {
        match self {
            Self::Run | Self::Source | Self::TestPage => 1,
            Self::Promise => 2,
            Self::Point => 3,
            Self::Missed => 4,
        }
    }

    /// A page of all its records that are to be sealed.
    fn page(self) -> &'static str {
        match self {
            Self::Run => "SELECT * FROM runs WHERE outcome <> 'running' ORDER BY id LIMIT ? OFFSET ?",
            Self::Missed => "SELECT * FROM missed_runs ORDER BY source, operation, kind, first_at LIMIT ? OFFSET ?",
            Self::Source => "SELECT * FROM sources ORDER BY name LIMIT ? OFFSET ?",
            Self::Promise => "SELECT * FROM promises ORDER BY source, revision LIMIT ? OFFSET ?",
            Self::TestPage => "SELECT * FROM test_pages ORDER BY revision LIMIT ? OFFSET ?",
            Self::Point => "SELECT * FROM point_lifetimes ORDER BY source, id, seen_revision LIMIT ? OFFSET ?",
        }
    }
}

/// The records that a query finds.
pub(super) async fn fetch(
    tx: &mut SqliteConnection,
    subject: Subject,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<Vec<Entry>> {
    let rows = query.fetch_all(&mut *tx).await.map_err(failed)?;
    if subject == Subject::Run {
        with_parts(tx, &rows).await
    } else {
        rows.iter().map(|row| entry(subject, row)).collect()
    }
}

/// Runs by their names, those that have ended.
pub(super) async fn runs(tx: &mut SqliteConnection, runs: &[RunId]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for run in runs {
        let query = sqlx::query("SELECT * FROM runs WHERE id = ? AND outcome <> 'running'").bind(&run.0);
        entries.extend(fetch(tx, Subject::Run, query).await?);
    }
    Ok(entries)
}

/// Some of all records of a kind, `skipped` of them being known; nothing at the end.
pub(super) async fn page(tx: &mut SqliteConnection, subject: Subject, skipped: usize) -> Result<Vec<Entry>> {
    let number = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let query = sqlx::query(subject.page()).bind(number(PAGE)).bind(number(skipped));
    fetch(tx, subject, query).await
}

fn entry(subject: Subject, row: &SqliteRow) -> Result<Entry> {
    let values = values(subject.columns(), row)?;
    Ok(Entry { subject, name: name(subject, &values), content: hex(Value::Array(values).to_string().as_bytes()) })
}

/// Entries of runs, with everything that belongs to them.
async fn with_parts(tx: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<Entry>> {
    let ids: Vec<String> = rows.iter().map(|row| column(row, "id")).collect::<Result<_>>()?;
    let mut parts = Vec::new();
    for (statement, columns) in PARTS {
        parts.push(parts_of(tx, &ids, statement, columns).await?);
    }
    let mut entries = Vec::new();
    for (row, id) in rows.iter().zip(&ids) {
        let mut values = values(Subject::Run.columns(), row)?;
        let name = name(Subject::Run, &values);
        values.extend(parts.iter_mut().map(|part| Value::Array(part.remove(id).unwrap_or_default())));
        let content = hex(Value::Array(values).to_string().as_bytes());
        entries.push(Entry { subject: Subject::Run, name, content });
    }
    Ok(entries)
}

async fn parts_of(
    tx: &mut SqliteConnection,
    runs: &[String],
    statement: &'static str,
    columns: Columns,
) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut by_run: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if runs.is_empty() {
        return Ok(by_run);
    }
    let mut query = QueryBuilder::<Sqlite>::new(statement);
    query.push("(");
    let mut list = query.separated(", ");
    for run in runs {
        list.push_bind(run.clone());
    }
    query.push(") ORDER BY run_id, position");
    for row in query.build().fetch_all(tx).await.map_err(failed)? {
        by_run.entry(column(&row, "run_id")?).or_default().push(Value::Array(values(columns, &row)?));
    }
    Ok(by_run)
}

fn values(columns: Columns, row: &SqliteRow) -> Result<Vec<Value>> {
    let value = |(name, kind): &(&'static str, Type)| match kind {
        Text => row.try_get::<Option<String>, _>(*name).map(Value::from).map_err(failed),
        Whole => row.try_get::<Option<i64>, _>(*name).map(Value::from).map_err(failed),
        Real => row.try_get::<Option<f64>, _>(*name).map(Value::from).map_err(failed),
    };
    columns.iter().map(value).collect()
}

fn name(subject: Subject, values: &[Value]) -> String {
    let identity = values.iter().take(subject.identity());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    identity.map(text).collect::<Vec<_>>().join("/")
}
